"""Who speaks in a session, as far as it limits what the session may do."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from postino.errors import NotAllowed


class Caller(msgspec.Struct, frozen=True):
    """A client. By default that of a relay, which may do everything.

    `has_hooks`: hooks may report what its model does; they find a session by a relay's process.
    `setting`: what gives its sessions an explicit name, described by `named`. `verified`: it could not choose freely as
    whom it sends. `count_send` is called before each send and may refuse it.
    """

    has_hooks: bool = True
    setting: str = "POSTINO_AGENT_NAME"
    named: str = "POSTINO_AGENT_NAME, or the name given to postino install"
    verified: bool = True
    count_send: Callable[[], None] = lambda: None
    refused_tools: frozenset[str] = frozenset()

    def check_tool(self, tool: str) -> None:
        """Raise NotAllowed if this caller may not call `tool`."""
        if tool in self.refused_tools:
            raise NotAllowed(f"{tool} needs a token with the role admin")
