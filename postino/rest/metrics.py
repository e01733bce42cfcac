"""What happened and what there is, for Prometheus.

What happened to mail is counted from the events stream, so by every daemon on one Valkey alike: take `max` over them,
not `sum`. A scrape asks Valkey for a fixed number of figures and never visits an agent. No metric names an agent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector

from postino import __version__
from postino.broker import Broker
from postino.errors import ERRORS, StoreAway
from postino.mcp.connected import ConnectedSessions
from postino.model import Event

QUEUE = 10_000  # events; they are delivered 500 at a time
SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2)  # upper ends of the buckets; a call to Valkey ends within 1.5 s
STORE_SECONDS = (0.0002, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5)
#: values of labels that come from the store, where another program may have written any
VIAS = frozenset({"mcp", "http", "cli", "web", "system"})
REASONS = frozenset({"max_deliveries", "expired", "altered", "dead_letters_full"})
WAYS = frozenset({"hook", "socket", "channel", "queue", "plugin"})

Observe = Callable[[float], None]

# a second series for each counter, which says when the daemon started
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    """The figures of one daemon. `run` counts events; the rest is reported by whoever does it."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self._broker = broker
        self._sessions = sessions
        self._held: dict[str, float] = {}  # what the last scrape was told by the store
        self.streams: Callable[[], int] = int  # open event streams
        registry = self._registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._sent = counter("postino_messages_sent", "Messages accepted", ["via"])
        self._messages = {
            "msg_read": counter("postino_messages_read", "Messages leased to a reader, repeats included"),
            "msg_ack": counter("postino_messages_acknowledged", "Messages acknowledged"),
            "msg_nack": counter("postino_messages_returned", "Messages returned by their reader"),
            "msg_release": counter("postino_messages_released", "Messages whose session or lease ended"),
            "msg_requeue": counter("postino_messages_requeued", "Dead letters put back into an inbox"),
            "msg_clear": counter("postino_messages_cleared", "Messages deleted unread"),
        }
        self._redelivered = counter("postino_messages_redelivered", "Messages given out again")
        self._dead = counter("postino_messages_dead", "Messages given up after their last delivery", ["reason"])
        self._expired = counter("postino_messages_expired", "Messages that outlived their time to live", ["reason"])
        self._notified = counter("postino_messages_notified", "Messages that a session was told of", ["way"])
        self._broadcasts = counter("postino_broadcasts_sent", "Broadcasts accepted", ["via"])
        self._lost = counter("postino_event_gaps", "Times that events came too fast to be counted")
        self._refused = counter("postino_refused", "Calls refused", ["face", "code"])
        self._wakes = counter("postino_wakes", "Lines written to idle sessions", ["way", "result"])
        self._http = Histogram(
            "postino_http_request_seconds",
            "Time of a request without event streams and long polls",
            ["method", "route"],
            buckets=SECONDS,
            registry=registry,
        )
        self._mcp = Histogram(
            "postino_mcp_call_seconds", "Time of a tool call", ["tool"], buckets=SECONDS, registry=registry
        )
        store = Histogram(
            "postino_store_call_seconds",
            "Time from a call to Valkey to its reply, waiting for others included",
            buckets=STORE_SECONDS,
            registry=registry,
        )
        broker.on_store_call(store.observe)
        broker.on_tool_call = self.tool_called
        registry.register(self)
        ProcessCollector(registry=registry)

    def of_route(self, method: str, route: str) -> Observe:
        """Return what takes the seconds of one request of a route."""
        observe: Observe = self._http.labels(method, route).observe
        return observe

    def refused(self, face: str, code: str) -> None:
        """Count a refusal; `face` is `http` or `mcp`."""
        self._refused.labels(face, code if code in ERRORS else "internal").inc()

    def tool_called(self, tool: str, seconds: float, code: str | None) -> None:
        """Count a tool call that took `seconds`, and was refused with `code`."""
        self._mcp.labels(tool).observe(seconds)
        if code is not None:
            self.refused("mcp", code)

    def woken(self, way: str, taken: bool) -> None:
        """Count a wake by `way`, and whether the client took it."""
        self._wakes.labels(way, "taken" if taken else "refused").inc()

    async def run(self) -> None:
        """Count events until cancelled."""
        while True:
            async with self._broker.events.subscribe(QUEUE) as events:
                while (event := await events.get()) is not None:
                    self.count(event)
            self._lost.inc()

    def count(self, event: Event) -> None:
        """Count one event, by the number of messages it is about."""
        data, ids = event.data, event.data.get("ids")
        number = len(ids) if isinstance(ids, list) else int(str(data.get("count", 1)))
        match event.type:
            case "msg_send":
                self._sent.labels(_known(data.get("via"), VIAS)).inc()
            case "broadcast":
                self._broadcasts.labels(_known(data.get("via"), VIAS)).inc()
            case "msg_dead":
                self._dead.labels(_known(data.get("reason"), REASONS)).inc()
            case "msg_expired":
                self._expired.labels(_known(data.get("reason"), REASONS)).inc()
            case "msg_notified":
                self._notified.labels(_known(data.get("how"), WAYS)).inc(number)
            case kind if kind in self._messages:
                self._messages[kind].inc(number)
                self._redelivered.inc(int(str(data.get("redelivered", 0))))

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return all figures in the format that `accept`, an Accept header, asks for, and its content type."""
        try:
            self._held = dict(await self._broker.figures())
        except StoreAway:
            self._held = {}
        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), content_type  # some milliseconds

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """Yield what is asked for at a scrape, not counted before."""
        yield GaugeMetricFamily("postino_store_up", "Whether Valkey answers", value=float(bool(self._held)))
        for name, (help, key) in STORE_GAUGES.items():
            if key in self._held:
                yield GaugeMetricFamily(f"postino_{name}", help, value=self._held[key])
        trips = self._broker.round_trips
        yield CounterMetricFamily(
            "postino_store_round_trips", "Writes to Valkey, of one or more calls each", value=trips
        )
        yield GaugeMetricFamily("postino_mcp_sessions", "Sessions connected to this daemon", value=len(self._sessions))
        yield GaugeMetricFamily("postino_event_streams", "Event streams open on this daemon", value=self.streams())
        build = GaugeMetricFamily("postino_build_info", "The version of this daemon", labels=["version"])
        build.add_metric([__version__], 1)
        yield build


#: metric -> what it is, and the name of the figure
STORE_GAUGES = {
    "unread_messages": ("Unacknowledged messages of all agents, at the last sweep, a minute ago at most", "unread"),
    "oldest_unread_seconds": ("Age of the oldest of them; 0: there are none", "oldest_s"),
    "agent_names": ("Known names of agents, former ones included", "names"),
    "online_sessions": ("Sessions that are online, of all daemons", "online"),
    "broadcasts": ("Broadcasts that are kept", "broadcasts"),
    "history_entries": ("Entries of the history", "history"),
}


def _known(value: object, known: frozenset[str]) -> str:
    return value if isinstance(value, str) and value in known else "other"
