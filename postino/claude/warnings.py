"""What the user of a Claude Code session is told once: parts of different versions, and a mailbox that is not there."""

from __future__ import annotations

import asyncio

from postino import __version__
from postino.mcp.connected import ConnectedSession
from postino.versions import is_older

CONNECT_S = 15.0  # for a relay to connect, from the first hook of its process on
REMEMBERED = 1024  # warnings and processes; then they are forgotten, and may be told again
TOLD_AT = frozenset({"SessionStart", "UserPromptSubmit"})  # when the user looks


class Warnings:
    """Remembers what was told to which Claude process."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()
        self._without_relay: dict[str, float] = {}  # process -> loop time of its first hook that found no relay

    def of(self, event: str, process: str, connected: ConnectedSession | None, plugin: str | None) -> str:
        """Return what to show to the user at a hook event, "" for nothing. `plugin`: the version of the hook."""
        found = {"plugin": _plugin(plugin), "relay": _relay(connected), "no relay": self._no_relay(process, connected)}
        if event not in TOLD_AT:
            return ""
        new = {kind: text for kind, text in found.items() if text and (process, kind) not in self._told}
        if len(self._told) > REMEMBERED:
            self._told.clear()
        self._told |= {(process, kind) for kind in new}
        return "; ".join(new.values())

    def _no_relay(self, process: str, connected: ConnectedSession | None) -> str:
        if connected is not None:
            self._without_relay.pop(process, None)
            return ""
        if len(self._without_relay) > REMEMBERED:
            self._without_relay.clear()
        now = asyncio.get_running_loop().time()
        if now - self._without_relay.setdefault(process, now) < CONNECT_S:
            return ""
        return (
            "the MCP server of this session does not run, so Claude cannot read or send mail: /mcp, then postino, then "
            "Reconnect starts it again"
        )


def _plugin(plugin: str | None) -> str:
    if plugin == __version__:
        return ""
    if plugin is None or is_older(plugin, __version__):
        return (
            f"the plugin is version {plugin or 'unknown'}, older than the daemon ({__version__}): `postino install`, "
            "or `claude plugin update postino@postino`, updates it for new sessions"
        )
    return f"the plugin is version {plugin}, newer than the daemon ({__version__}): `postino up` replaces the daemon"


def _relay(connected: ConnectedSession | None) -> str:
    version = connected.session.hello.version if connected else __version__
    if version == __version__:
        return ""
    if version is None or is_older(version, __version__):
        return (
            f"the MCP server of this session is version {version or 'unknown'}, older than the daemon ({__version__}): "
            "/mcp, then postino, then Reconnect updates it"
        )
    return (
        f"the MCP server is version {version}, newer than the daemon ({__version__}): `postino up` replaces the daemon"
    )
