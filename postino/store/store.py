"""Runs scripts by name against one Valkey; the modules beside this one give each script its typed method."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from postino.errors import PostinoError, StoreAway, StoreFull, partly_done
from postino.home_store import HomeStore
from postino.store import scripts
from postino.store.calls import denied, forgotten, run_encoded, run_plain, run_refused, run_script
from postino.store.commands import Commands, Values
from postino.store.fence import PROMISING, Fence, Replicas
from postino.store.fence import QUESTIONS as FENCE_QUESTIONS
from postino.store.identity import FORMAT, Identity
from postino.store.keys import Keys
from postino.store.marks import Marks
from postino.store.migrate import migrate
from postino.store.pipeline import Pipeline, raise_first
from postino.store.probe import QUESTIONS, UNKNOWN, commands_json, history_of, judge, refusals, refuse_replica
from postino.store.scripts import Script
from postino.store.spellings import keep_spellings, present_names
from postino.store.valkey.primary import Primary
from postino.store.wire import Command, Encoded
from postino.tasks import cancelled

PART_BYTES = 4_000_000  # bodies in one reply: as much as the daemon turns into JSON without delaying other callers
MOST_ROOM = 16  # quarters of the history that one call gives up: nothing but a hundredth is left then
#: the scripts for which the history gives way in a full memory: those that accept new mail
_MAKES_ROOM = frozenset({"send", "send_many", "broadcast"})
_MAX_HOPS = 4  # an agent renamed this often between two calls is no longer a race


class Limits(msgspec.Struct, frozen=True):
    """What bounds an inbox; times in milliseconds."""

    ttl_ms: int
    lease_ms: int
    max_deliveries: int
    max_inbox: int


log = structlog.get_logger()


class WrongAgent(Exception):
    """A session acts as another agent than its caller took it for: `agent`, None when it has to join again."""

    def __init__(self, agent: str | None) -> None:
        super().__init__(agent)
        self.agent = agent


class Store:
    """A Valkey under one key prefix."""

    def __init__(
        self,
        url: str,
        prefix: str,
        identity: Identity | None = None,
        explain: Callable[[], str | None] | None = None,
        replicas: Replicas = 0,
    ) -> None:
        self.url = url
        self.identity = identity or Identity(HomeStore(url, prefix))
        self.server = UNKNOWN  # until it has been asked
        self._room: asyncio.Task[int] | None = None  # makes room in a full memory, for all who wait for it
        self.keys = Keys(prefix)
        self.marks = Marks()
        self.scripts = scripts.packaged()
        self._commands = Commands(self.scripts, self.keys)
        self.primary = Primary(url, self.keys.shared("meta"))
        self.writes = Pipeline(self.primary, explain=explain)
        # for long replies, so that no send waits behind them
        self.reads = Pipeline(self.primary, read_only=True, explain=explain)
        #: for what promises something, so that nothing else waits until replicas have it; without replicas as any write
        self.promises = self.writes
        self._fence: Fence | None = None
        if replicas:
            self._fence = Fence(replicas, self.scripts["fence"], self.keys.shared("meta"), self.primary)
            self.promises = Pipeline(self.primary, explain=explain, fence=self._fence)

    @property
    def durability(self) -> str:
        """`fsync` if an answered write is on disk, `replicated` on that of replicas too; else `volatile`."""
        if self._fence is not None and self._fence.on_disk and self.server.durability == "fsync":
            return "replicated"
        return self.server.durability

    @property
    def warnings(self) -> list[str]:
        """What somebody should know of the server, one sentence each."""
        return [*self.server.warnings, *(self._fence.warnings if self._fence is not None else ())]

    @property
    def connections(self) -> list[Pipeline]:
        """Those that all callers share."""
        return list(dict.fromkeys([self.writes, self.reads, self.promises]))

    def open(self) -> None:
        """Accept calls on all connections. Each new one loads its scripts, and is used only for the right store."""
        self.writes.open(
            lambda: [*self._loads(*self.scripts), *QUESTIONS, self._rights(), self._identify()], self._verify
        )
        self.reads.open(lambda: [*self._loads("part", "describe", "identify"), self._identify()], self._verify_identity)
        if self._fence is not None:
            loads = ("identify", *(name for name in self.scripts if name in PROMISING))
            self.promises.open(lambda: [*self._loads(*loads), self._identify(), *FENCE_QUESTIONS], self._verify_fence)

    def _loads(self, *names: str) -> list[Command]:
        return [("SCRIPT", "LOAD", self.scripts[name].source) for name in names]

    def _rights(self) -> Command:
        return (*self._commands.head("rights"), commands_json(), json.dumps(self.keys.of_each_kind()))

    def _identify(self) -> Command:
        return (*self._commands.head("identify"), self.identity.offered, FORMAT)

    def _verify(self, replies: list[Any]) -> None:
        loads = len(self.scripts)
        raise_first(replies[:loads])
        self._judge(replies[loads:])

    def _judge(self, replies: list[Any]) -> None:
        *answers, rights, identity = replies
        found = judge(
            self.identity.here.address, answers, rights, moves=self.primary.moves, fenced=self._fence is not None
        )
        raise_first([identity])
        self.identity.check(identity, history_of(answers))
        if found != self.server:
            log.info("valkey_judged", server=found.server, durability=found.durability)
            for warning in found.warnings:
                log.warning("valkey_warning", warning=warning)
        self.server = found

    def _verify_identity(self, replies: list[Any]) -> None:
        raise_first(replies)
        self.identity.check(replies[-1])

    def _verify_fence(self, replies: list[Any]) -> None:
        assert self._fence is not None
        asked = len(FENCE_QUESTIONS)
        self._verify_identity(replies[:-asked])
        self._fence.admit(*replies[-asked:])

    def _connection(self, name: str) -> Pipeline:
        return self.promises if name in PROMISING else self.writes

    async def connect(self, patience_s: float = 0.0) -> None:
        """Connect and ask the server what it is; one that gives no answer in time is asked again for `patience_s`.

        Raises:
            StoreAway: there is no usable server; the message names it without the password and says what to do.
            WrongStore: it is not the right store, or its data has a newer format.
        """
        deadline = time.monotonic() + patience_s
        with refusals(self.identity.here):
            while True:
                try:
                    return await self._connect()
                except StoreAway as error:
                    if time.monotonic() >= deadline or not isinstance(error.__cause__, (TimeoutError, RedisTimeout)):
                        raise

    async def _connect(self) -> None:
        self.identity.migrates = True
        try:
            await self.now_ms()
            if self.identity.format < FORMAT:
                confirm = (lambda: self.run("fence", "", {})) if self._fence is not None else None
                await migrate(self.writes, self.keys, self.scripts["migrate"], confirm)
            await keep_spellings(self.writes, self.keys, self.scripts["keep_spellings"])
        finally:
            self.identity.migrates = False

    async def ask_server(self) -> None:
        """Ask the server again what it is. If it is no longer usable, drop the connection: the next one tells why."""
        asked = [*QUESTIONS, self._rights(), self._identify()]
        replies = await asyncio.gather(*(self.writes.call(*each) for each in asked), return_exceptions=True)
        if any(isinstance(each, PostinoError) and not denied(each) for each in replies) or forgotten(replies):
            return  # no reply; the connection's callers hear of that
        try:
            self._judge(replies)
        except PostinoError as error:
            log.warning("valkey_refused", error=error.message)
            self.writes.drop(error)

    async def follow(self) -> None:
        """Find out where the primary is and what replicas it has; connections to a former one end.

        Called every second: a former primary under Sentinels takes writes until it is told, and a replica that has
        joined unseen may be promoted unseen.
        """
        await self.primary.look()
        if self._fence is not None:
            with contextlib.suppress(PostinoError, RedisError):
                if self._fence.see(await self.writes.call("ROLE")):
                    self.promises.drop(StoreAway("a replica has left", outcome="unknown"))

    async def try_write(self) -> None:
        """Write something, as a send would; but the history does not give way, it only counts as room that is left.

        Raises:
            StoreAway: a send would be refused now.
        """
        try:
            await self.run("try_write", "", {})
        except StoreFull:
            if not await self.query("XLEN", self.keys.shared("history")):
                raise

    async def close(self) -> None:
        """Close all connections."""
        await cancelled(self._room)
        for each in self.connections:
            await each.close()

    def blocking_reader(self) -> Pipeline:
        """Return a separate connection for blocking reads; the caller closes it."""
        reader = Pipeline(self.primary, read_only=True)
        reader.open(lambda: [("INFO", "replication")] if self.primary.moves else [], refuse_replica)
        return reader

    async def call(self, *command: str | int) -> Any:
        """Run one plain command.

        Raises:
            StoreAway: no reply.
        """
        return await run_plain(self.writes, command)

    async def query(self, *command: str | int) -> Any:
        """Run one plain command that changes nothing, on the connection for long replies.

        Raises:
            StoreAway: no reply.
        """
        return await run_plain(self.reads, command)

    async def figures(self) -> dict[str, float]:
        """Return how much there is of what all agents share, by counts that the server keeps."""
        counts = {"names": ("HLEN", "agents"), "online": ("ZCARD", "presence")}
        counts |= {kind: ("XLEN", kind) for kind in ("broadcasts", "history")}
        calls = [self.call(command, self.keys.shared(kind)) for command, kind in counts.values()]
        return dict(zip(counts, map(float, await asyncio.gather(*calls)), strict=True))

    async def server_info(self) -> str:
        """Return the `server` section of INFO."""
        return str(await self.call("INFO", "server"))

    async def present(self, name: str) -> str:
        """Return the present name of an agent, known by a former name or in another case; else `name` itself."""
        return (await present_names(self.writes, self.keys.shared("agents"), [name]))[0]

    async def now_ms(self) -> int:
        """Return Valkey's clock, the only one that leases and times to live are measured by.

        Also asked only to see that there is a reply: a server that cannot save to its disk refuses PING.
        """
        seconds, micros = await self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def run(
        self, name: str, agent: str, values: Values, keys: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> Any:
        """Run the script `name` for `agent`; `keys` replaces keys by their names in the header, `more` follow them.

        In a full memory the history gives way to new mail, and to nothing else.

        Raises:
            PostinoError: the refusal whose code is the first word of the script's error.
            StoreAway: no reply.
        """
        script = self.scripts[name]
        command = self._commands.of(name, agent, values, keys, more)
        try:
            try:
                return await self._connection(name).send(command)
            except ResponseError as refusal:
                return await run_refused(self._connection(name), script, command, refusal)
        except StoreFull as full:  # the server ran nothing, so a second call is no retry
            if name not in _MAKES_ROOM:
                raise
            return await self._run_with_room(script, command, full)

    async def _run_with_room(self, script: Script, command: Encoded, full: StoreFull) -> Any:
        """Run a script that was refused for want of memory again, after the history has given way."""
        for _ in range(MOST_ROOM):
            if not await self._make_room():
                break
            with contextlib.suppress(StoreFull):
                return await run_encoded(self._connection(script.name), script, command)
        raise full

    async def _make_room(self) -> int:
        """Forget the oldest quarter of the history, once for all who wait for room; return how many entries."""
        if self._room is None or self._room.done():
            self._room = asyncio.create_task(self._trim_history(), name="make-room")
        return await asyncio.shield(self._room)

    async def _trim_history(self) -> int:
        script = self.scripts["make_room"]
        forgotten = int(await run_script(self.writes, script, self._commands.head("make_room")))
        if forgotten:
            log.warning("history_gives_way", entries=forgotten, reason="the server's memory is full")
        return forgotten

    async def run_reading(
        self, name: str, agent: str, values: Values, keys: Mapping[str, str] | None = None, more: Sequence[str] = ()
    ) -> Any:
        """Run a script that changes nothing, as `run` does, on the connection for long replies."""
        script = self.scripts[name]
        return await run_encoded(self.reads, script, self._commands.of(name, agent, values, keys, more))

    async def run_named(
        self,
        name: str,
        agent: str,
        /,
        *,
        kinds: Mapping[str, str] | None = None,
        reading: bool = False,
        **values: str | int,
    ) -> tuple[str, list[Any]]:
        """Run a script that acts on an agent, following aliases. Return the agent's present name and the reply.

        `kinds` are those of keys that are not as their names in the header say. With `reading` as `run_reading`.

        Raises:
            PostinoError: as `run`.
            WrongAgent: the session named in `values` does not act as it should; nothing was done.
        """
        run, keys = self.run_reading if reading else self.run, None
        for _ in range(_MAX_HOPS):
            values["agent"] = agent
            if kinds:
                keys = {key: self.keys.named(kind, agent) for key, kind in kinds.items()}
            reply = await run(name, agent, values, keys)
            if isinstance(reply, str):
                return agent, [reply.removeprefix("ok ")]
            if reply[0] != "alias":
                return agent, accepted(reply)
            agent = reply[1]
        raise StoreAway(f"{agent} is renamed again and again", outcome="none")

    async def drain(self, name: str, agent: str) -> int:
        """Run the clearing script `name` until it has removed everything; return how many entries that were."""
        till, removed = "+", 0
        while till:
            with partly_done(removed > 0):
                agent, (till, count) = await self.run_named(name, agent, till=till)
            removed += int(count)
        return removed


class Table:
    """Part of what a store has; the modules beside this one have one each."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits


def accepted(reply: list[Any]) -> list[Any]:
    """Return what a script returned after its first word.

    Raises:
        WrongAgent: that word says that the session does not act as it should.
    """
    if reply[0] == "acts as":
        raise WrongAgent(reply[1])
    if reply[0] == "unknown":
        raise WrongAgent(None)
    return reply[1:]
