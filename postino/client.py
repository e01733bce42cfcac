"""A client of the REST API: one method per operation, the same errors, and retries only where they are safe."""

from __future__ import annotations

import math
import os
import time

from postino import __version__
from postino.client_calls import PATIENCE, Calls
from postino.client_people import PeopleCalls
from postino.errors import StoreAway, Unreachable
from postino.transport import Transport, query_of, segment

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from postino.json_text import Json

LONGEST_WAIT = 60.0  # s of one request
PAGE = 200  # items of one page, the most that there may be
RECONNECT = 0.2  # s between two tries to reopen an event stream
SILENCE = 45.0  # s without a byte after which an event stream counts as broken: three missed pings


class Client(Calls, PeopleCalls):
    """A client of one daemon, by the path of its unix socket or by URL and token. Not thread-safe.

    `start` is called when no daemon answers, before the call is tried again; it may start one. `via` is stored as the
    messages' `via`; `headers` are sent with every request. Each try takes at most `seconds`, plus the time that a long
    poll waits. While Valkey is away, as in a failover, a call is tried for 10 s, or for `seconds` if that is less;
    one that is not safe to repeat only as long as it is certain that nothing was done.
    """

    def __init__(
        self,
        address: os.PathLike[str] | str,
        *,
        token: str | None = None,
        seconds: float = 10.0,
        start: Callable[[], object] | None = None,
        via: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.consumer = f"c-{_unique()}"
        self._transport = Transport(address)
        self._seconds = seconds
        self._start = start
        self._headers = {"User-Agent": f"postino/{__version__}", **(headers or {})}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if via:
            self._headers["X-Postino-Via"] = via

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        self._transport.close()

    def send(
        self,
        to: str | list[str] | None,
        body: str,
        *,
        sender: str | None = None,
        id: str | None = None,
        thread: str | None = None,
        reply_to: str | None = None,
        expects: str | None = None,
        choices: list[str] | None = None,
    ) -> Json:
        """Send a message to an agent, a list of agents or `#` and a group.

        Without `to` it goes to the sender of the message `reply_to`, which `sender` got. Without `id` one is generated,
        so that a retry is stored once.
        """
        asked = {"to": to, "body": body, "from": sender, "thread": thread, "reply_to": reply_to, "expects": expects}
        asked["choices"] = choices
        return self._call("POST", "messages", body=asked | {"id": _unique() if id is None else id})

    def ask(
        self,
        to: str | None,
        body: str,
        *,
        seconds: float,
        sender: str,
        id: str | None = None,
        thread: str | None = None,
    ) -> Json:
        """Send a message and wait up to `seconds` for its `reply`, leased to this client; null if none came.

        The wait goes on over daemons that come and go. Acknowledge the reply with `ack`, for the agent it is `to`.
        """
        asked = {
            "to": to,
            "body": body,
            "from": sender,
            "thread": thread,
            "id": _unique() if id is None else id,
        }
        asked |= {"ack": "lease", "consumer": self.consumer}
        until = time.monotonic() + seconds
        while True:
            wait = min(max(until - time.monotonic(), 0.001), LONGEST_WAIT)
            answer = self._call("POST", "messages", body=asked, wait=wait, waits_in="wait_reply")
            if answer["reply"] is not None or time.monotonic() >= until:
                return answer

    def peek(
        self,
        agent: str,
        *,
        limit: int | None = None,
        offset: int | None = None,
        after: str | None = None,
        before: str | None = None,
    ) -> Json:
        """List an inbox, oldest first, without leasing. The answer's `after` and `before` give the pages next to it."""
        asked = {"limit": limit, "offset": offset, "after": after, "before": before}
        return self._call("GET", f"messages/{segment(agent, 'name')}", query=asked)

    def read(
        self, agent: str, *, limit: int | None = None, wait: float = 0, ack_now: bool = False, resume: bool = False
    ) -> Json:
        """Lease messages to this client, waiting up to `wait` s for one; `ack_now` acknowledges them at once.

        `resume` begins with the messages that this client holds already. After an unknown outcome the read is repeated
        with `resume`; a read with `ack_now` is not repeated.
        """
        asked = {"limit": limit, "wait": wait or None, "ack": "now" if ack_now else None, "resume": resume or None}
        asked["consumer"] = self.consumer
        path = f"messages/{segment(agent, 'name')}/read"
        if ack_now:
            return self._call("POST", path, body=asked, repeat=False, wait=wait)
        return self._call("POST", path, body=asked, retry={"resume": True}, wait=wait)

    def ack(self, agent: str, ids: list[str], *, consumer: str | None = None) -> Json:
        """Acknowledge messages leased to this client, or to `consumer`.

        Raises:
            LeaseLost: those in `detail["rejected"]` were not acknowledged.
        """
        return self._settle("ack", agent, {"ids": ids}, consumer, repeat=True)

    def nack(self, agent: str, ids: list[str], *, delay_ms: int | None = None, consumer: str | None = None) -> Json:
        """Return leased messages to the inbox, at once or after `delay_ms`."""
        return self._settle("nack", agent, {"ids": ids, "delay_ms": delay_ms}, consumer, repeat=False)

    def extend(self, agent: str, ids: list[str], *, consumer: str | None = None) -> Json:
        """Extend leases to one lease time from now."""
        return self._settle("extend", agent, {"ids": ids}, consumer, repeat=True)

    def state(self, agent: str, id: str) -> Json:
        """Return the state of one message."""
        return self._call("GET", f"messages/{segment(agent, 'name')}/{segment(id, 'id')}")

    def clear(self, agent: str) -> Json:
        """Delete every message of an inbox, leased ones too."""
        return self._call("DELETE", f"messages/{segment(agent, 'name')}", repeat=False)

    def broadcast(self, body: str, *, sender: str | None = None, id: str | None = None) -> Json:
        """Send a broadcast. Without `id` one is generated, so that a retry is stored once."""
        return self._call(
            "POST", "broadcasts", body={"body": body, "from": sender, "id": _unique() if id is None else id}
        )

    def broadcasts(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the broadcasts, oldest first, without moving a cursor."""
        return self._call("GET", "broadcasts", query={"limit": limit, "offset": offset})

    def read_broadcasts(self, agent: str, *, limit: int | None = None, lease: bool = False) -> Json:
        """Return the broadcasts that an agent has not seen, and move its cursor past them.

        With `lease` the cursor moves only by `broadcasts_seen`; until then they are returned again, as `redelivered`.
        """
        asked = {"limit": limit, "ack": "lease" if lease else None}
        return self._call("POST", f"broadcasts/{segment(agent, 'name')}/read", body=asked, repeat=lease)

    def broadcasts_seen(self, agent: str, id: str) -> Json:
        """Move an agent's cursor past the broadcast `id`: it and all earlier ones are not returned again."""
        return self._call("POST", f"broadcasts/{segment(agent, 'name')}/seen", body={"id": id})

    def clear_broadcasts(self) -> Json:
        """Delete all broadcasts."""
        return self._call("DELETE", "broadcasts", repeat=False)

    def dead(self, agent: str, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List an agent's dead letters."""
        return self._call("GET", f"dead/{segment(agent, 'name')}", query={"limit": limit, "offset": offset})

    def requeue(self, agent: str, ids: list[str] | None = None) -> Json:
        """Move the named dead letters, or all of them, to the tail of the inbox."""
        return self._call("POST", f"dead/{segment(agent, 'name')}/requeue", body={"ids": ids}, repeat=False)

    def clear_dead(self, agent: str) -> Json:
        """Delete an agent's dead letters."""
        return self._call("DELETE", f"dead/{segment(agent, 'name')}", repeat=False)

    def history(
        self,
        *,
        agent: str | None = None,
        with_: str | None = None,
        thread: str | None = None,
        q: str | None = None,
        id: str | None = None,
        before: str | None = None,
        limit: int | None = None,
        render: bool = False,
    ) -> Json:
        """List accepted messages and broadcasts, newest first. The answer's `before` gives the next page."""
        asked = {"agent": agent, "with": with_, "thread": thread, "q": q, "id": id, "before": before, "limit": limit}
        asked["render"] = "true" if render else None
        return self._call("GET", "history", query=asked)

    def threads(self, *, agent: str | None = None, before: str | None = None, limit: int | None = None) -> Json:
        """List threads, the one with the newest message first. The answer's `before` gives the next page."""
        return self._call("GET", "threads", query={"agent": agent, "before": before, "limit": limit})

    def thread(self, thread: str, *, before: str | None = None, limit: int | None = None) -> Json:
        """Return the newest messages of a thread, oldest first. The answer's `before` gives those before them."""
        return self._call("GET", f"threads/{segment(thread, 'thread')}", query={"before": before, "limit": limit})

    def check(self, agent: str) -> Json:
        """Count what an agent can read now."""
        return self._call("GET", f"check/{segment(agent, 'name')}")

    def agents(self, *, limit: int | None = None, offset: int | None = None, online: bool = False) -> Json:
        """List the known agents, or those that are online."""
        return self._call(
            "GET", "agents", query={"limit": limit, "offset": offset, "online": "true" if online else None}
        )

    def agent(self, name: str) -> Json:
        """Return one agent.

        Raises:
            UnknownAgent: `detail["names"]` lists similar names.
        """
        return self._call("GET", f"agents/{segment(name, 'name')}")

    def rename(self, old: str, new: str) -> Json:
        """Rename an agent. Messages to the old name still arrive."""
        return self._call("POST", f"agents/{segment(old, 'name')}/rename", body={"name": new}, repeat=False)

    def forget(self, name: str) -> Json:
        """Forget an agent that is offline and has no mail.

        Raises:
            AgentBusy: it is online or has mail.
        """
        return self._call("DELETE", f"agents/{segment(name, 'name')}", repeat=False)

    def cleanup(self) -> Json:
        """Forget every agent that is offline and has no mail."""
        return self._call("POST", "agents/cleanup", body={}, repeat=False)

    def groups(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the groups with their members."""
        return self._call("GET", "groups", query={"limit": limit, "offset": offset})

    def join(self, group: str, agent: str) -> Json:
        """Make an agent a member of a group."""
        return self._call("POST", _membership(group, agent), body={})

    def leave(self, group: str, agent: str) -> Json:
        """Take an agent out of a group."""
        return self._call("DELETE", _membership(group, agent))

    def create_token(self, name: str, role: str, ttl_s: int | None = None) -> Json:
        """Create a named token; only this answer has it. Over the unix socket only."""
        return self._call("POST", "tokens", body={"name": name, "role": role, "ttl_s": ttl_s}, repeat=False)

    def tokens(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the named tokens without their secrets. Over the unix socket only."""
        return self._call("GET", "tokens", query={"limit": limit, "offset": offset})

    def revoke_token(self, name: str, id: str | None = None) -> Json:
        """Revoke every token of a name, or the one with `id`. Over the unix socket only.

        Raises:
            UnknownToken: there is none.
        """
        one = "" if id is None else f"/{segment(id, 'id')}"
        return self._call("DELETE", f"tokens/{segment(name, 'name')}{one}", repeat=False)

    def sessions(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the sessions that are connected to this daemon."""
        return self._call("GET", "sessions", query={"limit": limit, "offset": offset})

    def stats(self) -> Json:
        """Return counts and rates."""
        return self._call("GET", "stats")

    def health(self) -> Json:
        """Return the daemon's health. An unhealthy daemon raises nothing."""
        return self._once("GET", "/api/health", None, 0).payload(accept=503)

    def export(self) -> Iterator[bytes]:
        """Yield the whole mailroom as lines of JSON, in parts. Over the unix socket only.

        Raises:
            Unreachable: it ended early; what was yielded is not a whole export.
        """
        self._start_if_missing()
        yield from self._transport.download("/api/export", self._headers, SILENCE)

    def import_(self, parts: Iterable[bytes], *, check: bool = False) -> Json:
        """Import an export into an empty mailroom, or with `check` only read it. Over the unix socket only.

        Raises:
            BadField: the file is damaged; `detail["line"]` is the line.
            NotEmpty, Importing: the mailroom is not one for this file.
        """
        self._start_if_missing()
        headers = self._headers | {"Content-Type": "application/x-ndjson"}
        target = f"/api/import{query_of({'check': 'true' if check else None})}"
        return self._transport.upload(target, parts, headers, SILENCE).payload()

    def abandon_import(self) -> Json:
        """End an import that was interrupted: what it has stored stays, and mail is accepted again."""
        return self._call("DELETE", "import")

    def events(
        self,
        *,
        since: str | None = None,
        agent: str | None = None,
        types: list[str] | None = None,
        patience: float | None = PATIENCE,
    ) -> Iterator[Json]:
        """Yield events as they happen: `event_id`, `type` and the event's fields. A broken stream is resumed.

        `since` first replays the events after that id. `patience` is how many seconds a daemon that has gone is waited
        for; None: without end. Valkey that is away at first, and a daemon that is replaced meanwhile, are waited for as
        by a call, and no longer than that.

        Raises:
            Unreachable: no daemon answers at first, or none answers again within `patience`.
            StoreAway: Valkey was away at first for so long.
        """
        self._start_if_missing()
        return self._follow(
            f"/api/events{query_of({'agent': agent, 'type': ','.join(types) if types else None})}", since, patience
        )

    def _start_if_missing(self) -> None:
        if self._start is None:
            return
        try:
            self.health()
        except Unreachable:
            self._start()

    def _follow(self, target: str, since: str | None, patience: float | None) -> Iterator[Json]:
        answered, opened, lost_at = False, False, time.monotonic()
        while True:
            resume = {"Last-Event-ID": since} if since else {}
            try:
                for event in self._transport.events(target, self._headers | resume, SILENCE):
                    since = event["event_id"] or since
                    yield event
                opened, lost_at = True, time.monotonic()
            except (Unreachable, StoreAway) as error:
                answered = answered or type(error) is StoreAway  # then also a daemon that is replaced is waited for
                longest = math.inf if patience is None else patience
                if not opened:
                    longest = min(longest, self._failover) if answered else 0
                if time.monotonic() - lost_at >= longest:
                    raise
            time.sleep(RECONNECT)

    def _settle(self, verb: str, agent: str, asked: Json, consumer: str | None, *, repeat: bool) -> Json:
        body = asked | {"consumer": consumer or self.consumer}
        return self._call("POST", f"messages/{segment(agent, 'name')}/{verb}", body=body, repeat=repeat)


def every(page: Callable[..., Json]) -> Iterator[Json]:
    """Yield the items of all pages of a list; `page` is the method of a client that returns one."""
    offset, total = 0, 1
    while offset < total:
        found = page(limit=PAGE, offset=offset)
        yield from found["items"]
        offset, total = offset + len(found["items"]), found["total"] if found["items"] else 0


def _unique() -> str:
    return os.urandom(16).hex()  # as unique as uuid4 without its import


def _membership(group: str, agent: str) -> str:
    return f"groups/{segment(group, 'group')}/members/{segment(agent, 'name')}"
