"""One call of the API as its handler sees it, and the state that all calls share."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
from aiohttp import web
from multidict import istr

from postino.broker.sessions import SESSION_PREFIX
from postino.errors import BadField, BadRequest, Forbidden, NotAllowed
from postino.model import ANONYMOUS, Record, Sender, Via
from postino.render.renderer import Renderer
from postino.rest import peer
from postino.rest.client_process import client_process, client_sessions, is_in_session
from postino.rest.connection import connection_of
from postino.rest.last_minute import LastMinute
from postino.rest.proofs import HEADER, Proofs
from postino.rest.signin_codes import SignInCodes
from postino.values import check_id, check_name, check_recipient

if TYPE_CHECKING:
    from postino.broker import Broker
    from postino.claude.callers import Callers, SessionAgent
    from postino.claude.turns import Turns
    from postino.claude.wake import Wakes
    from postino.clients.turns import ClientTurns
    from postino.config import Settings
    from postino.mcp.face import McpFace
    from postino.notify.notifications import Notifications
    from postino.rest.metrics import Metrics
    from postino.rest.named_tokens import Caller, NamedTokens
    from postino.rest.rates import Rates

Q = TypeVar("Q")
B = TypeVar("B")
S = TypeVar("S", bound=Record)

WAITED = web.RequestKey("waited", bool)  # a key of a request whose time tells how long it was willing to wait

_VIA, _KEY = istr("X-Postino-Via"), istr("Idempotency-Key")  # found in half the time of a text
_FACES: dict[str, Via] = {"cli": "cli", "web": "web"}  # the values of X-Postino-Via that are kept


class AppState(msgspec.Struct, eq=False):
    """The state that all handlers of one application share."""

    broker: Broker
    settings: Settings
    rates: Rates
    turns: Turns
    clients: ClientTurns
    callers: Callers
    tokens: NamedTokens
    mcp: McpFace
    metrics: Metrics
    wakes: Wakes
    proofs: Proofs
    url: str | None = None  # of the TCP listener, once it is open
    streams: int = 0  # open event streams
    streams_as: Counter[str] = msgspec.field(default_factory=Counter)  # those that keep an agent online, by agent
    signin_codes: SignInCodes = msgspec.field(default_factory=SignInCodes)
    renderer: Renderer = msgspec.field(default_factory=Renderer)
    renderings: LastMinute = msgspec.field(default_factory=LastMinute)
    notifications: Notifications | None = None  # None: POSTINO_NOTIFY_URL is not set
    stopping: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    started: float = msgspec.field(default_factory=time.monotonic)


class ApiCall(msgspec.Struct, Generic[Q, B], eq=False):
    """A request that was admitted and parsed: its query and body are records, `path` has what its path names.

    `caller` is the holder of a named token; None: any other caller that was admitted, who may do everything.
    """

    state: AppState
    broker: Broker
    request: web.Request
    path: Mapping[str, str]
    query: Q
    body: B
    caller: Caller | None

    def agent(self) -> str:
        """Return the agent named in the path, or raise BadName."""
        return check_name(self.path["agent"], "agent")

    def recipient(self) -> str:
        """Return the agent named in the path, or the mailbox of all people."""
        return check_recipient(self.path["agent"], "agent")

    @property
    def restricted(self) -> Caller | None:
        """The holder of a named token that acts as the agent of its name only; None for all who may do more."""
        return None if self.caller is None or self.caller.is_admin else self.caller

    async def is_own(self, name: str) -> bool:
        """Return whether `name` is that of the caller's token, or another name of the same agent."""
        assert self.caller is not None
        if name.lower() == self.caller.name.lower():
            return True
        return await self._is_same(name, self.caller.name)

    async def check_own(self, name: str, field: str) -> None:
        """Raise NotAllowed if the caller may not act as the agent `name`."""
        if self.restricted is not None and not await self.is_own(name):
            raise NotAllowed(
                f"{field}: this token acts as {self.restricted.name} only, not as {name}; "
                "another agent needs its own token, or one with the role admin",
                field=field,
            )

    async def sender(self, name: str | None) -> Sender:
        """Return the sender, and count what it sends: a named token's own name, verified, or the name that is given.

        The name given by a command is verified if the command runs in a session of that agent. A person's commands and
        signed-in page send as that person, verified; without a name they do so, too.

        Raises:
            NotAllowed: the name given is not that of the token.
            RateLimited: the token has sent too often.
        """
        via = _FACES.get(self.request.headers.get(_VIA, ""), "http")
        if self.caller is None:
            if name is not None and via == "cli" and await self._is_proved(name):
                return Sender(name=name, via=via, verified=True)
            person = await self.person() if via in _FACES.values() else None
            if person is None:
                return Sender(name=ANONYMOUS if name is None else name, via=via)
            return Sender(name=name or person, via=via, verified=name is None or await self._is_same(name, person))
        if name is not None and not await self.is_own(name):
            raise NotAllowed(
                f"from: this token sends as {self.caller.name}, not as {name}; "
                f"leave from out, or use a token of {name}",
                field="from",
            )
        self.caller.count_send(self.state.settings.send_rate)
        return Sender(name=self.caller.name, via=via, verified=True)

    async def note_act(self, sender: Sender) -> None:
        """Note that the person who has sent something was there, unless only a bare name tells it."""
        if sender.verified and self.caller is None:
            await self.broker.people.acted(sender.name)

    def check_unix(self, refusal: str) -> None:
        """Raise Forbidden with `refusal` unless the call came over the unix socket."""
        if connection_of(self.request).tcp:
            raise Forbidden(refusal)

    async def person(self) -> str | None:
        """Return the person who calls; None if nobody vouches for that.

        A page is vouched for by the code with which `postino open` signed it in; a command by the unix socket, to which
        nobody else can connect, unless it runs in a session: what an agent runs is not what its user writes.
        """
        proof = self.header(HEADER)
        if proof is not None:
            return self.state.proofs.check(proof)
        if (
            connection_of(self.request).tcp
            or is_in_session(self.request)
            or self.state.callers.is_in_session(self._pid())
        ):
            return None
        return await self.broker.people.own()

    def _pid(self) -> int | None:
        """Return the pid of the caller on the unix socket, where it is known."""
        assert self.request.transport is not None
        return peer.pid_of_unix(self.request.transport.get_extra_info("socket"))

    async def session_agent(self) -> SessionAgent | None:
        """Return the agent of the session in which the caller says it runs; None if it does not say so on this machine.

        Only a caller on the unix socket can: a web page or another machine cannot connect to that.
        """
        if connection_of(self.request).tcp or not is_in_session(self.request):
            return None
        return await self.state.callers.find(client_process(self.request), client_sessions(self.request), self._pid())

    async def _is_proved(self, name: str) -> bool:
        """Return whether the caller certainly runs in a session of the agent `name`."""
        found = await self.session_agent()
        return found is not None and found.proved and await self.broker.mail.present(name) == found.name

    async def _is_same(self, name: str, other: str) -> bool:
        return name == other or await self.broker.mail.present(name) == await self.broker.mail.present(other)

    @contextlib.contextmanager
    def ends(self) -> Iterator[set[asyncio.Future[Any]]]:
        """Yield futures of which one is done when nothing is to be answered any more after a wait.

        The client has gone, the daemon stops, or the caller is not admitted any more.
        """
        stopping, ended = asyncio.ensure_future(self.state.stopping.wait()), self.ended()
        try:
            yield {connection_of(self.request).disconnected(), stopping, ended}
        finally:
            stopping.cancel()
            ended.cancel()

    def ended(self) -> asyncio.Future[str]:
        """Return a future of why the caller is not admitted any more; the caller of this method cancels it."""
        if self.caller is None:
            return asyncio.get_running_loop().create_future()
        return asyncio.ensure_future(self.caller.ended())

    def id(self, given: str | None) -> str:
        """Return the id of what is sent: from the field or the header Idempotency-Key, or else a new one.

        Raises:
            BadRequest: both are given and differ.
            BadField: the header is malformed. The field is checked with the draft.
        """
        key = self.request.headers.get(_KEY)
        if key is None:
            return secrets.token_hex(16) if given is None else given
        if given is not None and given != key:
            raise BadRequest("the header Idempotency-Key and the field id differ; send one of them", field="id")
        return check_id(key, "Idempotency-Key")

    def header(self, name: str) -> str | None:
        """Return a header, or None if there is none.

        Raises:
            BadRequest: it is given twice.
        """
        found = self.request.headers.getall(name, [])
        if len(found) > 1:
            raise BadRequest(f"the header {name} is given twice", field=name)
        return found[0] if found else None

    def consumer(self, given: str | None) -> str | None:
        """Return the reading session, from the field or the header X-Postino-Consumer; None if there is neither.

        The field wins: a client may name itself in the header and still act for another session.

        Raises:
            BadField: one of them is malformed.
            Forbidden: it is the session of a relay, which alone settles what it has leased.
        """
        header = self.request.headers.get("X-Postino-Consumer")
        if header is not None:
            check_id(header, "X-Postino-Consumer")
        found = header if given is None else check_id(given, "consumer")
        if found is not None and found.startswith(SESSION_PREFIX):
            raise Forbidden(
                f"consumers that begin with {SESSION_PREFIX} are sessions of MCP clients; choose another name"
            )
        return found


def merged(query: S, body: S) -> S:
    """Return one record with the members of the query and those of the body.

    Raises:
        BadRequest: a member is in both and differs.
    """
    if query == type(query)():
        return body
    found: dict[str, object] = {}
    for name in query.__struct_fields__:
        here, there = getattr(query, name), getattr(body, name)
        if None not in (here, there) and here != there:
            raise BadRequest(f"{name} differs in the query and in the body; send one of them", field=name)
        found[name] = there if here is None else here
    return type(query)(**found)


def required(consumer: str | None) -> str:
    """Return `consumer`, or raise BadField if it is None."""
    if consumer is None:
        raise BadField("consumer is missing", field="consumer")
    return consumer
