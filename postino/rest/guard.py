"""Who may call: no web page of another origin, no other user of this machine, nobody without the token there is.

What can be known of a connection is found out once and kept with it; each request is then a few comparisons.
"""

from __future__ import annotations

import asyncio
import hmac
import socket

from aiohttp import web

from postino.config import LOOPBACK, Settings
from postino.errors import BadHost, Forbidden, MethodNotAllowed, Unauthorized
from postino.rest import peer
from postino.rest.connection import Connection, Entrance

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SOCKET_NAMES = frozenset({"postino", *LOCAL_NAMES})
SAME_SITE = frozenset({"same-origin", "none"})


class Guard:
    """The rules of one daemon."""

    def __init__(self, settings: Settings) -> None:
        self._token = f"Bearer {settings.api_token}".encode() if settings.api_token else None
        # beyond loopback the token is the protection; the names under which others know this machine are added
        wide = settings.web_host not in LOOPBACK
        self._names = (settings.web_host, socket.gethostname()) if wide else ()
        self._wide = wide

    def admit(self, request: web.Request, *, needs_token: bool = True) -> None:
        """Return if this request may go on; in the order in which the checks tell a stranger least.

        Raises:
            BadHost: it is addressed to somebody else: DNS rebinding, or a wrong port.
            Forbidden: a page of another origin or another user asks.
            MethodNotAllowed: a preflight; there is nothing to negotiate.
            Unauthorized: the token is missing or wrong.
        """
        entrance = self._entrance(request)
        headers = request.headers
        host = headers.get("Host", "")
        if host not in entrance.hosts or request.raw_path[:1] != "/":
            _check_target(request, entrance, host)
        if "Origin" in headers and headers["Origin"] not in entrance.origins:
            raise Forbidden("a web page of another origin may not call postino")
        if "Sec-Fetch-Site" in headers and headers["Sec-Fetch-Site"] not in SAME_SITE:
            raise Forbidden("a web page of another site may not call postino")
        if entrance.closed is not None:
            raise Forbidden(entrance.closed)
        if request.method == "OPTIONS":
            raise MethodNotAllowed("there is nothing to negotiate", allow=["GET", "POST", "DELETE"])
        if entrance.token is not None and needs_token:
            _check_token(headers.get("Authorization", ""), entrance.token)

    def _entrance(self, request: web.Request) -> Entrance:
        connection = request.protocol
        if isinstance(connection, Connection) and connection.entrance is not None:
            return connection.entrance
        return self.examine(request.transport)

    def examine(self, transport: asyncio.BaseTransport | None) -> Entrance:
        """Return what holds for a new connection; asking the kernel for its peer takes 20 us."""
        sock = transport.get_extra_info("socket") if transport else None
        theirs = transport.get_extra_info("peername") if transport else None
        if sock is None or theirs is None:
            return Entrance(frozenset(), frozenset(), closed="the connection is gone")
        if sock.family == socket.AF_UNIX:  # the door has checked the peer's uid
            return Entrance(SOCKET_NAMES, frozenset(), any_port=True, own=True)
        ours = transport.get_extra_info("sockname")[:2]  # type: ignore[union-attr]
        hosts = self._hosts(*ours)
        origins = frozenset(f"http://{host}" for host in hosts)
        closed, own = _judged(theirs[:2], ours)
        return Entrance(hosts, origins, self._token, closed, own=own)

    def _hosts(self, address: str, port: int) -> frozenset[str]:
        names = set(LOCAL_NAMES)
        if self._wide:
            names |= {f"[{name}]" if ":" in name else name for name in (address, *self._names)}
        with_port = {f"{name}:{port}" for name in names}
        return frozenset(with_port | names if port == 80 else with_port)  # 80 is left out by clients


def _check_target(request: web.Request, entrance: Entrance, host: str) -> None:
    if not entrance.knows(host):
        raise BadHost("this Host is not postino's; use localhost, 127.0.0.1 or [::1] with the right port")
    target = request.raw_path
    if target[:1] in "/*":
        return
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() != "http" or not entrance.knows(rest.partition("/")[0]):
        raise BadHost("the request is for another server")


def _check_token(given: str, expected: bytes) -> None:
    scheme, _, token = given.partition(" ")
    offered = f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(offered, expected):
        raise Unauthorized("this daemon wants `Authorization: Bearer <POSTINO_API_TOKEN>`")


def _judged(theirs: peer.Address, ours: peer.Address) -> tuple[str | None, bool]:
    """Return why a TCP peer is refused, or None, and whether it may call as one of this machine."""
    here = peer.is_here(theirs, ours)
    if not peer.LINUX:
        return None, here
    uid = peer.of_tcp(theirs, ours)
    if uid is None:  # if from another machine, only the token speaks
        return ("the user behind this connection cannot be told" if here else None), False
    if not peer.allowed(uid):
        return "the connection comes from another user of this machine", False
    return None, True
