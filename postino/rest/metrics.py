"""What happened and what there is, for Prometheus.

What happened to mail is counted from the events stream, so by every daemon on one Valkey alike: take `max` over them,
not `sum`. A scrape asks Valkey for a fixed number of figures and never visits an agent. No metric names an agent.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate

from prometheus_client.core import (
    CollectorRegistry,
    Counter,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.process_collector import ProcessCollector

from postino import __version__
from postino.broker import Broker
from postino.errors import ERRORS, StoreAway
from postino.mcp.connected import ConnectedSessions
from postino.model import Event

SECONDS = (0.001, 0.005, 0.02, 0.1, 0.5, 2)  # upper ends of the buckets; a call to Valkey ends within 1.5 s
STORE_SECONDS = (0.0002, 0.0005, 0.001, 0.005, 0.02, 0.1, 0.5)
#: values of labels that come from the store, where another program may have written any
VIAS = frozenset({"mcp", "http", "cli", "web", "system"})
REASONS = frozenset({"max_deliveries", "expired", "altered", "dead_letters_full"})
WAYS = frozenset({"hook", "socket", "channel", "queue", "plugin"})

Observe = Callable[[float], None]

# a second series for each counter, which says when the daemon started
disable_created_metrics()  # type: ignore[no-untyped-call]


class Times:
    """A histogram of seconds. The package's own costs each observation ten times as much, three times a send."""

    def __init__(self, name: str, help: str, ends: tuple[float, ...], labels: tuple[str, ...] = ()) -> None:
        self._name, self._help, self._ends, self._labels = name, help, ends, labels
        self._series: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def of(self, *labels: str) -> Observe:
        """Return what takes the seconds of one series, which exists from now on."""
        ends = self._ends
        counts, total = self._series.setdefault(labels, ([0] * (len(ends) + 1), [0.0]))

        def observe(seconds: float) -> None:
            counts[bisect_left(ends, seconds)] += 1
            total[0] += seconds

        return observe

    def family(self) -> HistogramMetricFamily:
        """Return all series as a scrape shows them."""
        found = HistogramMetricFamily(self._name, self._help, labels=self._labels)
        names = [*(str(float(end)) for end in self._ends), "+Inf"]
        for labels, (counts, total) in self._series.items():
            found.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total[0])
        return found


class Metrics:
    """The figures of one daemon, reported by whoever does what they count."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self._broker = broker
        self._sessions = sessions
        self._held: dict[str, float] = {}  # what the last scrape was told by the store
        self.streams: Callable[[], int] = int  # open event streams
        registry = self._registry = CollectorRegistry()
        counter = partial(Counter, registry=registry)
        self._sent: dict[str, int] = {}  # by the way
        self._messages = {
            "msg_read": counter("postino_messages_read", "Messages leased to a reader, repeats included"),
            "msg_ack": counter("postino_messages_acknowledged", "Messages acknowledged"),
            "msg_nack": counter("postino_messages_returned", "Messages returned by their reader"),
            "msg_release": counter("postino_messages_released", "Messages whose session or lease ended"),
            "msg_requeue": counter("postino_messages_requeued", "Dead letters put back into an inbox"),
            "msg_clear": counter("postino_messages_cleared", "Messages deleted unread"),
        }
        self._redelivered = counter("postino_messages_redelivered", "Messages given out again")
        dead = counter("postino_messages_dead", "Messages given up after their last delivery", ["reason"])
        expired = counter("postino_messages_expired", "Messages that outlived their time to live", ["reason"])
        notified = counter("postino_messages_notified", "Messages that a session was told of", ["way"])
        broadcasts = counter("postino_broadcasts_sent", "Broadcasts accepted", ["via"])
        #: type of event -> counter, the member that has the label, and its known values
        self._labelled = {
            "msg_dead": (dead, "reason", REASONS),
            "msg_expired": (expired, "reason", REASONS),
            "msg_notified": (notified, "how", WAYS),
            "broadcast": (broadcasts, "via", VIAS),
        }
        self._refused = counter("postino_refused", "Calls refused", ["face", "code"])
        self._wakes = counter("postino_wakes", "Lines written to idle sessions", ["way", "result"])
        what = "Time of a request without event streams and long polls"
        self._http = Times("postino_http_request_seconds", what, SECONDS, ("method", "route"))
        self._mcp = Times("postino_mcp_call_seconds", "Time of a tool call", SECONDS, ("tool",))
        what = "Time from a call to Valkey to its reply, waiting for others included"
        self._calls = Times("postino_store_call_seconds", what, STORE_SECONDS)
        broker.on_store_call(self._calls.of())
        self._trips_before = broker.round_trips  # of calls that nobody has counted
        broker.on_tool_call = self.tool_called
        registry.register(self)
        ProcessCollector(registry=registry)

    def of_route(self, method: str, route: str) -> Observe:
        """Return what takes the seconds of one request of a route."""
        return self._http.of(method, route)

    def refused(self, face: str, code: str) -> None:
        """Count a refusal; `face` is `http` or `mcp`."""
        self._refused.labels(face, code if code in ERRORS else "internal").inc()

    def tool_called(self, tool: str, seconds: float, code: str | None) -> None:
        """Count a tool call that took `seconds`, and was refused with `code`."""
        self._mcp.of(tool)(seconds)
        if code is not None:
            self.refused("mcp", code)

    def woken(self, way: str, taken: bool) -> None:
        """Count a wake by `way`, and whether the client took it."""
        self._wakes.labels(way, "taken" if taken else "refused").inc()

    def count(self, event: Event) -> None:
        """Count one event, by the number of messages it is about."""
        data = event.data
        if event.type == "msg_send":  # counted so, it costs a send a fifth
            via = _known(data.get("via"), VIAS)
            self._sent[via] = self._sent.get(via, 0) + 1
            return
        ids = data.get("ids")
        number = len(ids) if isinstance(ids, list) else int(str(data.get("count", 1)))
        if event.type in self._labelled:
            counter, member, known = self._labelled[event.type]
            counter.labels(_known(data.get(member), known)).inc(number)
        elif event.type in self._messages:
            self._messages[event.type].inc(number)
            if redelivered := int(str(data.get("redelivered", 0))):
                self._redelivered.inc(redelivered)

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return all figures in the format that `accept`, an Accept header, asks for, and its content type."""
        try:
            self._held = dict(await self._broker.figures())
        except StoreAway:
            self._held = {}
        from prometheus_client.exposition import choose_encoder  # for those who scrape: 5 ms

        encode, content_type = choose_encoder(accept)
        return await asyncio.to_thread(encode, self._registry), content_type  # some milliseconds

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]:
        """Yield what is asked for at a scrape, not counted before."""
        yield GaugeMetricFamily("postino_store_up", "Whether Valkey answers", value=float(bool(self._held)))
        for name, (help, key) in STORE_GAUGES.items():
            if key in self._held:
                yield GaugeMetricFamily(f"postino_{name}", help, value=self._held[key])
        yield from (each.family() for each in (self._http, self._mcp, self._calls))
        sent = CounterMetricFamily("postino_messages_sent", "Messages accepted", labels=["via"])
        for via, count in self._sent.items():
            sent.add_metric([via], count)
        yield sent
        gaps = self._broker.events.gaps
        yield CounterMetricFamily("postino_event_gaps", "Times that events came too fast to be counted", value=gaps)
        trips = self._broker.round_trips - self._trips_before
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
