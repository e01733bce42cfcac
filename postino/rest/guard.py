"""Admission: refuse web pages of other origins, other users of this machine, and callers without the token, if set.

A connection's policy is made once, when it opens; each request then costs a few comparisons.
"""

from __future__ import annotations

import asyncio
import hmac
import re
import socket

from aiohttp import hdrs, web
from multidict import istr

from postino.config import LOOPBACK, Settings
from postino.errors import BadHost, BadRequest, Forbidden, MethodNotAllowed, Unauthorized
from postino.rest import peer
from postino.rest.connection import connection_of
from postino.rest.known_heads import known_head
from postino.rest.named_tokens import Caller, NamedTokens
from postino.rest.policy import Policy
from postino.values import visible

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
SOCKET_NAMES = frozenset({"postino", *LOCAL_NAMES})
SOCKET_POLICY = Policy(SOCKET_NAMES, frozenset(), any_port=True, local=True)
SAME_SITE = frozenset({"same-origin", "none"})
SEC_FETCH_SITE = istr("Sec-Fetch-Site")  # an istr, as those of hdrs, is found in half the time of a text
ONCE = (hdrs.ORIGIN, SEC_FETCH_SITE, hdrs.AUTHORIZATION)  # a second one could contradict the one that is checked
DEFAULT_PORTS = {"http": 80, "https": 443}
QUOTED = 100  # characters of a Host that an error quotes


class Guard:
    """The admission rules of one daemon."""

    def __init__(self, settings: Settings, tokens: NamedTokens) -> None:
        self._token = settings.api_token.encode() if settings.api_token else None
        self._tokens = tokens
        # beyond loopback the token protects, and the names by which other machines call this one are allowed
        wide = settings.web_host not in LOOPBACK
        self._names = (settings.web_host.lower(), socket.gethostname().lower()) if wide else ()
        self._wide = wide
        self._needs_token = bool(settings.api_token) or wide or settings.behind_proxy
        self._scheme = "https" if settings.tls_cert else "http"
        self._allowed = settings.allowed_hosts
        self._names_at: dict[tuple[str, int], tuple[frozenset[str], frozenset[str]]] = {}
        self._policies: dict[Policy, Policy] = {}  # one of those that are equal
        self._proxy_uid = settings.proxy_uid

    def admit(self, request: web.Request, *, needs_token: bool = True, is_page: bool = False) -> Caller | None:
        """Return if the request is admitted: the holder of the named token, or None for one who may do everything.

        The order of the checks reveals as little as possible. `is_page`: the request is for the page, to which other
        sites may link.

        Raises:
            BadRequest: a header that is checked here is given twice, or the transfer encoding is not supported.
            BadHost: the request is for another host: DNS rebinding, or a wrong port.
            Forbidden: a web page of another origin or another user sent it.
            MethodNotAllowed: it is a preflight request, and CORS is not supported.
            Unauthorized: the token is missing where one is needed, or one was sent and is wrong, expired or revoked.
        """
        policy, known, headers = connection_of(request).policy, known_head(request), request.headers
        assert policy is not None  # it was made before the connection could bring a request
        if known is None or known.policy is not policy:
            _check(request, policy, is_page=is_page)
            if known is not None:
                known.policy = policy
        if not needs_token:
            return None
        if hdrs.AUTHORIZATION in headers:  # a wrong token is never taken for none
            return self._holder(headers[hdrs.AUTHORIZATION], policy)
        if policy.needs_token:
            raise Unauthorized("send the header `Authorization: Bearer <token>`: POSTINO_API_TOKEN or a named token")
        return None

    def _holder(self, given: str, policy: Policy) -> Caller | None:
        """Return the holder of the token in an Authorization header, None for POSTINO_API_TOKEN."""
        scheme, _, token = given.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthorized("the header Authorization has to be `Bearer <token>`")
        offered = token.strip().encode("utf-8", "surrogateescape")
        if self._token is not None and hmac.compare_digest(offered, self._token):
            return None
        caller = self._tokens.find(offered)
        if caller is None:
            hint = "" if policy.needs_token else "; here the header may also be left out"
            raise Unauthorized(f"this token is wrong or was revoked; `postino token list` shows the valid ones{hint}")
        caller.check_valid()
        return caller

    def policy(self, transport: asyncio.BaseTransport) -> Policy:
        """Return the policy of a new connection. Takes 20 us; milliseconds, which block, unless `peer.is_quick`."""
        sock, theirs, ours = map(transport.get_extra_info, ("socket", "peername", "sockname"))
        if theirs is None:
            return Policy(frozenset(), frozenset(), refusal="the connection is closed")
        if sock.family == socket.AF_UNIX:  # the peer's uid was checked when it connected
            return SOCKET_POLICY
        ours = ours[:2]
        if ours not in self._names_at:
            self._names_at[ours] = self._hosts(*ours)
        hosts, origins = self._names_at[ours]
        refusal, local = self._judge_peer(theirs[:2], ours)
        # a peer of unknown or another user is one beyond loopback, or a proxy
        needs_token = self._needs_token or not (local or not peer.LINUX)
        made = Policy(hosts, origins, needs_token, refusal, local=local, gone=not peer.is_open(sock))
        return self._policies.setdefault(made, made)

    def _hosts(self, address: str, port: int) -> tuple[frozenset[str], frozenset[str]]:
        """Return the Hosts and the Origins that name a daemon which listens at `address` and `port`."""
        names = set(LOCAL_NAMES)
        if self._wide:
            names |= {f"[{name}]" if ":" in name else name for name in (address, *self._names)}
        origins = {f"{self._scheme}://{name}:{port}" for name in names}
        for each in self._allowed:
            scheme, mark, host = each.rpartition("://")
            schemes = [scheme] if mark else ["http", "https"]
            has_port = host.rpartition(":")[2].isdecimal() and not host.endswith("]")
            origins |= {f"{one}://{host}" for one in schemes}
            if not (mark or has_port):  # a bare name: also with the port on which the daemon listens
                origins |= {f"{one}://{host}:{port}" for one in schemes}
        origins |= {with_port for each in origins for with_port in (_without_default_port(each), _with_port(each))}
        return frozenset(each.partition("://")[2] for each in origins), frozenset(origins)

    def _judge_peer(self, theirs: peer.Address, ours: peer.Address) -> tuple[str | None, bool]:
        """Return why a TCP peer is refused, or None, and whether it is local (see Policy)."""
        here = peer.is_here(theirs, ours)
        if not peer.LINUX:
            return None, here
        uid = peer.of_tcp(theirs, ours)
        if uid is None:  # a peer on another machine is admitted by the token alone
            refused = here or not self._wide
            return ("the user of this connection cannot be determined" if refused else None), False
        if peer.allowed(uid):
            return None, True
        if uid == self._proxy_uid and (self._token is not None or self._tokens.any_valid()):
            return None, False
        return "the connection belongs to another user of this machine", False


