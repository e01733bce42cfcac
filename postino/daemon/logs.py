"""Logging of the daemon to stderr: one event per line, an action word with fields, as text or JSON.

No message bodies and no tokens are logged.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from postino.config import Settings
from postino.values import visible

REPEAT_S = 1.0
MOST_MESSAGES = 100  # that are remembered


def set_up(settings: Settings) -> None:
    """Configure structlog and the standard library's logging by the settings."""
    kind = settings.log_format or ("console" if sys.stderr.isatty() else "json")
    level = getattr(logging, settings.log_level.upper())
    last: list[Any] = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(ensure_ascii=False)]
    if kind == "console":
        # where rich or better_exceptions is installed, structlog's default shows local variables: bodies and secrets
        plain = structlog.dev.plain_traceback
        last = [_escaped, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,  # modules make their loggers at import, before this call
    )
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[_LibraryHandler()], force=True)


class _LibraryHandler(logging.Handler):
    """Pass the log records of libraries, such as aiohttp and asyncio, to structlog.

    The same message comes once in REPEAT_S, with the number of those left out before it: asyncio logs every connection
    that it cannot accept.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}
        self._omitted: dict[str, int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        kind = str(record.msg)
        if record.created - self._last.get(kind, 0.0) < REPEAT_S:
            self._omitted[kind] = self._omitted.get(kind, 0) + 1
            return
        omitted = self._omitted.pop(kind, 0)
        if len(self._last) >= MOST_MESSAGES:
            self._last.clear()
            self._omitted.clear()
        self._last[kind] = record.created
        more: dict[str, Any] = {"omitted": omitted} if omitted else {}
        if record.exc_info and record.exc_info[0]:
            more["exc_info"] = record.exc_info
        structlog.get_logger().log(record.levelno, "library", logger=record.name, message=record.getMessage(), **more)


def _escaped(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape control characters, so that no logged text can control the terminal."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = visible(value).replace("\n", "\\n").replace("\r", "\\r")
    return event
