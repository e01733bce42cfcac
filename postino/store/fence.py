"""The fence: what ends each batch of calls that promise something, so that replicas have it on disk too.

A batch is answered once `WAIT` behind a write of its own says that every connected replica has it, `WAITAOF` that
enough of them have it on disk, and `ROLE` that they are still the same ones. Enough replicas in memory would not do: a
failover may promote the one that has not read it yet while another one confirms it. Everything else is an unknown
outcome, after which the connection ends and the primary is looked for anew.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any, Literal

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError

from postino.errors import StoreAway
from postino.store.scripts import Script
from postino.store.valkey.admin import parse_info
from postino.store.valkey.primary import Primary
from postino.store.wire import Command, PendingCall, encode

Replicas = int | Literal["strict"]

TRIAL_MS = 300  # for WAIT in a trial
CONFIRM_MS = 500  # for WAIT, and again for WAITAOF: a caller hears within two seconds, also when both run out
#: times that a trial asks. Each WAIT and WAITAOF asks replicas once, and then waits for what they say each second; one
#: that has just loaded its data may answer, and have them on disk, a moment later
ASKED = 5
BATCHES = 2  # in flight: the next one reaches the server while replicas confirm the first; more gain nothing
DOUBT_S = 3.0  # a failover takes the replicas away from the former primary one after the other, within about a second
SLOW_S = 6.0  # that one replica may hold up all, until it is left out: Sentinels promote none that is silent for 5 s
_NO_REPLID = "0" * 40

#: the scripts whose answer promises that what they did lasts; `retain_ids` and `fence` belong to them
PROMISING = frozenset(
    {"send", "send_many", "broadcast", "requeue", "clear", "clear_dead", "clear_broadcasts", "try_write", "fence"}
    | {"rename", "retain_ids", "forget", "person", "group_join", "group_leave"}
    | {"import_begin", "import_agent", "import_entries", "import_ids", "import_fields", "import_end"}
)

#: asked on every new connection: who it is, what replicas it has, whether it can wait for them
QUESTIONS: tuple[Command, ...] = (
    ("INFO", "server"),
    ("INFO", "replication"),
    ("ROLE",),
    ("WAIT", 0, 1),
    ("WAITAOF", 1, 0, 1),
)


log = structlog.get_logger()


class Batch(msgspec.Struct):
    """Calls that share a fence, and the replies so far, those of the fence behind them."""

    calls: list[PendingCall]
    needed: int  # replicas that must have it
    missing: int  # replies, those of the fence behind the calls included
    replies: list[Any] = msgspec.field(default_factory=list)

    @property
    def is_trial(self) -> bool:
        """Whether it has no calls."""
        return not self.calls


class Fence:
    """Ends batches on one connection after the other to the primary; remembers what replicas it was seen to have."""

    def __init__(self, wanted: Replicas, script: Script, key: str, primary: Primary) -> None:
        self.wanted = wanted
        self.on_disk = True  # False: the server has no WAITAOF and confirms only that replicas have received it
        self._primary = primary
        self._write: Command = ("EVALSHA", script.sha, 1, key)
        self._most = 0  # replicas that were ever seen, or named by Sentinels or a cluster
        self._least = 0  # replicas that must be connected, and have it on disk
        self._slow_since: float | None = None  # since when one of the others has confirmed nothing
        self._slow_at = 0.0  # when that was last seen
        self._run_id: str | None = None
        self._replicas: frozenset[tuple[str, str]] = frozenset()
        self._unconfirmed = 0  # that were connected beside them when the connection began
        self._doubtful_until = 0.0
        self._left: frozenset[tuple[str, str]] | None = None  # whose leaving made the doubt; None: it cannot be named
        self._should = 0  # how many there must be for that doubt to end early
        self._batches: deque[Batch] = deque()
        self._nobody: asyncio.Future[Any] | None = None
        self._tails: dict[int, list[bytes]] = {}  # what ends a batch, by the replicas that must have it

    @property
    def warnings(self) -> tuple[str, ...]:
        """What somebody should know, one sentence each."""
        if self.on_disk:
            return ()
        return ("The server has no WAITAOF: replicas have what is accepted, perhaps not yet on disk; use Valkey 7.2+",)

    def admit(self, server: Any, replication: Any, role: Any, wait: Any, waitaof: Any) -> None:
        """Take the replies to QUESTIONS on a new connection, errors among them.

        Raises:
            StoreAway: what is sent on it could not be promised now; `outcome` is none.
        """
        self._batches.clear()
        self.on_disk = _can_wait(role, wait, waitaof)
        if role[0] != "master":
            raise refused("the server is a replica at the moment")
        facts = {**parse_info(server), **parse_info(replication)}
        online = _online(role)
        self._note_primary(facts, online)
        self._most = max(self._most, len(online), self._primary.known_replicas or 0)
        self._least = max(self._most, 1) if self.wanted == "strict" else self.wanted
        if len(role[2]) < self._least:  # those that have not confirmed yet are asked by the trial, else each second
            raise refused(f"{len(role[2])} of the {self._least} replicas that must confirm it are connected")
        if (left := self._doubtful_until - time.monotonic()) > 0:
            raise refused(f"a replica has left, which a failover begins with; accepted again in {left:.1f} s")
        self._unconfirmed = len(role[2]) - len(online)
        self._tails.clear()

    def _note_primary(self, facts: dict[str, str], online: frozenset[tuple[str, str]]) -> None:
        """Doubt a primary that has fewer replicas than it should: one of them may be the primary already."""
        run_id = facts.get("run_id", "")
        left, should = self._replicas - online, 0
        fewer = bool(left)
        if run_id != self._run_id:
            # one that was promoted lacks the former primary; one that was started may be that former primary
            promoted = facts.get("master_replid2", _NO_REPLID) != _NO_REPLID and self._run_id is not None
            left, should = self._replicas, max(self._primary.known_replicas or 0, len(self._replicas))
            fewer = len(online) < should and not promoted
            self._slow_since = None
            if promoted:
                self._doubtful_until = 0.0
        if fewer:
            self._doubt(left, should)
        elif self._left is not None and self._left <= online and len(online) >= self._should:
            self._doubtful_until = 0.0  # who has left follows this primary again, so that it was not promoted
        if run_id != self._run_id or fewer:
            log.info("replicas", run_id=run_id[:8], online=sorted(":".join(each) for each in online), doubted=fewer)
        self._run_id, self._replicas = run_id, online

    def _doubt(self, left: frozenset[tuple[str, str]] | None, should: int = 0) -> None:
        """Accept nothing for DOUBT_S, or until all that have left are back, `should` in all; None: whoever is."""
        now = time.monotonic()
        if now < self._doubtful_until:
            left = None if left is None or self._left is None else self._left | left
            should = max(should, self._should)
        self._doubtful_until, self._left, self._should, self._slow_since = now + DOUBT_S, left, should, None

    def see(self, role: Any) -> bool:
        """Take a reply to ROLE, of a batch or between two; return whether a replica has left.

        Without those in between a replica that joined unseen could be promoted unseen.
        """
        online = _online(role)
        before, self._replicas = self._replicas, online
        if role[0] == "master" and before <= online:
            return False
        self._doubt(before - online if role[0] == "master" else None)
        return True

    @property
    def on_trial(self) -> bool:
        """Whether a trial has not been answered."""
        return bool(self._batches) and self._batches[0].is_trial

    def _needed(self) -> int:
        waited = self._slow_since is not None and self._slow_at - self._slow_since > SLOW_S
        return self._least if waited else max(self._least, len(self._replicas))

    def _commands(self, needed: int, asked: int = 1) -> list[bytes]:
        wait_ms = CONFIRM_MS if asked == 1 else TRIAL_MS // asked
        commands: list[Command] = [self._write, *[("WAIT", needed, wait_ms)] * asked]
        if self.on_disk:
            commands += [("WAITAOF", 1, self._least, CONFIRM_MS // asked)] * asked
        return [encode(each) for each in (*commands, ("ROLE",))]

    def has_room(self) -> bool:
        """Return whether another batch may be sent; the trial goes alone."""
        return len(self._batches) < BATCHES and not self.on_trial

    def trial(self, deadline: float) -> list[PendingCall]:
        """Begin a batch without calls, which a new connection sends first: no outcome is unknown if it fails."""
        needed = self._needed()
        connected = len(self._replicas) + self._unconfirmed if self._unconfirmed else 0
        commands = self._commands(max(needed, connected), ASKED)
        self._batches.append(Batch([], needed, len(commands)))
        return self._unanswered(commands, deadline)

    def enclose(self, calls: list[PendingCall]) -> list[PendingCall]:
        """Begin a batch; return its calls and what is to be sent behind them."""
        needed = self._needed()
        tail = self._tails.get(needed)
        if tail is None:
            tail = self._tails[needed] = self._commands(needed)
        self._batches.append(Batch(calls, needed, len(calls) + len(tail)))
        return calls + self._unanswered(tail, calls[-1].deadline)

    def _unanswered(self, commands: list[bytes], deadline: float) -> list[PendingCall]:
        """Return the commands of a fence as calls whose replies nobody awaits: they are the batch's."""
        if self._nobody is None:
            self._nobody = asyncio.get_running_loop().create_future()
            self._nobody.set_result(None)
        return [PendingCall(each, self._nobody, deadline) for each in commands]

    def take(self, reply: Any) -> Batch | None:
        """Take the next reply of the connection; return its batch if that is complete."""
        batch = self._batches[0]
        batch.replies.append(reply)
        batch.missing -= 1
        return None if batch.missing else self._batches.popleft()

    def abandon(self) -> list[Batch]:
        """Return the batches that the connection left incomplete."""
        batches = list(self._batches)
        self._batches.clear()
        return batches

    def objection(self, batch: Batch) -> str | None:
        """Return why a complete batch cannot be promised, or None."""
        found = self._objection(batch)
        if found is not None:
            log.warning("not_confirmed", calls=len(batch.calls), reason=found)
        return found

    def _objection(self, batch: Batch) -> str | None:
        _, *waits, role = answers = batch.replies[len(batch.calls) :]
        for each in answers:
            if isinstance(each, RedisError):
                return str(each)
        wait = waits[ASKED - 1 if batch.is_trial else 0]
        before = self._replicas
        if self.see(role):
            return "a replica has left, which a failover begins with"
        online = self._replicas
        if before != online and not batch.is_trial:  # a trial promises nothing; those that join by it confirm the next
            return "a replica has joined that did not confirm it"
        needed = max(batch.needed, self._needed())
        if wait < needed:
            self._note_slow(time.monotonic())
            return f"{wait} of {needed} replicas confirmed it in time"
        if wait >= len(online):
            self._slow_since = None
        return self._not_on_disk(waits[-1]) if self.on_disk else None

    def _note_slow(self, now: float) -> None:
        """Note that a replica has not confirmed a batch in time; it is slow if none in between was confirmed."""
        if self._slow_since is None or now - self._slow_at > SLOW_S / 2:
            self._slow_since = now
        self._slow_at = now

    def _not_on_disk(self, waitaof: Any) -> str | None:
        local, replicas = map(int, waitaof)
        if not local:
            return "the server's own disk did not confirm it in time"
        if replicas < self._least:
            return f"{replicas} of {self._least} replicas have it on disk"
        return None


def _can_wait(role: Any, wait: Any, waitaof: Any) -> bool:
    """Return whether the server can wait for the disks of replicas; Redis 7.0 can only wait for their memory.

    Raises:
        StoreAway: it cannot wait, or may not.
    """
    for name, reply in (("ROLE", role), ("WAIT", wait)):
        if isinstance(reply, Exception):
            raise refused(f"{name} is refused ({reply})")
    if not isinstance(waitaof, Exception):
        return True
    if "unknown command" in str(waitaof):
        return False
    if isinstance(waitaof, ResponseError) and "appendonly" in str(waitaof):
        raise refused("the server keeps no append-only file; set appendonly yes and appendfsync always on all servers")
    raise refused(f"WAITAOF is refused ({waitaof})")


def refused(reason: str) -> StoreAway:
    return StoreAway(f"Nothing is accepted now, because POSTINO_REPLICAS is set: {reason}", outcome="none")


def _online(role: Any) -> frozenset[tuple[str, str]]:
    """Return the replicas of a primary that confirm what they get, by their addresses; one that loads does not yet."""
    if role[0] != "master":
        return frozenset()
    return frozenset([(host, port) for host, port, confirmed in role[2] if int(confirmed) > 0])
