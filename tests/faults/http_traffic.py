"""Senders and readers over HTTP. Each keeps trying until it knows the outcome, and notes what it was told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp

from postino.paths import Home
from tests.faults.bodies import body_of, choose_shape, parse
from tests.faults.history import ACCEPTED, NONE, UNKNOWN, UNSENT, Call, History, Opened, Shown, Try, Unread

PATIENCE_S = 10.0  # for one answer
PAUSE_S = 0.03  # between two tries
Json = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came of a request: `code` is empty for a success; `outcome` as in a try."""

    outcome: str
    code: str
    body: Json


class Caller:
    """One HTTP client of one daemon, over its unix socket."""

    def __init__(self, home: Home, history: History) -> None:
        self.history = history
        self._session = aiohttp.ClientSession(
            "http://localhost",
            connector=aiohttp.UnixConnector(str(home.socket)),
            timeout=aiohttp.ClientTimeout(total=PATIENCE_S),
        )
        self.cut_after: float | None = None  # s after which the next request is cut off by its client

    async def close(self) -> None:
        """End the connection."""
        await self._session.close()

    async def post(self, tool: str, path: str, body: Json) -> Answer:
        """Post once; never raises for what a fault may cause."""
        cut, self.cut_after = self.cut_after, None
        started = self.history.now()
        try:
            async with asyncio.timeout(cut):
                async with self._session.post(f"/api/{path}", json=body) as response:
                    answer = _read(response.status, await response.read())
        except aiohttp.ClientConnectorError:
            answer = Answer(UNSENT, "unreachable", {})
        except (TimeoutError, aiohttp.ClientError, OSError):
            return Answer(UNKNOWN, "unreachable", {})
        self.history.note(
            Call(
                face="http",
                tool=tool,
                started=started,
                ended=self.history.now(),
                code=answer.code,
                outcome=answer.outcome if answer.code else "",
            )
        )
        return answer

    async def get(self, path: str) -> Json:
        """Get until there is an answer of the daemon."""
        while True:
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError, ValueError):
                async with self._session.get(f"/api/{path}") as response:
                    if response.status != 503:
                        return dict(json.loads(await response.read()))
            await asyncio.sleep(PAUSE_S)


def _read(status: int, data: bytes) -> Answer:
    body = json.loads(data)
    if status == 200:
        return Answer(ACCEPTED, "", body)
    return Answer(body.get("outcome", NONE), body["code"], body)


class Sender:
    """Sends numbered messages to some recipients, in turn, or broadcasts."""

    def __init__(self, name: str, end: str, caller: Caller, targets: list[str], chance: random.Random) -> None:
        self.name = name
        self.end = end
        self.caller = caller
        self.targets = targets  # "" is the feed; a name with {} is new each time
        self.pause_s = 0.03
        self._chance = chance
        self._numbers = itertools.count()
        self._burst: list[tuple[str, str]] = []  # recipient and shape of the next ones

    async def run(self, stopping: asyncio.Event) -> None:
        """Send until stopped; the last message is finished."""
        while not stopping.is_set():
            await self.send_one(stopping)
            await asyncio.sleep(self.pause_s)

    async def send_one(self, stopping: asyncio.Event) -> None:
        """Send one message until its outcome is known, now and then giving up after a refusal."""
        number = next(self._numbers)
        to, shape = self._next()
        to = to.format(f"{self.name}-{number}")
        id: str | None = f"{self.name}-{number}" if self._chance.random() < 0.7 else None
        body = {"from": self.name, "body": body_of(self.name, number, shape)}
        while True:
            history, started = self.caller.history, self.caller.history.now()
            asked = body | ({"to": to} if to else {}) | ({"id": id} if id else {})
            answer = await self.caller.post("send", "messages" if to else "broadcasts", asked)
            told = answer.body.get("id")
            history.note(
                Try(
                    face="http",
                    end=self.end,
                    sender=self.name,
                    to=to,
                    number=number,
                    id=told or id or "",
                    started=started,
                    ended=history.now(),
                    outcome=answer.outcome,
                    code=answer.code,
                    seq=answer.body.get("seq", 0),
                    created=answer.body.get("created", True),
                )
            )
            id = id or told
            if answer.outcome == ACCEPTED:
                return
            if answer.outcome == UNKNOWN and id is None:
                return  # a bare caller that was told no id cannot know
            if answer.outcome == NONE and self._chance.random() < 0.3:
                return  # given up: nothing of it may ever be seen
            if answer.outcome == UNSENT and stopping.is_set():
                return
            await asyncio.sleep(PAUSE_S)

    def _next(self) -> tuple[str, str]:
        """Return a recipient and a shape; now and then eight long ones go to the same."""
        if not self._burst:
            to, often = self._chance.choice(self.targets), self._chance.random() < 0.01
            self._burst = [(to, "newlines")] * 8 if often else [(to, choose_shape(self._chance))]
        return self._burst.pop()


