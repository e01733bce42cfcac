"""Sessions of agents: the SDK's own client on a real relay, one life after another."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp.client.session import ClientSession
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

from tests.faults.bodies import body_of, choose_shape
from tests.faults.history import ACCEPTED, NONE, UNKNOWN, Call, History, Opened, Try, Unread
from tests.faults.http_traffic import PAUSE_S, Answer, Caller, Json, note_shown
from tests.faults.stage import Node

ANSWER_S = 30.0  # a client's patience for one call
THINK_S = 0.06  # after which a further call acknowledges what was read
#: write the pid, then become the relay: it is to be killed, and the SDK does not tell
_RECORD_PID = 'echo $$ >"$0" && exec "$@"'


class Agent:
    """An agent that sends, reads and listens to broadcasts; its relays die and are followed by others."""

    def __init__(
        self,
        name: str,
        node: Node,
        history: History,
        targets: list[str],
        chance: random.Random,
        answers: itertools.count[int],
    ) -> None:
        self.name = name
        self.node = node
        self.history = history
        self.targets = targets
        self.pause_s = 0.03
        self.cancel_during = 0  # calls that are to be cancelled while under way
        self.cancel_after = 0  # calls that are to be cancelled after their answer
        self.sends = True  # further messages
        self.on_read: Callable[[], None] | None = None  # what is to happen while the next read is under way
        self.ready = asyncio.Event()  # its first relay has answered
        self._chance = chance
        self._answers = answers
        self._numbers = itertools.count()
        self._lives = itertools.count()
        self._unsent: tuple[int, str, str | None, Json] | None = None  # number, recipient, id, arguments
        self._scope = anyio.CancelScope()
        self._ended_by_us = False
        self._client: ClientSession | None = None
        self._heard = Heard(self.note)
        self._session = ""
        self._unsure = self._opened = False
        self._pid_file = Path(node.home.root, f"{name}.pid")

    @property
    def unfinished(self) -> bool:
        """Whether the outcome of a message is not known yet."""
        return self._unsent is not None

    # what a fault does

    def kill(self) -> None:
        """kill -9 the relay."""
        self._ended_by_us = True
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(self._pid_file.read_text()), signal.SIGKILL)

    def leave(self) -> None:
        """Let the client end, whatever it waits for: the relay sees the end of its input."""
        self._ended_by_us = True
        self._scope.cancel()

    # lives

    async def run(self, stopping: asyncio.Event, caller: Caller) -> None:
        """Live until stopped, then until the inbox and the feed are read to their ends."""
        finished = False
        while not finished:
            self._scope, self._ended_by_us = anyio.CancelScope(), False
            with self._scope:
                try:
                    finished = await self._life(stopping, caller)
                except* (MCPError, OSError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                    await asyncio.sleep(PAUSE_S)

    async def _life(self, stopping: asyncio.Event, caller: Caller) -> bool:
        self._session = f"{self.name}/{next(self._lives)}"
        self._unsure = self._opened = False
        command = [str(self._pid_file), sys.executable, "-m", "postino", "mcp"]
        parameters = StdioServerParameters(
            command="/bin/sh",
            args=["-c", _RECORD_PID, *command],
            env=self.node.env | {"POSTINO_AGENT_NAME": self.name},
            cwd="/",
        )
        with contextlib.closing(open(os.devnull, "w")) as nowhere:  # noqa: ASYNC230, PTH123
            async with stdio_client(parameters, errlog=nowhere) as (reading, writing):
                self._heard = Heard(self.note)
                read, write = _Tapped(reading, self._heard.came), _Tapped(writing, self._heard.went)
                async with ClientSession(read, write, read_timeout_seconds=ANSWER_S) as self._client:  # type: ignore[arg-type]
                    await self._client.initialize()
                    await self._client.list_tools()
                    self.ready.set()
                    while not stopping.is_set():
                        await self._step()
                        await asyncio.sleep(self.pause_s)
                    return await self._read_out(caller)

    async def _step(self) -> None:
        choice = self._chance.random()
        if self._unsent or (choice < 0.45 and self.sends):
            await self.send()
        elif choice < 0.85:
            await self.read()
        elif choice < 0.92:
            await self.read_feed()
        else:
            await self.call("msg_check")

    async def _read_out(self, caller: Caller) -> bool:
        while self._unsent:
            await self.send()
            await asyncio.sleep(PAUSE_S)
        caught_up = False
        while True:
            if await self.read():
                continue
            await asyncio.sleep(THINK_S)
            await self.call("msg_check")  # acknowledges the last ones
            caught_up = caught_up or await self.read_feed(to_the_end=True)
            if caught_up and (await caller.get(f"messages/{self.name}?limit=1"))["total"] == 0:
                return True
            await asyncio.sleep(0.1)

    # calls

    async def send(self) -> None:
        """Send one message, or try the last one again whose outcome is not known."""
        number, to, id, arguments = self._unsent or self._next()
        started = self.history.now()
        asked = arguments | ({"id": id} if id else {})
        answer = Answer(UNKNOWN, "ended", {})
        try:
            answer = await self.call("msg_send" if to else "msg_broadcast", **asked)
        finally:  # also when the relay or the client ends meanwhile
            told = answer.body.get("id") or id
            given_up = answer.outcome == NONE and self._chance.random() < 0.3
            again = answer.outcome != ACCEPTED and not given_up and (told is not None or answer.outcome == NONE)
            self._unsent = (number, to, told, arguments) if again else None
            self.history.note(
                Try(
                    face="mcp",
                    end=self.node.home.root.name,
                    sender=self.name,
                    to=to,
                    number=number,
                    id=told or "",
                    started=started,
                    ended=self.history.now(),
                    outcome=answer.outcome,
                    code=answer.code,
                    seq=answer.body.get("seq", 0),
                    created=answer.body.get("created", True),
                )
            )

    def _next(self) -> tuple[int, str, str | None, Json]:
        number = next(self._numbers)
        to = "" if self._chance.random() < 0.05 else self._chance.choice(self.targets).format(f"{self.name}-{number}")
        body = {"body": body_of(self.name, number, choose_shape(self._chance))}
        id = f"{self.name}-{number}" if self._chance.random() < 0.5 else None
        self._unsent = number, to, id, body | ({"to": to} if to else {})
        return self._unsent

    async def read(self) -> int:
        """Read mail; return how many messages came."""
        resumed = self._unsure
        on_read, self.on_read = self.on_read, None
        if on_read is not None:
            asyncio.get_running_loop().call_later(self._chance.uniform(0.001, 0.01), on_read)
        answer = await self.call("msg_read", limit=self._chance.choice([1, 5, 10, 20]))
        self._unsure = bool(answer.code)
        items = answer.body.get("messages", [])
        if not answer.code:
            if not self._opened:  # only now has whoever held something before given it back
                self.history.note(Opened(session=self._session, inbox=self.name, at=self.history.now()))
                self._opened = True
            self.note(items, resumed=resumed)
        if items and self._chance.random() < 0.1:
            await self.call("msg_ack", ids=[each["id"] for each in items])
        elif items and self._chance.random() < 0.8:
            await asyncio.sleep(THINK_S)
        return len(items)

    async def read_feed(self, to_the_end: bool = False) -> bool:
        """Read broadcasts; return whether that was the last of them."""
        answer = await self.call("msg_broadcasts", limit=20)
        # the lines about agents that left are no broadcasts
        broadcasts = [each for each in answer.body.get("broadcasts", []) if each.get("kind") != "departure"]
        self.note(broadcasts, broadcast=True)
        if not to_the_end or answer.code or broadcasts:
            return False
        self.history.note(Unread(reader=self.name, missed=answer.body["missed"]))
        return True

    def note(self, items: list[Json], **more: Any) -> None:
        """Note what an answer showed."""
        number = next(self._answers)
        for each in items:
            note_shown(self.history, each, face="mcp", session=self._session, inbox=self.name, answer=number, **more)

    async def call(self, tool: str, **arguments: Any) -> Answer:
        """Call a tool once; the end of the relay passes through, whatever the tool answers does not."""
        assert self._client is not None
        started, answer = self.history.now(), Answer(UNKNOWN, "cancelled", {})
        patience = None
        if self.cancel_during:
            self.cancel_during -= 1
            patience = self._chance.choice([0.0, 0.001, 0.003, 0.006, 0.02])
        try:
            with anyio.move_on_after(patience) as scope:
                answer = _read(await self._client.call_tool(tool, arguments))
            if scope.cancelled_caught:
                self._heard.cancel()
        except MCPError as error:
            data = error.data if isinstance(error.data, dict) else {}
            outcome = data.get("outcome") or (NONE if "nothing was done" in error.message else UNKNOWN)
            answer = Answer(outcome, data.get("code") or error.message[:60], data)
            if "onnection closed" in error.message:
                if not self._ended_by_us:
                    self._note_call(tool, started, answer)
                raise
        if answer.code != "cancelled":
            self._note_call(tool, started, answer)
        if self.cancel_after and not answer.code:
            self.cancel_after -= 1
            await self._cancel(self._heard.last)
        return answer

    def _note_call(self, tool: str, started: float, answer: Answer) -> None:
        outcome = answer.outcome if answer.code else ""
        ended = self.history.now()
        self.history.note(Call(face="mcp", tool=tool, started=started, ended=ended, code=answer.code, outcome=outcome))

    async def _cancel(self, request: types.RequestId) -> None:
        assert self._client is not None
        parameters = types.CancelledNotificationParams(request_id=request)
        await self._client.send_notification(types.CancelledNotification(params=parameters))


def _read(result: Any) -> Answer:
    body = json.loads("".join(getattr(part, "text", "") for part in result.content))
    if not result.is_error:
        return Answer(ACCEPTED, "", body)
    return Answer(body.get("outcome", NONE), body.get("code", "error"), body)


class Heard:
    """What went over a relay's stdio: the id of the last call, and answers to calls that were cancelled.

    An answer may come after the cancel, or in the moment of it: then the client has it and drops it.
    """

    def __init__(self, note: Callable[..., None]) -> None:
        self._note_items = note
        self.last: types.RequestId = 0
        self._cancelled: set[types.RequestId] = set()
        self._answer: types.JSONRPCResponse | None = None  # to the last call

    def cancel(self) -> None:
        """The client has given up the last call."""
        self._cancelled.add(self.last)
        if self._answer is not None:
            self._note(self._answer)

    def went(self, item: SessionMessage) -> None:
        if isinstance(item.message, types.JSONRPCRequest):
            self.last, self._answer = item.message.id, None

    def came(self, item: SessionMessage) -> None:
        if not isinstance(item.message, types.JSONRPCResponse):
            return
        if item.message.id in self._cancelled:
            self._note(item.message)
        elif item.message.id == self.last:
            self._answer = item.message

    def _note(self, answer: types.JSONRPCResponse) -> None:
        text = "".join(part.get("text", "") for part in answer.result.get("content", []))
        with contextlib.suppress(ValueError):
            body = json.loads(text)
            self._note_items(body.get("messages", []), crossed=True)
            self._note_items(body.get("broadcasts", []), crossed=True, broadcast=True)


class _Tapped:
    """A message stream of the SDK's transport, with a listener."""

    def __init__(self, stream: Any, listener: Any) -> None:
        self._stream = stream
        self._listener = listener

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def __aenter__(self) -> _Tapped:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)

    def __aiter__(self) -> _Tapped:
        return self

    async def __anext__(self) -> Any:
        item = await self._stream.__anext__()
        return self._pass(item)

    async def receive(self) -> Any:
        return self._pass(await self._stream.receive())

    async def send(self, item: Any) -> None:
        self._listener(item)
        await self._stream.send(item)

    def _pass(self, item: Any) -> Any:
        if isinstance(item, SessionMessage):
            self._listener(item)
        return item
