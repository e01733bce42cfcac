"""How the time of each request path grows with the agents that are known, and with the messages that wait."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import statistics
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote
from urllib.request import urlopen

from bench.callers import repeat
from bench.load import dial_tcp, drive, http_complete, post
from bench.server import stop_rewriting
from bench.stack import daemon
from bench.store import BODY, SENDER, settings
from bench.table import Rows
from postino.broker import Broker
from postino.config import Settings
from postino.model import BroadcastDraft, Draft

AGENTS = (100, 1_000, 10_000)
WAITING = (1_000, 10_000, 99_000)  # an inbox holds 100,000, and some more are sent while it is measured
TRIES = 3
ROUNDS = 3  # of each measurement, the sizes in turn: other work on the machine slows all of them
FILLING = 64  # callers that fill
PERSON = "person"  # whose daemon it is
SEEN = "seen"  # the id of a broadcast that all agents have seen; half of them have not seen the next one
OF_A_THREAD = 10  # messages, spread over the whole history
Paths = dict[str, Iterator[bytes]]

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "inlet", "junco")


def run(seconds: float, largest: int = 1_000) -> Rows:
    """Return one row per request path: its p50 in ms at each size, and that at the largest over that at the smallest.

    Each measurement takes a tenth of `seconds`, but at least 0.05 s. Sizes beyond `largest` agents and 10 times as many
    waiting messages are left out.
    """
    each = max(0.05, seconds / 10)
    agents = [size for size in AGENTS if size <= largest] or [largest // 10, largest]
    waiting = [size for size in WAITING if size <= largest * 10] or [largest, largest * 10]
    return [
        *_rows("known agents", _measured(_of_agents, agents, each)),
        *_rows("messages wait", _measured(_of_messages, waiting, each)),
    ]


def _measured(paths: Callable[[int, int], Paths], sizes: list[int], seconds: float) -> dict[int, dict[str, float]]:
    """Return the p50 in ms of each path by size. A daemon for each size; they are measured in turn."""
    found: dict[int, dict[str, float]] = {size: {} for size in sizes}
    with contextlib.ExitStack() as close:
        asked: dict[int, tuple[int, Paths]] = {}
        for size in sizes:
            stack = close.enter_context(
                daemon(POSTINO_LOG_LEVEL="warning", POSTINO_MAX_INBOX="100000", POSTINO_HUMAN_NAME=PERSON)
            )
            asyncio.run(_fill(settings(stack.home, "po:"), size, agents=paths is _of_agents))
            stop_rewriting(stack.valkey)  # it would run in some of them only
            asked[size] = stack.port, paths(stack.port, size)
        for what in asked[sizes[0]][1]:
            taken: dict[int, list[float]] = {size: [] for size in sizes}
            for size, (port, requests) in [*asked.items()] * ROUNDS:
                taken[size].append(_p50_ms(port, requests[what], seconds / ROUNDS))
            for size in sizes:
                found[size][what] = statistics.median(taken[size])
    return found


def _p50_ms(port: int, requests: Iterator[bytes], seconds: float) -> float:
    for left in reversed(range(TRIES)):
        try:
            return drive(lambda: dial_tcp("127.0.0.1", port), requests, http_complete, 1, seconds).percentile_ms(50)
        except RuntimeError:  # a machine that does much else makes the store too late now and then
            if not left:
                raise
            time.sleep(1)
    raise AssertionError


def _rows(grown: str, found: dict[int, dict[str, float]]) -> Rows:
    sizes = sorted(found)
    return [
        {
            "what": what,
            "grown": grown,
            "sizes": sizes,
            "p50 ms": [round(found[size][what], 3) for size in sizes],
            "growth": round(found[sizes[-1]][what] / found[sizes[0]][what], 2),
        }
        for what in found[sizes[0]]
    ]


async def _fill(found: Settings, size: int, *, agents: bool) -> None:
    broker = await Broker.open(found)

    async def agent(number: int) -> None:
        await broker.agents.heartbeat(name_of(number))
        await broker.broadcasts.read(name_of(number), number % 2 + 1)
        await broker.agents.offline(name_of(number))  # else some are still online when they are measured

    async def message(number: int) -> None:
        thread = f"t{number % max(1, size // OF_A_THREAD)}"
        await broker.mail.send(Draft(id=f"w{number}", to="full", body=BODY, thread=thread), SENDER)
        if number % 10 == 0:
            await broker.mail.send(Draft(id=f"p{number}", to=PERSON, body=BODY, thread=thread), SENDER)

    try:
        if agents:
            for id in (SEEN, f"{SEEN}-2"):
                await broker.broadcasts.broadcast(BroadcastDraft(id=id, body=BODY), SENDER)
        await repeat(agent if agents else message, FILLING, 3600.0, at_most=size)
    finally:
        await broker.close()


def name_of(number: int) -> str:
    """Return the name of an agent, as a directory's first session has it."""
    return f"{WORDS[number % 10]}-{WORDS[number // 10 % 10]}-{number:04x}"


