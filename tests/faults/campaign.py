"""A campaign: traffic over HTTP and MCP, faults in shifting subsets, everything read out at the end, and a history."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine, Sequence
from typing import Any

from tests.faults import injected
from tests.faults.checker import message_of
from tests.faults.history import ACCEPTED, Any_, Call, Fault, History, Shown, State, Stuck, Try
from tests.faults.http_traffic import Caller, FeedReader, Listener, Reader, Sender
from tests.faults.mcp_traffic import Agent
from tests.faults.stage import LEASE_S, Stage
from tests.waiting import eventually

PERIOD_S = 4.0  # with one subset of the kinds
QUIET = 0.25  # share of the periods without faults
GAP_S = (0.1, 0.5)  # between two faults
RECOVERY_S = 20.0  # a deadline
PATIENCE_S = 20.0 + LEASE_S  # in which a live session reads its inbox to the end; three times that for the rest
READ_OUT_S = 0.1  # more for each inbox that nobody has read so far
READERS = ("reader-a", "reader-b")
AGENTS = ("ada", "ben", "cleo")
NEVER_SEEN = "never-{}"  # recipients that nobody has heard of before


class Campaign:
    """Traffic on a stage, and what is seen of it."""

    def __init__(
        self,
        stage: Stage,
        seed: int,
        kinds: Sequence[type[injected.Fault]],
        *,
        agents: Sequence[str] = AGENTS,
        quiet: float = QUIET,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.stage = stage
        self.seed = seed
        self.chance = random.Random(seed)
        self.kinds = [each for each in kinds if not each.impossible(stage)]
        self.impossible = {each.kind: why for each in kinds if (why := each.impossible(stage))}
        self.history = History()
        self.callers: list[Caller] = []
        self.senders: list[Sender] = []
        self.readers: list[Reader] = []
        self.agents: list[Agent] = []
        self._agents = agents
        self._quiet = quiet
        self._patience_s = patience_s
        self._answers = itertools.count(1)
        self._stop_sending, self._stop_reading = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    # traffic

    async def __aenter__(self) -> Campaign:
        nodes = itertools.cycle(self.stage.nodes)
        targets = [*READERS, *self._agents] * 4 + [NEVER_SEEN]
        for number in range(2):
            node = next(nodes)
            sender = Sender(f"http-{number}", str(number), self._caller(node), targets, self._another())
            self.senders.append(sender)
        feed = Sender("feed", "feed", self._caller(self.stage.nodes[0]), [""], self._another())
        feed.pause_s = 0.3
        for inbox in READERS:
            self.readers.append(Reader(inbox, self._caller(next(nodes)), self._another(), self._answers))
        for name in self._agents:
            self.agents.append(Agent(name, next(nodes), self.history, targets, self._another(), self._answers))
        feed_reader = FeedReader("feed-reader", self._caller(next(nodes)), self._answers)
        self.listener = Listener(self.stage.home, self.history)
        self._sending = [self._spawn(each.run(self._stop_sending)) for each in [*self.senders, feed]]
        self._by_readers = [self._spawn(each.run(self._stop_reading)) for each in self.readers]
        self._reading = list(self._by_readers)
        plain = self._plain()
        self._by_agents = [self._spawn(each.run(self._stop_reading, plain)) for each in self.agents]
        self._reading += self._by_agents
        self._reading += [self._spawn(each.run(self._stop_reading)) for each in (feed_reader, self.listener)]
        return self

    async def __aexit__(self, *error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for caller in [*self.callers, *self._plain_callers]:
            await caller.close()

    _plain_callers: list[Caller] = []

    def _plain(self) -> Caller:
        """Return a caller that no fault cuts off."""
        caller = Caller(self.stage.home, self.history)
        self._plain_callers = [*self._plain_callers, caller]
        return caller

    def _caller(self, node: Any) -> Caller:
        self.callers.append(Caller(node.home, self.history))
        return self.callers[-1]

    def _another(self) -> random.Random:
        return random.Random(self.chance.random())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        self._tasks.append(asyncio.create_task(work))
        return self._tasks[-1]

    def any_agent(self) -> Agent:
        """Return one of the MCP agents."""
        return self.chance.choice(self.agents)

    # faults

    async def ready(self) -> None:
        """Return when every agent's relay has answered."""
        async with asyncio.timeout(RECOVERY_S):
            await asyncio.gather(*(each.ready.wait() for each in self.agents))

    async def disturb(self, seconds: float) -> None:
        """Inject faults for so long: in each period another subset of the kinds, in some none."""
        end = self.history.now() + seconds
        while self.history.now() < end:
            period = min(end, self.history.now() + PERIOD_S)
            if self.chance.random() < self._quiet:
                await asyncio.sleep(period - self.history.now())
                continue
            kinds = self.chance.sample(self.kinds, min(len(self.kinds), self.chance.randint(1, 4)))
            while self.history.now() < period:
                await self.one(self.chance.choice(kinds))
                await asyncio.sleep(self.chance.uniform(*GAP_S))

    async def tour(self) -> None:
        """Inject one fault of each kind, in some order."""
        for kind in self.chance.sample(self.kinds, len(self.kinds)):
            await self.one(kind)
            await asyncio.sleep(self.chance.uniform(*GAP_S))

    async def every(self, seconds: float, times: int) -> None:
        """Inject one fault in so many seconds, the kinds in turn."""
        for number in range(times):
            began = self.history.now()
            await self.one(self.kinds[number % len(self.kinds)])
            await asyncio.sleep(max(0.0, began + seconds - self.history.now()))

    async def one(self, kind: type[injected.Fault]) -> None:
        """Inject one fault, end it, and wait until every HTTP sender has been served again."""
        fault = kind(self)
        started = self.history.now()
        try:
            await fault.inject()
            await asyncio.sleep(self.chance.uniform(*fault.hold))
        finally:
            ended, served = self.history.now(), self._served()
            await fault.heal()
        recovered = await served if fault.stops else ended
        if not fault.stops:
            served.cancel()
        self.history.note(Fault(kind=fault.kind, started=started, ended=ended, recovered=recovered, stops=fault.stops))

    def _served(self) -> asyncio.Task[float | None]:
        """Return when, from now on, the last of the HTTP senders had a message accepted that it sent after now."""
        began = self.history.now()
        waiting = {each.name for each in self.senders}
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()

        def listener(entry: Any_) -> None:
            if isinstance(entry, Try) and entry.outcome == ACCEPTED and entry.ended > began + 0.001:
                waiting.discard(entry.sender)
                if not waiting and not done.done():
                    done.set_result(entry.ended)

        async def wait() -> float | None:
            forget = self.history.listen(listener)
            try:
                async with asyncio.timeout(RECOVERY_S):
                    return await done
            except TimeoutError:
                return None
            finally:
                forget()

        return asyncio.create_task(wait())

    # the end

    async def finish(self) -> History:
        """Stop sending, read everything out, ask what became of what nobody was shown; return the history."""
        try:
            async with asyncio.timeout(3 * self._patience_s):
                self._stop_sending.set()
                for agent in self.agents:
                    agent.sends = False
                await asyncio.gather(*self._sending)
                await eventually(lambda: not any(each.unfinished for each in self.agents), seconds=3 * self._patience_s)
            self._stop_reading.set()
            others = await self._let_readers_finish()
            async with asyncio.timeout(3 * self._patience_s + READ_OUT_S * len(others)):
                await self._read_out(others)
        except TimeoutError:
            pass  # what was not read by now is found as lost
        async with asyncio.timeout(3 * self._patience_s):
            await self._ask_states()
        self._note_tracebacks()
        return self.history

    async def _let_readers_finish(self) -> set[str]:
        """End every session; return the inboxes that others have to read, because their own did not get everything."""
        _, late = await asyncio.wait(self._reading, timeout=self._patience_s)
        inboxes = {each.to for each in self.history.of(Try)} - {*READERS, *self._agents, ""}
        for agent, task in zip(self.agents, self._by_agents, strict=True):
            if task in late:
                left = (await self._plain().get(f"messages/{agent.name}?limit=1"))["total"]
                self.history.note(Stuck(inbox=agent.name, left=left))
                inboxes.add(agent.name)
        inboxes |= {each.inbox for each, task in zip(self.readers, self._by_readers, strict=True) if task in late}
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return inboxes

    async def _read_out(self, inboxes: set[str]) -> None:
        caller, stopped, enough = self._plain(), asyncio.Event(), asyncio.Semaphore(4)
        stopped.set()

        async def read_out(inbox: str) -> None:
            reader = Reader(inbox, caller, self._another(), self._answers)
            async with enough:
                await reader.run(stopped)

        await asyncio.gather(*(read_out(each) for each in sorted(inboxes)))

    async def _ask_states(self) -> None:
        """Ask of each message that nobody was shown, under each of its ids."""
        seen = {message_of(each) for each in self.history.of(Shown)}
        unseen = {(t.to, t.id) for t in self.history.of(Try) if t.to and (t.to, t.sender, t.number) not in seen}
        caller = self._plain()
        for inbox, id in sorted(unseen):
            if id:
                answer = await caller.get(f"messages/{inbox}/{id}")
                state = str(answer.get("state") or answer.get("code"))
                self.history.note(State(inbox=inbox, id=id, state=state))

    def _note_tracebacks(self) -> None:
        for node in self.stage.nodes:
            lines = node.home.log.read_text(errors="replace").splitlines() if node.home.log.exists() else []
            for at, line in enumerate(lines):
                if "Traceback" in line:
                    what = " ".join(lines[at : at + 40])[:4000]  # its last line names the error
                    self.history.note(Call(face="log", tool=what, started=0, ended=0, code="internal"))
