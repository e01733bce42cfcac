"""GET /metrics: the official parser takes it, it counts what happened, and a scrape costs the same for any number."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from postino.broker import Broker
from postino.config import Settings
from postino.rest.app import STATE
from tests.rest.conftest import Api, Connect

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()

Figures = dict[tuple[str, ...], float]


async def scraped(api: Any, **headers: str) -> Figures:
    """Return every sample: name and label values -> value."""
    answer = await api.get("/metrics", headers=headers)
    assert answer.status == 200, answer.text
    read = parse_openmetrics if "openmetrics" in answer.headers["Content-Type"] else parse
    found = [sample for family in read(answer.text) for sample in family.samples]
    figures = {(each.name, *each.labels.values()): each.value for each in found}
    assert len(figures) == len(found), "a sample stands twice"
    return figures


async def make_every_kind_of_event(api: Any, broker: Broker) -> None:
    for number in range(4):
        await api.send("bob", f"message {number}", id=f"m{number}", **{"from": "ada"})
    await api.read("bob", "c1", limit=3)
    await api.post("messages/bob/nack", {"ids": ["m2"], "consumer": "c1"})
    await api.post("messages/bob/ack", {"ids": ["m0", "m1"], "consumer": "c1"})
    await api.read("bob", "c2", limit=1)
    await api.post("messages/bob/nack", {"ids": ["m2"], "consumer": "c2"})  # its last delivery: it is dead
    await api.post("dead/bob/requeue", {})
    await api.send("cid", "cleared")
    await api.delete("messages/cid")
    await api.post("broadcasts", {"body": "to all"})
    await api.post("messages", {"to": "a b", "body": "refused"})
    await api.get("/no-such-path")
    await broker.housekeeping.sweep()


@pytest.fixture
async def few_deliveries(open_broker: Callable[..., Awaitable[Broker]]) -> Broker:
    """A broker whose messages die with their second delivery."""
    return await open_broker(max_deliveries=2)


async def test_what_happened_is_counted_and_what_is_there_is_told(
    connect: Connect, few_deliveries: Broker, settings: Settings, until: Any
) -> None:
    api = Api(await connect(few_deliveries, settings))
    await make_every_kind_of_event(api, few_deliveries)

    async def all_counted() -> Figures | None:
        figures = await scraped(api)
        return figures if figures.get(("postino_broadcasts_sent_total", "http")) else None

    found = await until(all_counted, "the last event is counted")
    expected = {
        ("postino_messages_sent_total", "http"): 5,
        ("postino_messages_read_total",): 4,
        ("postino_messages_redelivered_total",): 1,
        ("postino_messages_acknowledged_total",): 2,
        ("postino_messages_dead_total", "max_deliveries"): 1,
        ("postino_messages_requeued_total",): 1,
        ("postino_messages_cleared_total",): 1,
        ("postino_refused_total", "bad_name", "http"): 1,
        ("postino_refused_total", "not_found", "http"): 1,
        ("postino_http_request_seconds_count", "POST", "/api/messages"): 6,
        ("postino_unread_messages",): 2,
        ("postino_broadcasts",): 1,
        ("postino_store_up",): 1,
        ("postino_mcp_sessions",): 0,
        ("postino_event_streams",): 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 0 <= found[("postino_oldest_unread_seconds",)] < 3600
    assert found[("postino_store_call_seconds_count",)] >= found[("postino_store_round_trips_total",)] > 10
    newer = await scraped(api, Accept="application/openmetrics-text; version=1.0.0")
    assert newer[("postino_messages_sent_total", "http")] == 5


async def test_a_scrape_costs_the_same_for_three_agents_and_for_three_hundred(api: Any, broker: Broker) -> None:
    calls = 0

    def count(_: float) -> None:
        nonlocal calls
        calls += 1

    async def cost() -> tuple[int, int]:
        nonlocal calls
        await broker.housekeeping.sweep()
        await scraped(api)  # the route itself is a series from now on
        broker.on_store_call(count)
        costs = []
        for _ in range(5):  # the daemon's periodic work may come in between
            calls = 0
            figures = await scraped(api)
            costs.append((calls, len(figures)))
        return min(costs)

    await asyncio.gather(*(api.send(f"agent-{number}") for number in range(3)))
    few = await cost()
    await asyncio.gather(*(api.send(f"agent-{number}") for number in range(300)))
    assert await cost() == few
    assert few[0] < 10


async def test_figures_are_for_an_admin_and_no_page_and_outlive_the_store(
    connect: Connect, broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = Api(await connect(broker, replace(settings, api_token="secret")))
    tokens = api.client.app[STATE].tokens
    codes = {}
    for role in ("publish", "agent", "admin"):
        text, _ = await tokens.create(f"{role}-token", role, None)
        answer = await api.get("/metrics", headers={"Authorization": f"Bearer {text}"})
        codes[role] = answer.status
    assert codes == {"publish": 403, "agent": 403, "admin": 200}
    assert (await api.get("/metrics")).status == 401
    own = {"Authorization": "Bearer secret"}
    linked = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert (await api.get("/metrics", headers=own | linked)).status == 403
    assert (await api.get("/metrics", headers=own | {"Origin": "http://evil.example"})).status == 403
    assert (await api.call("HEAD", "/metrics", headers=own)).text == ""

    from postino.errors import StoreAway

    async def away() -> dict[str, float]:
        raise StoreAway("gone", outcome="none")

    monkeypatch.setattr(broker, "figures", away)
    found = await scraped(api, **own)
    assert found[("postino_store_up",)] == 0
    assert ("postino_unread_messages",) not in found
    assert found[("postino_refused_total", "unauthorized", "http")] == 1


async def test_what_another_program_wrote_into_the_store_makes_no_series(api: Any) -> None:
    from postino.model import Event

    metrics = api.client.app[STATE].metrics
    for number in range(50):
        metrics.count(Event(id="1-0", type="msg_send", data={"via": f"evil-{number}\n"}))
        metrics.count(Event(id="1-0", type=f"unknown-{number}", data={}))
        metrics.count(Event(id="1-0", type="msg_dead", data={"reason": f"x{number}"}))

    found = await scraped(api)
    assert found[("postino_messages_sent_total", "other")] == 50
    assert found[("postino_messages_dead_total", "other")] == 50
    assert len([name for name in found if name[0] == "postino_messages_sent_total"]) == 1


async def test_the_document_names_every_metric_and_no_other(api: Any, broker: Broker) -> None:
    await api.send()
    await broker.housekeeping.sweep()
    answer = await api.get("/metrics")
    families = {each.name: each.type for each in parse(answer.text) if each.name.startswith("postino_")}
    there = {f"{name}_total" if kind == "counter" else name for name, kind in families.items()}

    tables = "".join(line for line in DOCUMENT.splitlines() if line.startswith("| `postino_"))
    assert set(re.findall(r"`(postino_\w+)", tables)) == there
