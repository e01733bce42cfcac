"""Traffic through failovers: senders that repeat the same id until it is accepted, and a history for the checker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic, time
from typing import Any, NamedTuple

from redis import RedisError, ResponseError

from postino.broker import Broker
from postino.config import Settings
from postino.errors import PostinoError, StoreAway
from postino.model import Draft, Sender
from postino.paths import Home
from tests.faults.bodies import body_of, parse
from tests.faults.checker import judge
from tests.faults.history import ACCEPTED, NONE, History, Shown, Try
from tests.nodes import NAME, SLOT, Cluster, Node, Watched
from tests.waiting import eventually

INBOXES = ("ada", "ben")
PAUSE_S = 0.01  # of a sender after each answer: four senders make about 200 messages a second
RETRY_S = 0.05  # after a refusal
LOOK_S = 0.1  # between two looks at the servers, each of which opens some ten connections
AGAIN_S = 12.0  # after which a planned failover is asked for again: Sentinels give one up after 10 s
PATIENCE_S = 150.0  # a deadline: Sentinels try a failed failover again after 20 s, on a busy machine several times


class Outage(NamedTuple):
    """How long nothing was accepted in a fault; when the fault began and the outage ended, in seconds of the epoch."""

    seconds: float
    began: float
    ended: float


class Load:
    """Senders to one broker in this process, and what they were told."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.history = History()
        self.accepted_at: list[float] = []
        self.durabilities: set[str] = set()
        self.outages: list[Outage] = []
        self._pause_s = PAUSE_S
        self._stop = asyncio.Event()
        self._answers = itertools.count(1)

    async def send(self, sender: str, to: str) -> None:
        """Send numbered messages until the load ends, each until it is accepted."""
        number = 0
        while not self._stop.is_set():
            accepted = await self._once(sender, to, number)
            number += accepted
            await asyncio.sleep(self._pause_s if accepted else RETRY_S)

    async def _once(self, sender: str, to: str, number: int) -> bool:
        id, began = f"{sender}-{number}", self.history.now()
        seq, created, code = 0, True, ""
        try:
            sent = await self.broker.mail.send(
                Draft(id=id, to=to, body=body_of(sender, number, "short")), Sender(name=sender, via="http")
            )
            outcome, seq, created = ACCEPTED, sent.seq, sent.created
            self.durabilities.add(sent.durability)
            self.accepted_at.append(self.history.now())
        except StoreAway as error:
            outcome, code = str(error.detail["outcome"]), error.code
        self.history.note(
            Try(
                face="http",
                end=str(self.broker._store.primary.where),
                sender=sender,
                to=to,
                number=number,
                id=id,
                started=began,
                ended=self.history.now(),
                outcome=outcome,
                code=code,
                seq=seq,
                created=created,
            )
        )
        return outcome == ACCEPTED

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Load]:
        """Send while the block runs; then read everything out."""
        for inbox in INBOXES:
            await eventually(lambda inbox=inbox: self._known(inbox), "the recipients are known")
        sending = [asyncio.create_task(self.send(f"w{at}", INBOXES[at % 2])) for at in range(4)]
        try:
            await self.progress()
            yield self
            await self.progress()
            self._stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*sending)
        finally:
            self._stop.set()
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
        for inbox in INBOXES:
            await self._read_out(inbox)

    async def _known(self, inbox: str) -> bool:
        """Make a recipient known: a send to an unknown name also looks for names that resemble it."""
        with contextlib.suppress(StoreAway):
            await self.broker.agents.heartbeat(inbox)
            return True
        return False

    async def progress(self, more: int = 20) -> None:
        """Return when so many more messages were accepted."""
        wanted = len(self.accepted_at) + more
        await eventually(lambda: len(self.accepted_at) >= wanted, "messages are accepted again", PATIENCE_S)

    async def until_accepted(self, wanted: int) -> None:
        """Return when so many messages were accepted in all; what is left goes without pauses."""
        self._pause_s = 0
        while len(self.accepted_at) < wanted:
            await self.progress()

    async def _read_out(self, inbox: str) -> None:
        unsure = False  # whether an answer was lost, so that this reader may hold what it has not seen
        while True:
            answer = next(self._answers)
            try:
                batch = await self.broker.mail.read(inbox, "reader", limit=200, budget=10_000_000, resume=unsure)
            except StoreAway:
                unsure = True
                await asyncio.sleep(0.1)
                continue
            if not batch.items:
                return
            for each in batch.items:
                sender, number, sound = parse(each.body)
                self.history.note(
                    Shown(
                        face="http",
                        session="reader",
                        inbox=inbox,
                        answer=answer,
                        at=self.history.now(),
                        id=each.id,
                        seq=each.seq,
                        sender=sender,
                        number=number,
                        sound=sound,
                        delivery=each.delivery,
                        redelivered=each.redelivered,
                        resumed=unsure,
                    )
                )
            try:
                await self.broker.mail.ack(inbox, "reader", [each.id for each in batch.items])
                unsure = False
            except StoreAway:
                unsure = True

    async def outage(self, fault: Callable[[], Awaitable[Any]]) -> float:
        """Run a fault; return the longest time without an accepted message from its beginning until 40 more came."""
        began, began_at = self.history.now(), time()
        await fault()
        await self.progress(40)
        times = [began, *(each for each in self.accepted_at if each > began)]
        seconds, ended = max((after - before, after) for before, after in itertools.pairwise(times))
        self.outages.append(Outage(seconds, began_at, began_at + ended - began))
        return seconds

    def told(self) -> dict[str, list[str]]:
        """Return every broken promise by name."""
        return judge(self.history)

    def tries_of(self, case: str) -> list[Try]:
        """Return the tries of the message that a case of `lost` names."""
        _, sender, number, *_ = case.split(" ")
        return [each for each in self.history.of(Try) if (each.sender, each.number) == (sender, int(number))]

    def figures(self) -> dict[str, int]:
        """Count what senders were told."""
        tries = self.history.of(Try)
        return {
            "accepted": len(self.accepted_at),
            "unknown": sum(each.outcome not in (ACCEPTED, NONE) for each in tries),
            "refused": sum(each.outcome == NONE for each in tries),
            "lost": len(self.told().get("lost", [])),
        }


