"""One open connection to Valkey: sends commands as they come and hands each reply to its caller, in order.

redis-py connects and authenticates; then this protocol takes the transport over. hiredis parses each reply where the
bytes arrive, so that its caller resumes in the next turn of the event loop instead of the fifth.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import hiredis
import msgspec
from hiredis import pack_command
from redis.exceptions import ResponseError

Command = tuple[str | int | bytes, ...]

MOST_JOINED = 32  # messages that joined calls are about: twice as many save the server 2 %, and its clients wait longer
JOINED_BYTES = 65_536  # of arguments from which no further call joins: to read them takes longer than what is saved
_MOST = 512
_STARTS = [f"${length}" for length in range(_MOST)]  # of words; a number to text takes as long as the rest of one

_INCOMPLETE: Any = object()  # what hiredis returns until a reply is complete


class Joint:
    """A script that answers several calls in one: what keys these share, how many keys and arguments each has."""

    def __init__(self, sha: str, shared: Sequence[str], keys: int, arguments: int) -> None:
        self._sha = sha
        self._shared = shared
        self._keys = keys
        self._words = keys + arguments
        self._heads: dict[int, bytes] = {}  # what precedes the calls' own words, by the number of calls

    def encode(self, calls: Sequence[Joinable]) -> bytes:
        """Return one command for all of `calls`."""
        count = len(calls)
        head = self._heads.get(count)
        if head is None:
            words: list[str | int] = ["EVALSHA", self._sha, len(self._shared) + count * self._keys, *self._shared]
            head = self._heads[count] = b"*%d\r\n" % (len(words) + count * self._words) + encode_words(words)
        return b"".join([head, *[each.keys for each in calls], *[each.arguments for each in calls]])


class Joinable(msgspec.Struct, frozen=True, eq=False):
    """One call of a script that answers several in one, encoded: what precedes its arguments alone, its own keys.

    `messages` is how many it may be about, which bounds how long the server takes for all that are joined.
    """

    joint: Joint
    head: bytes
    keys: bytes
    arguments: bytes
    messages: int = 1


Encoded = bytes | Joinable


def joined(commands: Iterable[Encoded]) -> list[Encoded | list[Joinable]]:
    """Return `commands` with lists of those neighbours that go as one. The order stays."""
    found: list[Encoded | list[Joinable]] = []
    run: list[Joinable] = []
    size = messages = 0
    for each in commands:
        if isinstance(each, bytes):
            run = []
            found.append(each)
            continue
        messages += each.messages
        if not run or each.joint is not run[0].joint or messages > MOST_JOINED or size >= JOINED_BYTES:
            run, size, messages = [], 0, each.messages
            found.append(run)
        run.append(each)
        size += len(each.arguments)
    return found


class PendingCall(msgspec.Struct, frozen=True, eq=False):
    """One encoded command, the future of its reply, and in the event loop's time its deadline and when it was made."""

    command: Encoded
    reply: asyncio.Future[Any]
    deadline: float
    began: float = 0.0


class Callbacks(msgspec.Struct, frozen=True):
    """What a wire reports: each reply, the end of a group of replies, and once, with the reason, that it has closed."""

    on_reply: Callable[[PendingCall, Any], None]
    after_replies: Callable[[], None]
    on_close: Callable[[Exception], None]


#: Return a command as the protocol writes it; UnicodeEncodeError: an argument contains half of a surrogate pair.
encode: Callable[[Command], bytes] = pack_command  # type: ignore[assignment]  # its stub allows only tuples of one


def encode_words(words: Iterable[str | int]) -> bytes:
    """Return words as they stand within a command, in a third of the time that hiredis takes.

    Raises:
        UnicodeEncodeError: as `encode`. The type of a word is not checked here.
    """
    parts: list[str] = []
    for each in words:
        word = f"{each}"
        length = len(word)
        parts += _STARTS[length] if length < _MOST else f"${length}", word
    text = "\r\n".join([*parts, ""])
    if text.isascii():
        return text.encode()
    return b"".join([b"$%d\r\n%b\r\n" % (len(each), each) for each in map(str.encode, parts[1::2])])


class Wire(asyncio.Protocol):
    """A connection after its handshake."""

    def __init__(self, writer: asyncio.StreamWriter, callbacks: Callbacks) -> None:
        self.in_flight: deque[PendingCall] = deque()  # sent and not answered: their outcome is unknown
        self._counts: deque[int] = deque()  # how many of them each command in flight consists of
        self.paused = False  # the kernel's send buffer is full
        self._writer = writer  # referenced here because it closes the transport when it is collected
        self._transport = writer.transport
        self._callbacks: Callbacks | None = callbacks
        self._parser = hiredis.Reader(
            encoding="utf-8", errors="replace", replyError=ResponseError, notEnoughData=_INCOMPLETE
        )
        self._transport.set_protocol(self)

    def send(self, calls: list[PendingCall]) -> None:
        """Send commands in one write."""
        self.in_flight += calls
        commands: list[bytes] = []
        for each in joined([call.command for call in calls]) if len(calls) > 1 else [calls[0].command]:
            if isinstance(each, bytes):
                commands.append(each)
                self._counts.append(1)
            elif isinstance(each, Joinable):
                commands.append(each.head + each.arguments)
                self._counts.append(1)
            else:
                commands.append(each[0].joint.encode(each))
                self._counts.append(len(each))
        self._transport.write(b"".join(commands))

    def close(self, reason: Exception) -> None:
        """Close the connection at once. Repeating does nothing."""
        callbacks, self._callbacks = self._callbacks, None
        if callbacks is not None:
            self._transport.abort()
            callbacks.on_close(reason)

    def data_received(self, data: bytes) -> None:
        callbacks = self._callbacks
        if callbacks is None:
            return
        parser, calls, counts, on_reply = self._parser, self.in_flight, self._counts, callbacks.on_reply
        parser.feed(data)
        try:
            while (reply := parser.gets()) is not _INCOMPLETE:
                if (count := counts.popleft()) == 1:
                    on_reply(calls.popleft(), reply)
                    continue
                for each in _each_reply(reply, count):
                    on_reply(calls.popleft(), each)
        except (hiredis.HiredisError, IndexError) as error:
            self.close(ConnectionError(f"the server does not speak the Valkey protocol: {error}"))
        else:
            callbacks.after_replies()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False  # the replies to what was just sent continue the sending

    def connection_lost(self, exc: Exception | None) -> None:
        self.close(exc or ConnectionError("Valkey closed the connection"))


def _each_reply(reply: Any, count: int) -> list[Any]:
    """Return the reply to each of the `count` calls that one reply is for; what refuses all of them is each one's."""
    if isinstance(reply, ResponseError):
        return [reply] * count
    if isinstance(reply, list) and len(reply) == count:
        return reply
    raise hiredis.ProtocolError(f"{count} calls in one got {reply!r:.100}")
