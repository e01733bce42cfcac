"""Admission: refuse web pages of other origins, other users of this machine, and callers without the token, if set.

A connection's policy is made once, when it opens; each request then costs a few comparisons.
"""

from __future__ import annotations

import asyncio
import hmac
import socket

from aiohttp import web

from postino.config import LOOPBACK, Settings
from postino.errors import BadHost, Forbidden, MethodNotAllowed, Unauthorized
from postino.rest import peer
from postino.rest.connection import HttpConnection, Policy

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SOCKET_NAMES = frozenset({"postino", *LOCAL_NAMES})
SAME_SITE = frozenset({"same-origin", "none"})


class Guard:
    """The admission rules of one daemon."""

    def __init__(self, settings: Settings) -> None:
        self._token = f"Bearer {settings.api_token}".encode() if settings.api_token else None
        # beyond loopback the token protects, and the names by which other machines call this one are allowed
        wide = settings.web_host not in LOOPBACK
        self._names = (settings.web_host, socket.gethostname()) if wide else ()
        self._wide = wide

    def admit(self, request: web.Request, *, needs_token: bool = True) -> None:
        """Return if the request is admitted. The order of the checks reveals as little as possible.

        Raises:
            BadHost: the request is for another host: DNS rebinding, or a wrong port.
            Forbidden: a web page of another origin or another user sent it.
            MethodNotAllowed: it is a preflight request, and CORS is not supported.
            Unauthorized: the token is missing or wrong.
        """
        policy = self._policy(request)
        headers = request.headers
        host = headers.get("Host", "")
        if host not in policy.hosts or request.raw_path[:1] != "/":
            _check_target(request, policy, host)
        if "Origin" in headers and headers["Origin"] not in policy.origins:
            raise Forbidden("a web page of another origin is not allowed to call postino")
        if "Sec-Fetch-Site" in headers and headers["Sec-Fetch-Site"] not in SAME_SITE:
            raise Forbidden("a web page of another site is not allowed to call postino")
        if policy.refusal is not None:
            raise Forbidden(policy.refusal)
        if request.method == "OPTIONS":
            raise MethodNotAllowed(
                "postino does not support CORS; other web pages cannot call it",
                allow=["GET", "POST", "DELETE"],
            )
        if policy.token is not None and needs_token:
            _check_token(headers.get("Authorization", ""), policy.token)

    def _policy(self, request: web.Request) -> Policy:
        connection = request.protocol
        if isinstance(connection, HttpConnection) and connection.policy is not None:
            return connection.policy
        return self.policy(request.transport)

    def policy(self, transport: asyncio.BaseTransport | None) -> Policy:
        """Return the policy of a new connection. Asking the kernel for its peer takes 20 us."""
        sock = transport.get_extra_info("socket") if transport else None
        theirs = transport.get_extra_info("peername") if transport else None
        if sock is None or theirs is None:
            return Policy(frozenset(), frozenset(), refusal="the connection is closed")
        if sock.family == socket.AF_UNIX:  # the peer's uid was checked when it connected
            return Policy(SOCKET_NAMES, frozenset(), any_port=True, local=True)
        ours = transport.get_extra_info("sockname")[:2]  # type: ignore[union-attr]
        hosts = self._hosts(*ours)
        origins = frozenset(f"http://{host}" for host in hosts)
        refusal, local = _judge_peer(theirs[:2], ours)
        return Policy(hosts, origins, self._token, refusal, local=local)

    def _hosts(self, address: str, port: int) -> frozenset[str]:
        names = set(LOCAL_NAMES)
        if self._wide:
            names |= {f"[{name}]" if ":" in name else name for name in (address, *self._names)}
        with_port = {f"{name}:{port}" for name in names}
        return frozenset(with_port | names if port == 80 else with_port)  # clients omit port 80


def _check_target(request: web.Request, policy: Policy, host: str) -> None:
    if not policy.allows_host(host):
        raise BadHost("the Host header does not name postino; use localhost, 127.0.0.1 or [::1] with the right port")
    target = request.raw_path
    if target[:1] in "/*":
        return
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() != "http" or not policy.allows_host(rest.partition("/")[0]):
        raise BadHost("the request is for another server; postino is not a proxy")


def _check_token(given: str, expected: bytes) -> None:
    scheme, _, token = given.partition(" ")
    offered = f"{scheme.capitalize()} {token.strip()}".encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(offered, expected):
        raise Unauthorized("send the header `Authorization: Bearer <POSTINO_API_TOKEN>`")


def _judge_peer(theirs: peer.Address, ours: peer.Address) -> tuple[str | None, bool]:
    """Return why a TCP peer is refused, or None, and whether it is local (see Policy)."""
    here = peer.is_here(theirs, ours)
    if not peer.LINUX:
        return None, here
    uid = peer.of_tcp(theirs, ours)
    if uid is None:  # a peer on another machine is admitted by the token alone
        return ("the user of this connection cannot be determined" if here else None), False
    if not peer.allowed(uid):
        return "the connection belongs to another user of this machine", False
    return None, True