@contextlib.asynccontextmanager
async def load_on(url: str, home: Home, replicas: Any) -> AsyncIterator[Load]:
    """Give senders on a broker at `url`."""
    settings = Settings(home=home, valkey_url=url, replicas=replicas, max_inbox=100_000)
    broker = await opened(settings)
    try:
        yield Load(broker)
    finally:
        await broker.close()


async def opened(settings: Settings) -> Broker:
    """Open a broker, again while the servers are not ready."""
    for _ in range(100):
        with contextlib.suppress(PostinoError):
            return await Broker.open(settings)
        await asyncio.sleep(0.2)
    return await Broker.open(settings)


# faults


async def at_any_moment() -> None:
    """Wait up to a second: Sentinels ping once a second, and a fault right after a ping takes longer to be noticed."""
    await asyncio.sleep(random.random())


async def kill(watched: Watched, load: Load) -> float:
    """kill -9 the primary, start it again after the failover; return the seconds in which nothing was accepted.

    It comes back as a primary, as its configuration says.
    """
    await at_any_moment()
    primary = watched.primary()

    async def fault() -> None:
        primary.kill()
        if len(watched.nodes) == 2:  # the fence accepts nothing before the other node is back
            await until_another(watched.primary, primary)
            await asyncio.to_thread(primary.start)

    seconds = await load.outage(fault)
    if not primary.listens():
        await asyncio.to_thread(primary.start)
    await settled(watched, load)
    return seconds


async def planned(watched: Watched, load: Load, *words: str) -> float:
    """Let a Sentinel promote another node; return the seconds in which nothing was accepted."""
    before = watched.primary()

    asked_at = -AGAIN_S

    def primary() -> Node:
        """Ask for the failover, again if a Sentinel gave it up because no replica was fit at that moment."""
        nonlocal asked_at
        if monotonic() - asked_at >= AGAIN_S:
            with contextlib.suppress(ResponseError):  # it is under way, or no replica is fit yet
                watched.sentinels[0].ask("SENTINEL", "FAILOVER", NAME, *words)
                asked_at = monotonic()
        return watched.primary()

    seconds = await load.outage(lambda: until_another(primary, before))
    await settled(watched, load)
    return seconds


