"""The client of Valkey: one connection for all callers, and no command is ever sent twice.

redis-py's own client repeats a command after a lost reply, up to ten times, and would store a message more than once.
This one sends it once and reports, when the connection breaks, whether it may have run.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import MovedError, NoPermissionError, RedisError, ResponseError

from postino.errors import PostinoError, StoreAway, StoreFull
from postino.store.fence import Batch, Fence, refused
from postino.store.valkey.primary import CONNECT_TIMEOUT_S, Moved, Primary, Where, shown
from postino.store.wire import Callbacks, Command, Encoded, PendingCall, Wire, encode
from postino.tasks import cancelled

REPLY_TIMEOUT_S = 1.5  # a caller must hear of storage trouble within two seconds, queueing and connecting included
MIN_TIME_LEFT_S = 0.3  # a call this close to its deadline is not sent: its outcome would be unknown for nothing
BATCH_FROM = 8  # calls in flight from which further ones wait; below, a wait would cost each call time and save nothing
# Waiting calls share one write and one fsync. Half of them go at a time, so that this process prepares the others while
# Valkey works; never fewer than MIN_BATCH, and beyond MAX_BATCH a larger batch gains nothing. As soon as MIN_BATCH wait
# they follow those in flight: otherwise Valkey is idle from its replies until this process has read them, a seventh of
# the time with 32 callers.
MIN_BATCH = 16
MAX_BATCH = 256
MAX_IN_FLIGHT = 64  # calls from which on also a batch waits: more gain nothing, and all are unknown when cut off

#: first words of error replies after which nothing was stored: the server cannot serve, or does not serve us, now
_NOT_EXECUTED = {
    "LOADING": "it is still loading its data",
    "BUSY": "a script keeps it busy",
    "MISCONF": "it cannot write to its disk",
    "OOM": "it has reached its memory limit",
    "READONLY": "it is a read-only replica",
    "MASTERDOWN": "it is a replica that has lost its primary",
    "UNBLOCKED": "it has just become a replica",  # a blocking read of ours waited on it
    "NOREPLICAS": "it has fewer replicas than it demands",
    "CLUSTERDOWN": "its cluster is down",
    "TRYAGAIN": "its cluster is moving these keys",
    "MOVED": "its cluster keeps these keys on another node",
    "ASK": "its cluster is moving these keys",
    "NOAUTH": "it wants a password",
    "WRONGPASS": "it does not accept the password",
    "NOPERM": "it does not let this user do that",
}
#: those after which another connection may reach a server that does serve us
_SENT_AWAY = frozenset(
    {"READONLY", "UNBLOCKED", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "NOAUTH", "WRONGPASS"}
)

NO_ANSWER = "no answer in time"
_IN_SCRIPT = " on @user_script:"  # ends an error that a script met on its way


def store_away(error: Exception, *, outcome: str, cause: str | None = None) -> PostinoError:
    """Return the StoreAway for a storage failure; `outcome` is none or unknown. A PostinoError is returned as it is.

    `cause` is a clause that explains the error.
    """
    if isinstance(error, PostinoError):
        return error
    text = str(error) or (NO_ANSWER if isinstance(error, TimeoutError) else type(error).__name__)
    meaning = cause or _NOT_EXECUTED.get(text.partition(" ")[0])
    if text.startswith("OOM "):
        found: StoreAway = StoreFull(f"Valkey has reached its memory limit ({text})", outcome=outcome)
    else:
        found = StoreAway(
            f"Valkey cannot be used right now{f': {meaning}' if meaning else ''} ({text})", outcome=outcome
        )
    found.__cause__ = error
    return found


def _ignore(_: float) -> None:
    return


class Pipeline:
    """One connection shared by all callers; replies come back in order.

    Any number of tasks may use `call`. Cancelling one does not disturb the others: its command runs or does not, and
    its reply is dropped. With a `fence` a reply that is no refusal is given once enough replicas have confirmed it.
    """

    def __init__(
        self,
        server: Primary | str,
        *,
        read_only: bool = False,
        explain: Callable[[], str | None] | None = None,
        fence: Fence | None = None,
    ) -> None:
        self._explain = explain  # returns a cause of lost connections that the error itself does not name
        #: the outcome of a call whose reply was lost
        self._lost_outcome = "none" if read_only else "unknown"
        self._primary = Primary(server) if isinstance(server, str) else server
        self._primary.on_move.append(self._leave)
        self._fence = fence
        self._setup: Callable[[], list[Command]] = list
        self._verify: Callable[[list[Any]], None] = raise_first
        self._sent_away = False  # the server refused in a way that a new connection may end
        self._unsent: deque[PendingCall] = deque()
        self._redirected: list[PendingCall] = []  # to be sent on the next connection, before all others
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._flush_handle: asyncio.Handle | None = None
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.round_trips = 0  # writes to the server
        self.on_call: Callable[[float], object] = _ignore  # is given the seconds that a call has taken

    def open(self, setup: Callable[[], list[Command]], verify: Callable[[list[Any]], None] | None = None) -> None:
        """Accept calls; the first one connects. What `setup` returns is sent first on every new connection.

        `verify` gets the replies to it, errors included; if it raises, that connection is not used and its callers get
        that error. Without it every error reply counts.
        """
        self._loop = asyncio.get_running_loop()
        self._setup, self._verify = setup, verify or raise_first

    def drop(self, error: PostinoError) -> None:
        """Close the present connection, if any, because of `error`; the next call connects again.

        What is in flight may have run, whatever `error` says of its own outcome.
        """
        if self._wire is not None:
            self._wire.close(ConnectionError(error.message))

    async def close(self) -> None:
        """Close the connection; waiting and later callers get StoreAway."""
        self._closed = True
        await cancelled(self._connecting)
        if self._wire is not None:
            self._wire.close(ConnectionError("closing"))
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self._fail_unsent(ConnectionError("closing"))
        self._primary.on_move.remove(self._leave)

    def _leave(self, where: Where) -> None:
        """Close the connection to a server that is no longer the primary."""
        if self._wire is not None:
            self._wire.close(ConnectionError(f"the primary is now {shown(where)}"))

    def call(self, *command: str | int | bytes, within_s: float = REPLY_TIMEOUT_S) -> asyncio.Future[Any]:
        """Send `command` once, as `send` does; a blocking command needs a larger `within_s`."""
        return self.send(encode(command), within_s)

    def send(self, command: Encoded, within_s: float = REPLY_TIMEOUT_S) -> asyncio.Future[Any]:
        """Send an encoded command once and return the future of its reply.

        Raises, when it is awaited:
            StoreAway: no reply; `outcome` says whether the command may have run.
            ResponseError: Valkey refused it.
        """
        began = self._loop.time()
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._unsent.append(PendingCall(command, reply, began + within_s, began))
        if self._flush_handle is None:
            if self._wire is not None and not self._wire.in_flight:
                self._send(self._wire)  # nothing is in flight: waiting for others would cost a turn of the loop
            else:
                self._flush_handle = self._loop.call_soon(self._flush)
        return reply

    def _flush(self) -> None:
        self._flush_handle = None
        if self._wire is not None:
            self._send(self._wire)
        elif self._closed:
            self._fail_unsent(ConnectionError("closed"))
        elif self._connecting is None and self._unsent:
            self._connecting = self._loop.create_task(self._connect(self._unsent[0].deadline), name="valkey-connect")

    def _send_more(self) -> None:
        if self._wire is None:
            return
        if self._sent_away and not self._wire.in_flight:
            self._wire.close(ConnectionError("the server refused to serve"))
        elif self._unsent and self._flush_handle is None:
            self._send(self._wire)

    def _send(self, wire: Wire) -> None:
        """Send the next batch if it is time for one; otherwise the next replies try again."""
        if not self._unsent or wire.paused or self._sent_away:
            return
        if not (self._has_room(len(wire.in_flight)) if self._fence is None else self._fence.has_room()):
            return
        calls = self._next_batch(min(MAX_BATCH, max(MIN_BATCH, len(self._unsent) // 2)))
        if calls:
            self._transmit(wire, calls if self._fence is None else self._fence.enclose(calls))

    def _has_room(self, in_flight: int) -> bool:
        return in_flight < (BATCH_FROM if len(self._unsent) < MIN_BATCH else MAX_IN_FLIGHT)

    def _transmit(self, wire: Wire, calls: list[PendingCall]) -> None:
        wire.send(calls)
        self.round_trips += 1
        if self._deadline_timer is None:
            self._deadline_timer = self._loop.call_at(calls[0].deadline, self._check_deadline)

    def _next_batch(self, size: int) -> list[PendingCall]:
        now = self._loop.time()
        calls: list[PendingCall] = []
        while self._unsent and len(calls) < size:
            each = self._unsent.popleft()
            if each.reply.done():  # its caller was cancelled
                continue
            if each.deadline - now < MIN_TIME_LEFT_S:
                self._fail([each], store_away(TimeoutError(NO_ANSWER), outcome="none"))
            else:
                calls.append(each)
        return calls

    def _fail_overdue(self, wire: Wire, fence: Fence) -> None:
        """Fail the calls that have waited too long for the trial of a new connection; look again when one more has."""
        while wire is self._wire and self._unsent and fence.on_trial:
            if self._unsent[0].deadline > self._loop.time():
                self._loop.call_at(self._unsent[0].deadline, self._fail_overdue, wire, fence)
                return
            self._fail([self._unsent.popleft()], refused("replicas have not confirmed a trial in time"))

    def _check_deadline(self) -> None:
        """Close the connection if the oldest call in flight is overdue, else check again when it would be."""
        self._deadline_timer = None
        if self._wire is None or not self._wire.in_flight:
            return
        deadline = self._wire.in_flight[0].deadline
        if deadline <= self._loop.time():
            self._wire.close(TimeoutError(NO_ANSWER))
        else:
            self._deadline_timer = self._loop.call_at(deadline, self._check_deadline)

    async def _connect(self, deadline: float) -> None:
        """Connect for the waiting calls; if that fails they fail, and the next call connects again."""
        connection: AbstractConnection | None = None
        try:
            async with asyncio.timeout_at(min(deadline, self._loop.time() + CONNECT_TIMEOUT_S)):
                connection = await self._primary.connection()
                await self._primary.while_named(connection, self._handshake(connection))
            writer = _detach_stream(connection)
            assert writer is not None
            self._wire = Wire(writer, Callbacks(self._set_reply, self._send_more, self._on_close))
            if self._fence is not None:  # callers may have waited long; the connection stays for others
                self._transmit(self._wire, self._fence.trial(self._loop.time() + REPLY_TIMEOUT_S))
                self._fail_overdue(self._wire, self._fence)
        except Exception as error:  # whatever it is, the waiting callers must hear of it
            if connection is not None:
                self._primary.failed(connection)
            if not isinstance(error, Moved):
                self._fail_unsent(error)
            elif self._flush_handle is None:
                self._flush_handle = self._loop.call_soon(self._flush)  # nothing was sent for its callers yet
        finally:
            self._connecting = None
            half_open = _detach_stream(connection) if connection is not None else None
            if half_open is not None:
                half_open.transport.abort()
        self._send_more()

    async def _handshake(self, connection: AbstractConnection) -> None:
        await connection.connect()  # type: ignore[no-untyped-call]
        # in one write: thirty scripts one after the other would take a second over a 30 ms line
        setup, replies = self._setup(), []
        if setup:  # asks whether we are let in: else a server resets the connection at the first long script
            await connection.send_command("TIME", check_health=False)
            with contextlib.suppress(NoPermissionError):
                await connection.read_response(disconnect_on_error=False)
        await connection.send_packed_command([encode(each) for each in setup], check_health=False)
        for _ in setup:
            try:
                replies.append(await connection.read_response(disconnect_on_error=False))
            except MovedError as error:
                self._primary.redirected(f"MOVED {error.slot_id} {error.host}:{error.port}")
                replies.append(error)
            except ResponseError as error:
                replies.append(error)
        self._verify(replies)

    def _set_reply(self, call: PendingCall, reply: Any) -> None:
        if isinstance(reply, RedisError):
            self._sent_away = self._sent_away or code_of(reply) in _SENT_AWAY
            self._primary.redirected(str(reply))
        if self._fence is None:
            self._settle(call, reply)
        elif batch := self._fence.take(reply):
            objection = self._fence.objection(batch)
            if objection is not None and batch.is_trial and not self._sent_away:
                self._fail(self._unsent, refused(objection))
                self._unsent.clear()
            self._sent_away = self._sent_away or objection is not None
            self._settle_batch(batch, objection)

    def _settle_batch(self, batch: Batch, objection: str | None) -> None:
        """Give the calls of a batch their replies; with an objection only the refusals, in which nothing was stored."""
        for call, reply in zip(batch.calls, batch.replies, strict=False):
            if objection is None or isinstance(reply, RedisError):
                self._settle(call, reply)
            else:
                why = f"Replicas may not have it: {objection}; a retry with the same id is safe"
                self._fail([call], StoreAway(why, outcome="unknown"))

    def _settle(self, call: PendingCall, reply: Any) -> None:
        future = call.reply
        if future.done():
            return
        error: Exception | None = None
        if isinstance(reply, RedisError):
            error, code = reply, code_of(reply)
            if code == "MOVED" and self._primary.moves:
                self._redirected.append(call)  # nothing ran: it is sent to the owner, if there is time
                return
            if code in _NOT_EXECUTED:
                # a refusal met within a script, of a command this user may not run, does not undo what the script wrote
                error = store_away(reply, outcome="unknown" if _IN_SCRIPT in str(reply) else "none")
        self.on_call(self._loop.time() - call.began)
        if error is None:
            future.set_result(reply)
        else:
            future.set_exception(error)

    def _on_close(self, error: Exception) -> None:
        wire, self._wire = self._wire, None
        assert wire is not None
        for batch in self._fence.abandon() if self._fence is not None else ():
            self._settle_batch(batch, str(error))
        self._fail(wire.in_flight, self._away(error, self._lost_outcome))
        self._unsent.extendleft(reversed(self._redirected))
        self._redirected.clear()
        if self._sent_away and self._unsent and self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self._flush)  # they were held back for the next connection
        elif not self._sent_away:
            self._fail_unsent(error)
        self._sent_away = False

    def _away(self, error: Exception, outcome: str) -> PostinoError:
        cause = self._explain() if self._explain is not None else None
        return store_away(error, outcome=outcome, cause=cause)

    def _fail(self, calls: Iterable[PendingCall], error: PostinoError) -> None:
        for each in calls:
            if not each.reply.done():
                self.on_call(self._loop.time() - each.began)
                each.reply.set_exception(error)

    def _fail_unsent(self, error: Exception) -> None:
        """Fail all calls that were not sent, at once rather than each at its own deadline."""
        self._fail(self._unsent, self._away(error, "none"))
        self._unsent.clear()


def _detach_stream(connection: AbstractConnection) -> asyncio.StreamWriter | None:
    """Take the stream away from redis-py's connection, which has no public way to give it up."""
    writer, connection._writer, connection._reader = connection._writer, None, None
    return writer


def raise_first(replies: list[Any]) -> None:
    """Raise the first error among replies."""
    for each in replies:
        if isinstance(each, Exception):
            raise each


def code_of(reply: RedisError) -> str:
    """Return the first word of an error reply."""
    return str(reply).partition(" ")[0]
