"""Run scripts by name against one Valkey; the rooms beside this one give each script its typed method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from redis.asyncio.client import Redis
from redis.exceptions import RedisError, ResponseError

from postino.errors import ERRORS, PostinoError, StoreAway
from postino.paths import folder
from postino.store import scripts
from postino.store.keys import Keys
from postino.store.pipeline import ANSWER_S, Pipeline, away, client, code_of
from postino.store.scripts import Script

PAGE_BYTES = 4_000_000  # of one answer: what the daemon can turn into JSON without keeping others waiting
_HOPS = 4  # an agent renamed this often between two calls is not a race any more


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds an inbox; times in milliseconds."""

    ttl_ms: int
    lease_ms: int
    max_deliveries: int
    max_inbox: int


class Store:
    """A Valkey under one key prefix."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.durability = "volatile"  # until the server has been asked
        self.keys = Keys(prefix)
        self.scripts = scripts.load(folder("lua"))
        self.writes = Pipeline(url)
        self.reads = Pipeline(url, changes=False)  # for long answers: no sender waits behind them
        #: everything before the arguments is the same in each call of one script for one agent
        self._head = lru_cache(4096)(lambda name, agent: self._make_head(self.scripts[name], agent, {}))

    def open(self) -> None:
        """Start both connections; the scripts are loaded on every new one."""
        self.writes.open([("SCRIPT", "LOAD", each.source) for each in self.scripts.values()])
        self.reads.open([("SCRIPT", "LOAD", self.scripts["slice"].source)])

    async def close(self) -> None:
        """End both connections."""
        await self.writes.close()
        await self.reads.close()

    def reader(self) -> Pipeline:
        """Return a connection of its own for blocking reads; its owner closes it."""
        reader = Pipeline(self.url, changes=False)
        reader.open([])
        return reader

    def asker(self) -> Redis:
        """Return a client for a few questions before the store is open, each answered in time; its owner closes it."""
        return client(self.url, timeout_s=ANSWER_S)

    async def call(self, *command: str | int) -> Any:
        """Run one plain command.

        Raises:
            StoreAway: no answer.
        """
        try:
            return await self.writes.call(*command)
        except ResponseError as refusal:
            raise _translated(refusal) from None

    async def ask(self, *command: str | int) -> Any:
        """Run one plain command that changes nothing, beside the writing connection.

        Raises:
            StoreAway: no answer.
        """
        try:
            return await self.reads.call(*command)
        except ResponseError as refusal:
            raise _translated(refusal) from None

    async def slice(self, stream: str, offset: int, limit: int) -> tuple[int, list[Any]]:
        """Return the length of a stream of messages and a slice of it, oldest first, at most PAGE_BYTES of bodies.

        Raises:
            StoreAway: no answer.
        """
        script = self.scripts["slice"]
        for sure in (script.sha, None):
            if sure is None:
                await self.ask("SCRIPT", "LOAD", script.source)
            try:
                total, items = await self.reads.call("EVALSHA", script.sha, 1, stream, offset, limit, PAGE_BYTES)
            except ResponseError as refusal:
                if code_of(refusal) != "NOSCRIPT":
                    raise _translated(refusal) from None
            else:
                return int(total), items
        raise StoreAway("Valkey drops its scripts as fast as they are loaded", outcome="none")

    async def present(self, name: str) -> str:
        """Return the present name behind `name`, itself if it is no alias."""
        value: str | None = await self.call("HGET", self.keys.shared("agents"), name)
        return value[1:].partition(" ")[0] if value and value.startswith("@") else name

    async def now_ms(self) -> int:
        """Return Valkey's clock: the only one that decides."""
        seconds, micros = await self.call("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    async def run(
        self, name: str, agent: str, values: Mapping[str, str | int], keys: Mapping[str, str] | None = None
    ) -> Any:
        """Run the script `name` for `agent`; `keys` overrides key names of its header.

        Raises:
            PostinoError: the refusal whose code is the first word of the script's error.
            StoreAway: no answer.
        """
        script = self.scripts[name]
        head = self._head(name, agent) if keys is None else self._make_head(script, agent, keys)
        command = head + script.arguments(values)
        try:
            return await self.writes.call(*command)
        except ResponseError as refusal:
            if code_of(refusal) != "NOSCRIPT":
                raise _translated(refusal) from None
        # the script cache is volatile; nothing ran, so this is no retry
        try:
            await self.writes.call("SCRIPT", "LOAD", script.source)
            return await self.writes.call(*command)
        except ResponseError as refusal:
            raise _translated(refusal) from None

    def _make_head(self, script: Script, agent: str, keys: Mapping[str, str]) -> tuple[str | int, ...]:
        places = [keys.get(key) or self.keys.named(key, agent) for key in script.keys]
        return "EVALSHA", script.sha, len(places), *places

    async def run_named(self, name: str, agent: str, **values: str | int) -> tuple[str, list[Any]]:
        """Run a script that acts on an agent; follow aliases. Return the present name and the reply.

        Raises:
            PostinoError: as `run`.
        """
        for _ in range(_HOPS):
            reply = await self.run(name, agent, {"agent": agent, **values})
            if reply[0] != "alias":
                return agent, reply[1:]
            agent = reply[1]
        raise StoreAway(f"{agent} is being renamed again and again", outcome="none")

    async def drain(self, name: str, agent: str) -> int:
        """Run the clearing script `name` until nothing is left for it; return how many entries it removed."""
        until, removed = "+", 0
        while until:
            agent, (until, count) = await self.run_named(name, agent, until=until)
            removed += int(count)
        return removed


def pairs(flat: list[str]) -> dict[str, str]:
    """Turn [field, value, ...] into a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _translated(refusal: RedisError) -> PostinoError:
    word, _, sentence = str(refusal).partition(" ")
    known = ERRORS.get(word.lower())
    if known is not None:
        return known(sentence)
    if code_of(refusal) == "WRONGTYPE":  # another program's key, met perhaps after the first write
        return away(refusal, outcome="unknown")
    if code_of(refusal) in ("CROSSSLOT", "MOVED", "ASK"):
        return away(refusal, outcome="none")
    return PostinoError(f"Valkey refused a command: {refusal}")