async def freeze(watched: Watched, load: Load) -> float:
    """SIGSTOP the primary until another is promoted and has accepted, then let it go on."""
    await at_any_moment()
    primary = watched.primary()

    async def fault() -> None:
        primary.signal(signal.SIGSTOP)
        await until_another(watched.primary, primary)
        if len(watched.nodes) == 2:
            primary.signal(signal.SIGCONT)

    seconds = await load.outage(fault)
    primary.signal(signal.SIGCONT)
    await settled(watched, load)
    return seconds


async def until_another(primary: Callable[[], Node], before: Node) -> None:
    """Return when servers name another primary, or owner of the slot, than `before`."""

    def named() -> bool:
        with contextlib.suppress(RedisError, OSError):
            return primary() is not before
        return False

    await eventually(lambda: asyncio.to_thread(named), "another takes writes", PATIENCE_S, poll_s=LOOK_S)


async def settled(watched: Watched, load: Load) -> None:
    """Return when all nodes are back, and messages were accepted by all."""
    await eventually(lambda: asyncio.to_thread(watched.settled), "all nodes are back", PATIENCE_S, poll_s=LOOK_S)
    await load.progress()


async def kill_owner(cluster: Cluster, load: Load) -> float:
    """kill -9 the owner of the slot; start it again when its replica has taken over."""
    owner = cluster.owner()

    async def fault() -> None:
        owner.kill()
        await until_another(cluster.owner, owner)
        await asyncio.to_thread(owner.start)

    seconds = await load.outage(fault)
    await covered(cluster, load)
    return seconds


async def fail_over_owner(cluster: Cluster, load: Load) -> float:
    """Let the owner's replica take over by agreement."""
    owner = cluster.owner()
    (replica,) = cluster.replicas(owner)

    async def fault() -> None:
        replica.ask("CLUSTER", "FAILOVER")
        await until_another(cluster.owner, owner)

    seconds = await load.outage(fault)
    await covered(cluster, load)
    return seconds


async def migrate(cluster: Cluster, load: Load) -> float:
    """Move the slot to another primary, as a whole (Valkey 9)."""
    owner = cluster.owner()
    target = next(each for each in cluster.nodes if each is not owner and each.role() == "master")

    async def fault() -> None:
        owner.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", SLOT, SLOT, "NODE", str(target.ask("CLUSTER", "MYID")))
        await until_another(cluster.owner, owner)

    seconds = await load.outage(fault)
    await covered(cluster, load)
    return seconds


async def migrate_by_keys(cluster: Cluster, load: Load) -> float:
    """Move the slot to another primary in the classic way: key after key, while both nodes refuse scripts on parts."""
    owner = cluster.owner()
    target = next(each for each in cluster.nodes if each is not owner and each.role() == "master")
    from_id, to_id = str(owner.ask("CLUSTER", "MYID")), str(target.ask("CLUSTER", "MYID"))

    def move(keys: int) -> None:
        names = owner.ask("CLUSTER", "GETKEYSINSLOT", SLOT, keys)
        owner.ask("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)

    def refused() -> int:
        return sum(each.outcome == NONE for each in load.history.of(Try))

    async def fault() -> None:
        target.ask("CLUSTER", "SETSLOT", SLOT, "IMPORTING", from_id)
        owner.ask("CLUSTER", "SETSLOT", SLOT, "MIGRATING", to_id)
        before = refused()
        move(int(owner.ask("CLUSTER", "COUNTKEYSINSLOT", SLOT)) // 2)
        await eventually(lambda: refused() > before + 5, "what needs keys of both nodes is refused")
        while left := int(owner.ask("CLUSTER", "COUNTKEYSINSLOT", SLOT)):
            move(left)
        for node in (target, owner):
            node.ask("CLUSTER", "SETSLOT", SLOT, "NODE", to_id)
        await until_another(cluster.owner, owner)

    seconds = await load.outage(fault)
    await covered(cluster, load)
    return seconds


async def covered(cluster: Cluster, load: Load) -> None:
    """Return when the owner of the slot has a replica that has confirmed messages."""
    await eventually(
        lambda: asyncio.to_thread(lambda: bool(cluster.replicas(cluster.owner()))),
        "the owner has a replica",
        PATIENCE_S,
        poll_s=LOOK_S,
    )
    await load.progress()
