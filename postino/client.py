"""The other end of the REST API: the same verbs, the same refusals, retries only where they are safe."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote, urlencode

from postino import __version__
from postino.errors import BadField, BadName, PostinoError, StoreAway, Unreachable
from postino.transport import Answer, Json, Transport

PAUSES = (0.1, 1.0)  # seconds before the second and third try
PATIENCE = 5.0  # seconds after which nothing is tried again
RECONNECT = 0.2  # seconds between two tries to get a lost event stream back
SILENCE = 45.0  # seconds without a byte after which an event stream is taken for dead: three missed pings


class Client:
    """One caller of one daemon: by the `Path` of its unix socket, or by URL and token. Not for two threads at once.

    `start` is called when nobody answers, before the call is tried again: it may start a daemon. `via` names the
    face in the messages' `via`. Each call ends within `seconds` plus what a long poll asks for, per try.
    """

    def __init__(
        self,
        address: Path | str,
        *,
        token: str | None = None,
        seconds: float = 10.0,
        start: Callable[[], object] | None = None,
        via: str | None = None,
    ) -> None:
        self.consumer = f"c-{_unique()}"
        self._transport = Transport(address)
        self._seconds = seconds
        self._start = start
        self._headers = {"User-Agent": f"postino/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if via:
            self._headers["X-Postino-Via"] = via

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; a later call opens another."""
        self._transport.close()

    def send(
        self,
        to: str,
        body: str,
        *,
        sender: str | None = None,
        id: str | None = None,
        thread: str | None = None,
        reply_to: str | None = None,
    ) -> Json:
        """Send one message; without `id` one is made, so that a retry is stored once."""
        asked = {"to": to, "body": body, "from": sender, "thread": thread, "reply_to": reply_to}
        return self._call("POST", "messages", body=asked | {"id": _unique() if id is None else id})

    def look(self, agent: str, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List an inbox, oldest first, without consuming."""
        return self._call("GET", f"messages/{_segment(agent, 'name')}", query={"limit": limit, "offset": offset})

    def read(
        self, agent: str, *, limit: int | None = None, wait: float = 0, ack_now: bool = False, resume: bool = False
    ) -> Json:
        """Lease messages to this client, waiting up to `wait` s for one; `ack_now` acknowledges them unseen.

        After an unknown outcome it is asked again with `resume`, which gives the same messages; not with `ack_now`.
        """
        asked = {"limit": limit, "wait": wait or None, "ack": "now" if ack_now else None, "resume": resume or None}
        asked["consumer"] = self.consumer
        path = f"messages/{_segment(agent, 'name')}/read"
        if ack_now:
            return self._call("POST", path, body=asked, repeat=False, extra=wait)
        return self._call("POST", path, body=asked, again={"resume": True}, extra=wait)

    def ack(self, agent: str, ids: list[str], *, consumer: str | None = None) -> Json:
        """Acknowledge what this client, or `consumer`, has leased.

        Raises:
            LeaseLost: some were not acknowledged: `detail["rejected"]`.
        """
        return self._settle("ack", agent, {"ids": ids}, consumer, repeat=True)

    def nack(self, agent: str, ids: list[str], *, delay_ms: int | None = None, consumer: str | None = None) -> Json:
        """Give leased messages back, at once or after `delay_ms`."""
        return self._settle("nack", agent, {"ids": ids, "delay_ms": delay_ms}, consumer, repeat=False)

    def extend(self, agent: str, ids: list[str], *, consumer: str | None = None) -> Json:
        """Prolong leases by one lease time from now."""
        return self._settle("extend", agent, {"ids": ids}, consumer, repeat=True)

    def state(self, agent: str, id: str) -> Json:
        """Return what became of one message."""
        return self._call("GET", f"messages/{_segment(agent, 'name')}/{_segment(id, 'id')}")

    def clear(self, agent: str) -> Json:
        """Drop everything in an inbox, leased messages too."""
        return self._call("DELETE", f"messages/{_segment(agent, 'name')}", repeat=False)

    def broadcast(self, body: str, *, sender: str | None = None, id: str | None = None) -> Json:
        """Send to all; without `id` one is made, so that a retry is stored once."""
        return self._call(
            "POST", "broadcasts", body={"body": body, "from": sender, "id": _unique() if id is None else id}
        )

    def broadcasts(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the feed, oldest first; moves no cursor."""
        return self._call("GET", "broadcasts", query={"limit": limit, "offset": offset})

    def read_broadcasts(self, agent: str, *, limit: int | None = None) -> Json:
        """Return what an agent has not seen and move its cursor behind it."""
        return self._call("POST", f"broadcasts/{_segment(agent, 'name')}/read", body={"limit": limit}, repeat=False)

    def clear_broadcasts(self) -> Json:
        """Drop the whole feed."""
        return self._call("DELETE", "broadcasts", repeat=False)

    def dead(self, agent: str, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List an agent's dead letters."""
        return self._call("GET", f"dead/{_segment(agent, 'name')}", query={"limit": limit, "offset": offset})

    def requeue(self, agent: str, ids: list[str] | None = None) -> Json:
        """Put dead letters, or all of them, back at the tail of the inbox."""
        return self._call("POST", f"dead/{_segment(agent, 'name')}/requeue", body={"ids": ids}, repeat=False)

    def clear_dead(self, agent: str) -> Json:
        """Drop an agent's dead letters."""
        return self._call("DELETE", f"dead/{_segment(agent, 'name')}", repeat=False)

    def history(
        self,
        *,
        agent: str | None = None,
        with_: str | None = None,
        q: str | None = None,
        before: str | None = None,
        limit: int | None = None,
    ) -> Json:
        """List accepted messages and broadcasts, newest first; the next page is `before` the answer's `before`."""
        asked = {"agent": agent, "with": with_, "q": q, "before": before, "limit": limit}
        return self._call("GET", "history", query=asked)

    def check(self, agent: str) -> Json:
        """Return how much an agent could read now."""
        return self._call("GET", f"check/{_segment(agent, 'name')}")

    def agents(self, *, limit: int | None = None, offset: int | None = None) -> Json:
        """List the known agents."""
        return self._call("GET", "agents", query={"limit": limit, "offset": offset})

    def agent(self, name: str) -> Json:
        """Return one agent.

        Raises:
            UnknownAgent: `detail["names"]` holds the nearest ones.
        """
        return self._call("GET", f"agents/{_segment(name, 'name')}")

    def heartbeat(self, name: str) -> Json:
        """Keep an agent online for 30 s."""
        return self._call("POST", f"agents/{_segment(name, 'name')}/heartbeat", body={})

    def rename(self, old: str, new: str) -> Json:
        """Give an agent another name; mail to the old one keeps arriving."""
        return self._call("POST", f"agents/{_segment(old, 'name')}/rename", body={"name": new}, repeat=False)

    def forget(self, name: str) -> Json:
        """Remove an agent that is offline and has no mail.

        Raises:
            AgentBusy: it is online or has mail.
        """
        return self._call("DELETE", f"agents/{_segment(name, 'name')}", repeat=False)

    def cleanup(self) -> Json:
        """Forget every agent that is offline and has no mail."""
        return self._call("POST", "agents/cleanup", body={}, repeat=False)

    def signin_code(self) -> Json:
        """Return where the page is, with a single-use code where a token is wanted; over the unix socket only."""
        return self._call("POST", "signin/code", body={})

    def stats(self) -> Json:
        """Return counts and rates."""
        return self._call("GET", "stats")

    def health(self) -> Json:
        """Return the daemon's health; an unhealthy one is an answer, not a refusal."""
        return self._once("GET", "/api/health", None, 0).payload(accept=503)

    def events(
        self,
        *,
        since: str | None = None,
        agent: str | None = None,
        types: list[str] | None = None,
        patience: float | None = PATIENCE,
    ) -> Iterator[Json]:
        """Yield what happens: `event_id`, `type` and the event's fields; a broken stream is resumed where it ended.

        `since` replays what came after that id. A lost daemon is waited for `patience` s, None: for ever.

        Raises:
            Unreachable: nobody answers at first, or not again in time.
        """
        if self._start:
            self._started()
        return self._follow(
            f"/api/events{_query({'agent': agent, 'type': ','.join(types) if types else None})}", since, patience
        )

    def _started(self) -> None:
        try:
            self.health()
        except Unreachable:
            if self._start:
                self._start()

    def _follow(self, target: str, since: str | None, patience: float | None) -> Iterator[Json]:
        lost_at: float | None = None  # None until a first stream stood: from then on a lost one is waited for
        while True:
            resume = {"Last-Event-ID": since} if since else {}
            try:
                for event in self._transport.events(target, self._headers | resume, SILENCE):
                    since = event["event_id"] or since
                    yield event
                lost_at = time.monotonic()
            except (Unreachable, StoreAway):
                if lost_at is None or (patience is not None and time.monotonic() - lost_at > patience):
                    raise
            time.sleep(RECONNECT)

    def _settle(self, verb: str, agent: str, asked: Json, consumer: str | None, *, repeat: bool) -> Json:
        body = asked | {"consumer": consumer or self.consumer}
        return self._call("POST", f"messages/{_segment(agent, 'name')}/{verb}", body=body, repeat=repeat)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Json | None = None,
        body: Json | None = None,
        repeat: bool = True,
        again: Json | None = None,
        extra: float = 0,
    ) -> Json:
        """Try up to three times what was not acted on; with `repeat` also what may have been, `again` added to it."""
        target = f"/api/{path}{_query(query or {})}"
        began = time.monotonic()
        doubt: PostinoError | None = None  # a try whose outcome is unknown is what to report, whatever came after it
        for pause in (*PAUSES, None):
            try:
                return self._once(method, target, body, extra).payload()
            except (Unreachable, StoreAway) as error:
                if error.detail.get("outcome") != "none":
                    doubt = error
                    body = body | again if body and again else body
                if pause is None or (doubt and not repeat) or time.monotonic() - began > PATIENCE:
                    raise _with_id(doubt or error, body) from None
                if isinstance(error, Unreachable) and error is not doubt:
                    self._revive(error, doubt)
            time.sleep(pause)
        raise AssertionError

    def _revive(self, error: Unreachable, doubt: PostinoError | None) -> None:
        """Start a daemon where nobody answers; where nobody ever did and none can be started, give up at once."""
        if self._start:
            self._start()
        elif doubt is None:
            raise error

    def _once(self, method: str, target: str, body: Json | None, extra: float) -> Answer:
        headers = dict(self._headers)
        payload = None
        if body is not None:
            payload = _encoded({key: value for key, value in body.items() if value is not None})
            headers["Content-Type"] = "application/json"
        return self._transport.exchange(method, target, payload, headers, self._seconds + extra)


def _unique() -> str:
    return os.urandom(16).hex()  # as good as uuid4, without the import


def _segment(value: str, field: str) -> str:
    """Return `value` as a segment of a path; the daemon judges it, but for what no path can carry."""
    if not value.strip("."):
        raise (BadName if field == "name" else BadField)(f"{field} {value!r} cannot be one", field=field)
    return quote(value, safe="", errors="surrogatepass")


def _query(asked: Json) -> str:
    given = {key: value for key, value in asked.items() if value is not None}
    return f"?{urlencode(given, errors='surrogatepass')}" if given else ""


def _with_id(error: PostinoError, body: Json | None) -> PostinoError:
    """Name the id under which the request may be repeated by hand."""
    if body and "id" in body:
        error.detail.setdefault("id", body["id"])
    return error


def _encoded(body: Json) -> bytes:
    """Return JSON as short as UTF-8 makes it: escaped, the largest body allowed would be too large a request."""
    try:
        return json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate: only escaped can it travel, and the daemon names its place
        return json.dumps(body).encode()