class Reader:
    """Reads one inbox: acknowledges, returns, forgets, dies and is followed by another."""

    def __init__(self, inbox: str, caller: Caller, chance: random.Random, answers: itertools.count[int]) -> None:
        self.inbox = inbox
        self.caller = caller
        self.pause_s = 0.02
        self.careful = False  # only acknowledge: the run is read out
        self._chance = chance
        self._answers = answers
        self._lives = itertools.count()

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until stopped, then until the inbox is empty."""
        unsure, consumer = False, self._born()
        while True:
            # all that a lost answer may have leased comes again at once, or later mail would overtake it
            limit = 200 if unsure else self._chance.randint(1, 20)
            asked = {"limit": limit, "consumer": consumer, "resume": unsure}
            answer = await self.caller.post("read", f"messages/{self.inbox}/read", asked)
            if answer.code:
                unsure = unsure or answer.outcome == UNKNOWN
                await asyncio.sleep(PAUSE_S)
                continue
            items, unsure, resumed = answer.body["items"], False, unsure
            self._note(items, consumer, resumed)
            ids = [each["id"] for each in items]
            fate = 1.0 if stopping.is_set() or self.careful else self._chance.random()
            if ids and fate < 0.1:
                await self._settle("nack", ids[len(ids) // 2 :], consumer)
                await self._settle("ack", ids[: len(ids) // 2], consumer)
            elif ids and fate < 0.14:
                consumer = self._born()  # the one before died without a word: its leases have to end
            elif ids:
                await self._settle("ack", ids, consumer)
            elif stopping.is_set() and (await self.caller.get(f"messages/{self.inbox}?limit=1"))["total"] == 0:
                return
            await asyncio.sleep(self.pause_s)

    def _born(self) -> str:
        name = f"{self.inbox}-{next(self._lives)}"
        self.caller.history.note(Opened(session=name, inbox=self.inbox, at=self.caller.history.now()))
        return name

    async def _settle(self, verb: str, ids: list[str], consumer: str) -> None:
        """Try until there is an answer; a lease that ended meanwhile is one."""
        while ids:
            answer = await self.caller.post(verb, f"messages/{self.inbox}/{verb}", {"ids": ids, "consumer": consumer})
            if answer.code in ("", "lease_lost"):
                return
            await asyncio.sleep(PAUSE_S)

    def _note(self, items: list[Json], consumer: str, resumed: bool) -> None:
        number = next(self._answers)
        for each in items:
            note_shown(
                self.caller.history, each, face="http", session=consumer, inbox=self.inbox, answer=number,
                resumed=resumed,
            )  # fmt: skip


def note_shown(history: History, item: Json, **more: Any) -> None:
    """Note one message or broadcast that a client was shown."""
    sender, number, sound = parse(item["body"])
    if item["from"] == "system":
        return  # a notice about a dead letter
    history.note(
        Shown(
            at=history.now(),
            id=item["id"],
            seq=item["seq"],
            sender=sender,
            number=number,
            sound=sound and item["from"] == sender,
            delivery=item.get("delivery", 1),
            redelivered=item.get("redelivered", False),
            **more,
        )
    )


class Listener:
    """Follows the event stream and resumes it after each break."""

    def __init__(self, home: Home, history: History) -> None:
        self._home = home
        self._history = history
        self._listening: asyncio.Task[None] | None = None
        self.heard = 0
        self.last = ""

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until stopped."""
        while not stopping.is_set():
            self._listening = asyncio.create_task(self._listen())
            try:
                await asyncio.wait([self._listening], timeout=5)
            finally:
                self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
            await asyncio.sleep(PAUSE_S)

    def drop(self) -> None:
        """Break the connection."""
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        async for line in self._lines():
            if line.startswith(b"id:"):
                self.heard += 1
                self.last = line[3:].strip().decode()

    async def _lines(self) -> AsyncIterator[bytes]:
        resume = {"Last-Event-ID": self.last} if self.last else {}
        connector = aiohttp.UnixConnector(str(self._home.socket))
        async with (
            aiohttp.ClientSession("http://localhost", connector=connector) as session,
            session.get("/api/events", headers=resume) as response,
        ):
            async for line in response.content:
                yield line


class FeedReader:
    """Reads the broadcasts as an agent, and moves its cursor only when it has them."""

    def __init__(self, name: str, caller: Caller, answers: itertools.count[int]) -> None:
        self.name = name
        self.caller = caller
        self._answers = answers

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until stopped, then until there are no more."""
        while True:
            answer = await self.caller.post("broadcasts", f"broadcasts/{self.name}/read", {"limit": 20, "ack": "lease"})
            items = answer.body.get("items", [])
            number = next(self._answers)
            for each in items:
                note_shown(
                    self.caller.history, each, face="http", session=self.name, inbox=self.name, answer=number,
                    broadcast=True,
                )  # fmt: skip
            if items:
                await self.caller.post("seen", f"broadcasts/{self.name}/seen", {"id": items[-1]["id"]})
            elif stopping.is_set() and not answer.code:
                self.caller.history.note(Unread(reader=self.name, missed=answer.body["missed"]))
                return
            await asyncio.sleep(0.1)
