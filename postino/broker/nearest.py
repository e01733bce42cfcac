"""Suggests known names for an unknown one: those that resemble it, so that a typing error is noticed at once."""

from __future__ import annotations

import asyncio
import difflib
from collections import Counter
from collections.abc import Iterable

from postino.broker.limited_log import LimitedLog
from postino.store.agents import MANY, SHARE, AgentTable
from postino.store.sessions import SessionTable

FRESH_S = 0.1  # names may be this old: a thousand sends to unknown names then read them ten times a second
STALE_S = 1.0  # and this old while another send reads them
FEW = 200  # names that are all compared with one
COMPARED = 20  # of more, those that share most of its rarest pairs of characters
LOOKED = 500  # at that many places of those pairs


class NameIndex:
    """Known names by the pairs of characters in them, so that one is compared with a few of many."""

    def __init__(self, names: Iterable[str]) -> None:
        self._known = {each.lower(): each for each in names}
        self._by_pair: dict[str, list[str]] = {}
        if len(self._known) > FEW:
            for name in self._known:
                for pair in _pairs(name):
                    self._by_pair.setdefault(pair, []).append(name)

    def __len__(self) -> int:
        return len(self._known)

    def near(self, name: str) -> list[str]:
        """Return up to three names that resemble `name`, best first, without itself."""
        near = difflib.get_close_matches(name.lower(), self._candidates(name.lower()), 4)
        return [self._known[each] for each in near if self._known[each] != name][:3]

    def _candidates(self, name: str) -> Iterable[str]:
        if len(self._known) <= FEW:
            return self._known
        shared: Counter[str] = Counter()
        looked = 0
        for names in sorted((self._by_pair.get(pair, []) for pair in _pairs(name)), key=len):
            if looked > LOOKED:
                break
            shared.update(names[:LOOKED])
            looked += len(names)
        return [each for each, _ in shared.most_common(COMPARED)]


class Nearest:
    """The nearest known names, from a copy of all names that is at most a second old, or of very many some seconds."""

    def __init__(self, agents: AgentTable, sessions: SessionTable) -> None:
        self._agents = agents
        self._sessions = sessions
        self.online: list[str] = []  # the agents that were online when the names were read
        self._index = NameIndex([])
        self._answers: dict[str, list[str]] = {}
        self._read_at, self._took_s = -STALE_S, 0.0
        self._lock = asyncio.Lock()
        self._log = LimitedLog()
        self._reading: asyncio.Task[None] | None = None

    async def of(self, name: str, *, fresh: bool = False) -> list[str]:
        """Return up to three names that resemble `name`, best first; `fresh` reads the names now."""
        # a send that finds the lock held uses the old names: waiting sends would get it one per turn of the loop
        if not fresh and len(self._index) > MANY:
            self._read_soon()
        elif fresh or self._age() > (STALE_S if self._lock.locked() else FRESH_S):
            async with self._lock:
                if fresh or self._age() > FRESH_S:
                    await self._read()
        if name not in self._answers:
            self._answers[name] = self._index.near(name)
        return self._answers[name]

    def _read_soon(self) -> None:
        if self._age() > SHARE * self._took_s and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read_or_log(), name="read-names")

    async def _read_or_log(self) -> None:
        try:
            await self._read()
        except Exception as error:  # the names stay as they are, and the next send tries again
            self._log.warning("names_not_read", error=str(error) or type(error).__name__)

    def _age(self) -> float:
        return asyncio.get_running_loop().time() - self._read_at

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        began = clock()
        names, live = await asyncio.gather(self._agents.names(), self._sessions.live())
        self.online = names.online(live)
        self._index = await asyncio.to_thread(NameIndex, [*names.seen, *names.aliases])
        self._answers = {}
        self._read_at = clock()
        self._took_s = self._read_at - began


def _pairs(name: str) -> set[str]:
    """Return the pairs of neighbouring characters, with those at its ends."""
    whole = f"^{name}$"
    return {whole[at : at + 2] for at in range(len(whole) - 1)}
