"""The faults: each begins, lasts a while and ends. `EMBEDDED` and `SHARED` name those that a stage can have."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
from typing import TYPE_CHECKING

from tests.faults.stage import DISK_BYTES, SharedStage, Stage, resize, shim

if TYPE_CHECKING:
    from tests.faults.campaign import Campaign


class Fault:
    """One kind of fault. `hold` is how many seconds it lasts; after one that `stops` service, recovery is awaited."""

    kind = ""
    hold = (0.0, 0.0)
    stops = True

    def __init__(self, run: Campaign) -> None:
        self.run = run
        self.chance: random.Random = run.chance

    @classmethod
    def impossible(cls, stage: Stage) -> str:
        """Return why a stage cannot have this fault, or nothing."""
        return ""

    async def inject(self) -> None:
        """Begin."""

    async def heal(self) -> None:
        """End; the time to recover begins now."""


class KillValkey(Fault):
    kind = "kill -9 of Valkey"

    async def inject(self) -> None:
        self.run.stage.signal_valkey(signal.SIGKILL)

    async def heal(self) -> None:
        await self.run.stage.revive_valkey()


class KillValkeyInRead(KillValkey):
    """Within a `msg_read`: 1 to 10 ms after it was called."""

    kind = "kill -9 of Valkey within an MCP read"
    hold = (0.2, 0.3)

    async def inject(self) -> None:
        self.run.any_agent().on_read = lambda: self.run.stage.signal_valkey(signal.SIGKILL)


class FreezeValkey(Fault):
    kind = "Valkey frozen (SIGSTOP)"
    hold = (0.2, 3.0)

    async def inject(self) -> None:
        self.run.stage.signal_valkey(signal.SIGSTOP)

    async def heal(self) -> None:
        self.run.stage.signal_valkey(signal.SIGCONT)


class KillDaemon(Fault):
    """One of two where there are two: the other goes on."""

    kind = "kill -9 of a daemon"

    async def inject(self) -> None:
        self.node = self.chance.choice(self.run.stage.nodes)
        self.node.signal(signal.SIGKILL)

    async def heal(self) -> None:
        await self.node.start()


class FreezeDaemon(KillDaemon):
    kind = "a daemon frozen (SIGSTOP)"
    hold = (0.2, 2.0)

    async def inject(self) -> None:
        self.node = self.chance.choice(self.run.stage.nodes)
        self.node.signal(signal.SIGSTOP)

    async def heal(self) -> None:
        self.node.signal(signal.SIGCONT)


class KillBoth(KillDaemon):
    kind = "kill -9 of Valkey and daemon"

    async def inject(self) -> None:
        self.run.stage.signal_valkey(signal.SIGKILL)
        await super().inject()

    async def heal(self) -> None:
        await self.run.stage.revive_valkey()
        await super().heal()


class Restart(Fault):
    kind = "postino down, then up"

    async def inject(self) -> None:
        self.node = self.chance.choice(self.run.stage.nodes)
        await self.node.run("down")

    async def heal(self) -> None:
        await self.node.start()


class OfAClient(Fault):
    """Base of those that no other client notices."""

    stops = False


class KillRelay(OfAClient):
    kind = "kill -9 of a relay"
    hold = (0.1, 0.3)

    async def inject(self) -> None:
        self.run.any_agent().kill()


class EndRelay(OfAClient):
    kind = "end of a relay's input"
    hold = (0.1, 0.3)

    async def inject(self) -> None:
        self.run.any_agent().leave()


class CancelDuring(OfAClient):
    kind = "MCP call cancelled under way"
    hold = (0.05, 0.2)

    async def inject(self) -> None:
        self.run.any_agent().cancel_during += 1


class CancelAfter(OfAClient):
    kind = "MCP call cancelled after its answer"
    hold = (0.05, 0.2)

    async def inject(self) -> None:
        self.run.any_agent().cancel_after += 1


class CutRequest(OfAClient):
    kind = "HTTP client gone in mid request"
    hold = (0.05, 0.1)

    async def inject(self) -> None:
        self.chance.choice(self.run.callers).cut_after = self.chance.choice([0.0, 0.0005, 0.001, 0.002, 0.005])


class DropListener(OfAClient):
    kind = "event stream dropped"
    hold = (0.05, 0.1)

    async def inject(self) -> None:
        self.run.listener.drop()


class DiskFull(Fault):
    kind = "disk full"
    hold = (0.3, 1.5)

    @classmethod
    def impossible(cls, stage: Stage) -> str:
        return "" if stage.own_disk else "only root on Linux can make a small disk"

    async def inject(self) -> None:
        room = self.chance.choice([0, 4096, 65536])
        while not resize(self.run.stage.home.data, shutil.disk_usage(self.run.stage.home.data).used + room):
            room += 4096  # more was written meanwhile

    async def heal(self) -> None:
        resize(self.run.stage.home.data, DISK_BYTES)


class OnShared(Fault):
    """Base of those that need a Valkey of ours."""

    @property
    def stage(self) -> SharedStage:
        """The stage as what it is."""
        assert isinstance(self.run.stage, SharedStage)
        return self.run.stage

    async def ask(self, *command: str) -> None:
        """Run a command on Valkey, which may be starting."""
        for _ in range(100):
            with contextlib.suppress(Exception):
                await asyncio.to_thread(self.stage.server.ask, *command)
                return
            await asyncio.sleep(0.05)
        raise AssertionError(command)


class CutReplies(OnShared):
    kind = "replies of Valkey cut off"
    hold = (0.1, 0.6)

    async def inject(self) -> None:
        self.proxy = self.chance.choice(self.stage.proxies)
        self.proxy.lose = self.chance.choice([b"EVALSHA", b"EVALSHA", b":inbox", b":events"])

    async def heal(self) -> None:
        self.proxy.lose = None


class DelayReplies(OnShared):
    kind = "replies of Valkey delayed"
    hold = (0.3, 2.0)

    async def inject(self) -> None:
        self.proxy = self.chance.choice(self.stage.proxies)
        self.proxy.delay_s = self.chance.choice([0.05, 0.2, 0.5, 1.6])

    async def heal(self) -> None:
        self.proxy.delay_s = 0.0


class CutConnections(OnShared):
    kind = "connections to Valkey cut"

    async def inject(self) -> None:
        self.chance.choice(self.stage.proxies).cut()


class SlowDisk(OnShared):
    kind = "fsync of 0.05 to 2 s"
    hold = (0.5, 2.5)

    @classmethod
    def impossible(cls, stage: Stage) -> str:
        return "" if shim() else "no cc here, or no Linux"

    async def inject(self) -> None:
        self.stage.server.steer(fsync_ms=self.chance.choice([50, 300, 900, 2000]))

    async def heal(self) -> None:
        self.stage.server.steer()


class StepClock(SlowDisk):
    kind = "clock stepped by up to an hour"
    hold = (0.8, 2.0)

    async def inject(self) -> None:
        self.stage.server.steer(clock_ms=self.chance.choice([-3_600_000, -60_000, -5000, 5000, 60_000, 3_600_000]))

    async def heal(self) -> None:
        self.stage.server.steer()


class OutOfMemory(OnShared):
    kind = "memory limit reached (OOM)"
    hold = (0.3, 1.5)

    async def inject(self) -> None:
        await self.ask("CONFIG", "SET", "maxmemory", "1mb")

    async def heal(self) -> None:
        await self.ask("CONFIG", "SET", "maxmemory", "0")


class ReadOnly(OnShared):
    kind = "Valkey became a replica (READONLY)"
    hold = (0.3, 1.5)

    async def inject(self) -> None:
        await self.ask("CONFIG", "SET", "replica-serve-stale-data", self.chance.choice(["yes", "no"]))
        await self.ask("REPLICAOF", "127.0.0.1", "1")

    async def heal(self) -> None:
        await self.ask("REPLICAOF", "NO", "ONE")


class TooFewReplicas(OnShared):
    kind = "too few replicas (NOREPLICAS)"
    hold = (0.3, 1.5)

    async def inject(self) -> None:
        await self.ask("CONFIG", "SET", "min-replicas-to-write", "1")

    async def heal(self) -> None:
        await self.ask("CONFIG", "SET", "min-replicas-to-write", "0")


class CannotSave(OnShared):
    kind = "Valkey cannot save to its disk (MISCONF)"
    hold = (0.3, 1.5)

    async def inject(self) -> None:
        (self.stage.server.directory / "dump.rdb").mkdir(exist_ok=True)  # in the place of the file
        await self.ask("CONFIG", "SET", "save", "86400 1000000")
        await self.ask("BGSAVE")

    async def heal(self) -> None:
        await self.ask("CONFIG", "SET", "save", "")


_CLIENTS = (KillRelay, EndRelay, CancelDuring, CancelAfter, CutRequest, DropListener)
EMBEDDED = (
    *(KillValkey, KillValkeyInRead, FreezeValkey, KillDaemon, FreezeDaemon, KillBoth, Restart, DiskFull),
    *_CLIENTS,
)
SHARED = (
    *(KillValkey, FreezeValkey, KillDaemon, FreezeDaemon, CutReplies, DelayReplies, CutConnections, SlowDisk),
    *(StepClock, OutOfMemory, ReadOnly, TooFewReplicas, CannotSave, *_CLIENTS),
)
RESTARTS = (KillDaemon, Restart)