def _check(request: web.Request, policy: Policy, *, is_page: bool) -> None:
    """Raise what `admit` raises, but for the token: of the same head under the same policy always the same."""
    headers = request.headers
    host = headers.get(hdrs.HOST, "").lower()
    if host not in policy.hosts or request.raw_path[:1] != "/":
        _check_target(request, policy, host)
    for name in ONCE:
        if name in headers and len(headers.getall(name)) > 1:
            raise BadRequest(f"the header {name} is given twice")
    if headers.get(hdrs.TRANSFER_ENCODING, "chunked").lower() != "chunked":
        raise BadRequest("the only Transfer-Encoding that postino takes is chunked")
    if hdrs.ORIGIN in headers and headers[hdrs.ORIGIN].lower() not in policy.origins:
        raise Forbidden("a web page of another origin is not allowed to call postino")
    cross_site = SEC_FETCH_SITE in headers and headers[SEC_FETCH_SITE] not in SAME_SITE
    if cross_site and not (is_page and _is_link(request)):
        raise Forbidden("a web page of another site is not allowed to call postino")
    if policy.refusal is not None:
        raise Forbidden(policy.refusal)
    if request.method == "OPTIONS":
        raise MethodNotAllowed("postino does not support CORS; other web pages cannot call it", allow=[])


def _with_port(origin: str) -> str:
    """Return an origin with its port, although clients omit the default port of its scheme."""
    has_port = re.search(r":[0-9]+$", origin)
    return origin if has_port else f"{origin}:{DEFAULT_PORTS[origin.partition(':')[0]]}"


def _without_default_port(origin: str) -> str:
    return origin.removesuffix(f":{DEFAULT_PORTS[origin.partition(':')[0]]}")


def _is_link(request: web.Request) -> bool:
    """Return whether a browser shows the answer as a page of its own, not in a frame or to a script."""
    headers = request.headers
    return (
        request.method in ("GET", "HEAD")
        and headers.get("Sec-Fetch-Mode") == "navigate"
        and headers.get("Sec-Fetch-Dest") == "document"
    )


def _check_target(request: web.Request, policy: Policy, host: str) -> None:
    if not policy.allows_host(host):
        raise BadHost(
            f"the Host {visible(host[:QUOTED])!r} does not name this postino; use localhost, 127.0.0.1 or [::1] with "
            "its port, or set POSTINO_ALLOWED_HOSTS where a proxy, container or tunnel calls it by another name"
        )
    target = request.raw_path
    if target[:1] in "/*":
        return
    scheme, mark, rest = target.partition("://")
    if not mark or scheme.lower() not in DEFAULT_PORTS or not policy.allows_host(rest.partition("/")[0].lower()):
        raise BadHost("the request is for another server; postino is not a proxy")