def _of_agents(port: int, size: int) -> Paths:
    return {
        "check": _gets(port, f"check/{name_of(0)}"),
        "check of a person": _gets(port, f"check/{PERSON}"),
        "one agent": _gets(port, f"agents/{name_of(0)}"),
        "list of agents": _gets(port, "agents"),
        "last page of agents": _gets(port, f"agents?offset={max(0, size - 50)}"),
        "agents online": _gets(port, "agents?online=true"),
        "people": _gets(port, "people"),
        "inbox of a person": _gets(port, f"people/{PERSON}"),
        "groups": _gets(port, "groups"),
        "list of broadcasts": _gets(port, "broadcasts"),
        "a broadcast in the history": _gets(port, f"history?q={SEEN}"),
        "history of one agent": _gets(port, f"history?agent={name_of(0)}"),
        "threads": _gets(port, "threads"),
        "stats": _gets(port, "stats"),
        "heartbeat": itertools.repeat(post(f"/api/agents/{name_of(2)}/heartbeat", b"", port)),
        "send to a known agent": _sends(port, f"k{size}", lambda number: name_of(number % 100)),
        "send to a new name": _sends(port, f"n{size}", lambda number: f"unheard-{size:x}-{number:x}"),
        "read + acknowledge": itertools.repeat(
            post(f"/api/messages/{name_of(1)}/read", b'{"limit":1,"ack":"now"}', port)
        ),
        "broadcast": (
            post(
                "/api/broadcasts", json.dumps({"body": BODY, "from": "bench", "id": f"b{size}-{number}"}).encode(), port
            )
            for number in itertools.count()
        ),
        "read of a broadcast": itertools.repeat(post(f"/api/broadcasts/{name_of(3)}/read", b'{"limit":1}', port)),
    }


def _of_messages(port: int, size: int) -> Paths:
    _search_thread(port)
    return {
        "check": _gets(port, "check/full"),
        "first page": _gets(port, "messages/full"),
        "last page": _gets(port, f"messages/full?offset={max(0, size - 50)}"),
        "page in the middle": _gets(port, f"messages/full?after={_middle(port, size)}"),
        "inbox of a person": _gets(port, f"people/{PERSON}"),
        "state of one message": _gets(port, f"messages/full/w{size // 2}"),
        "history": _gets(port, "history"),
        "history of one agent": _gets(port, f"history?agent={quote('bench')}"),
        "one id in the history": _gets(port, f"history?id=w{size // 2}"),
        "threads": _gets(port, "threads"),
        "a thread": _gets(port, "threads/t7"),
        "stats": _gets(port, "stats"),
        "send": _sends(port, f"s{size}", lambda _: "full"),
        "read + acknowledge": itertools.repeat(post("/api/messages/full/read", b'{"limit":1,"ack":"now"}', port)),
    }


def _sends(port: int, prefix: str, to: Callable[[int], str]) -> Iterator[bytes]:
    for number in itertools.count():
        body = {"to": to(number), "from": "bench", "body": BODY, "id": f"{prefix}-{number}"}
        yield post("/api/messages", json.dumps(body).encode(), port)


def _search_thread(port: int) -> None:
    """Ask once for all pages of a thread, so that the daemon has looked at the whole history."""
    place, more = "", True
    while more:
        with urlopen(f"http://127.0.0.1:{port}/api/threads/t7{place}", timeout=30) as answer:
            page = json.load(answer)
        more, place = page["more"], f"?before={page['before']}"


def _middle(port: int, size: int) -> str:
    """Return the place after the middle of the inbox."""
    with urlopen(f"http://127.0.0.1:{port}/api/messages/full?limit=1&offset={size // 2}", timeout=30) as found:
        return str(json.load(found)["after"])


def _gets(port: int, path: str) -> Iterator[bytes]:
    return itertools.repeat(f"GET /api/{path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
