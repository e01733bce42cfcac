"""What a connection may ask for, as its peer and its listener decide."""

from __future__ import annotations

import msgspec


class Policy(msgspec.Struct, frozen=True):
    """The rules for the requests of one connection."""

    hosts: frozenset[str]
    origins: frozenset[str]
    needs_token: bool = False
    refusal: str | None = None  # why every request of this peer is refused
    any_port: bool = False  # the port in the Host header is ignored, as on the unix socket
    local: bool = False  # the peer is on this machine and, as far as the system tells, is this user or root
    gone: bool = False  # the connection was reset before its peer could be looked up

    def allows_host(self, host: str) -> bool:
        """Return whether a Host header, exactly as it came, names this daemon."""
        if host in self.hosts:
            return True
        name, _, port = host.rpartition(":")
        return self.any_port and name in self.hosts and port.isdecimal()
