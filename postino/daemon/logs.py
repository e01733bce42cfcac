"""One event, one line: an action word and its fields, on stderr, as text or JSON. No bodies, no tokens."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from postino.config import Settings
from postino.model import visible


def set_up(settings: Settings) -> None:
    """Send structlog's and the libraries' logs to stderr, as the settings say."""
    kind = settings.log_format or ("console" if sys.stderr.isatty() else "json")
    level = getattr(logging, settings.log_level.upper())
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    if kind == "console":
        last = [_shown, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # loggers made at import, before this, must follow
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_Bridge()], force=True)


class _Bridge(logging.Handler):
    """Passes on what aiohttp and asyncio have to say."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        exc_info = record.exc_info if record.exc_info and record.exc_info[0] else None
        log.log(record.levelno, "library", logger=record.name, said=record.getMessage(), exc_info=exc_info)


def _shown(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make control characters visible: a terminal must not obey what somebody wrote."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible(value).replace("\n", "\\n").replace("\r", "\\r")
    return event
