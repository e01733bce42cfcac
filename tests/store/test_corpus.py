"""The Lua corpus where it is promised to run: it keeps to its keys, and a refused call changes nothing."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from redis.asyncio.client import Redis

from postino.broker import Broker, Hello
from postino.broker.history_filter import Search
from postino.config import Settings
from postino.errors import PostinoError
from postino.model import BroadcastDraft, Draft, Sender
from postino.paths import Home, folder
from postino.several import ManyDraft
from postino.store import scripts
from postino.store.migrate import migrate
from postino.store.notifier import Notified
from postino.store.spellings import keep_spellings
from postino.store.store import Store
from postino.store.valkey.primary import pool
from tests.broker.mailrooms import closing, imported, raw
from tests.nodes import free_port
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("patient_store")
CORPUS = scripts.load(folder("lua"))
REDIS = shutil.which("redis-server")


async def conversation(broker: Broker) -> None:
    """Use every verb, every script and every refusal."""
    ci = Sender(name="ci", via="http")

    def hello(session: str, generation: int = 1, **more: str) -> Hello:
        return Hello(session=session, generation=generation, claude_pid=1, host="h", **more)  # type: ignore[arg-type]

    async def refused(call: object, code: str) -> None:
        with pytest.raises(PostinoError) as refusal:
            await call  # type: ignore[misc]
        assert refusal.value.code == code

    await broker.sessions.join(hello("s-1", name="alice", claude_session_id="c-1"))
    await broker.sessions.join(hello("s-2", directory="/d"))
    await broker.sessions.join(hello("s-2", 2, directory="/d"))
    await refused(broker.sessions.join(hello("s-2", 1, directory="/d")), "stale_session")
    bob = await broker.sessions.agent_of("s-2")
    await broker.sessions.note_client("s-2", "codex")
    for number in range(12):
        await broker.mail.send(
            Draft(id=f"m{number}", to=bob, body="hello"), Sender(name="alice", via="mcp", verified=True)
        )
    await refused(broker.mail.send(Draft(id="m0", to=bob, body="other"), ci), "key_reused")
    await refused(broker.mail.send(Draft(id="m12", to=bob, body="x"), ci), "inbox_full")
    await broker.groups.add("team", "alice")
    await broker.groups.add("team", "carol")
    one = Draft(id="many", to="team", body="hello")
    await broker.groups.send_many(ManyDraft(to="#team", draft=one), ci)
    await refused(
        broker.groups.send_many(ManyDraft(to=["alice", "dave"], draft=replace(one, body="other")), ci), "key_reused"
    )
    await refused(broker.groups.send_many(ManyDraft(to=["alice", bob], draft=replace(one, id="m13")), ci), "inbox_full")
    await broker.groups.remove("team", "alice")
    await broker.agents.heartbeat("Web-Page")
    await keep_spellings(broker._store.writes, broker._store.keys, broker._store.scripts["keep_spellings"])
    await broker.events.note_too_fast("alice", "carol", "pair_rate", 60)
    waiting = await broker.claude.unnotified(bob, "h:2:0", "c-2")
    await broker.claude.mark_notified(waiting, "h:2:0", "c-2", broadcasts=True, greeted=True, how="hook")
    await broker.mail.read(bob, "s-2", limit=5, budget=1000)
    await broker.mail.read(bob, "s-2", limit=5, resume=True)
    await broker.mail.take(bob, "s-1", "m11", ack_now=True)
    await broker.mail.ack(bob, "s-2", ["m0", "nonsense"])
    await broker.mail.nack(bob, "s-2", ["m1"])
    await broker.mail.undo_read(bob, "s-2", ["m2"])
    await broker.mail.extend(bob, "s-2", ["m3"])
    await broker.mail.read(bob, "s-2", limit=1, shown={"m3": 1})
    await broker.sessions.keepalive("s-2", 2, {"m3": 1})
    for consumer in ("s-2", "s-3"):
        await broker.mail.read(bob, consumer, limit=200)
        await broker.mail.nack(bob, consumer, ["m1", "m2", "m5"])
    await broker.mail.read(bob, "s-4", limit=2)
    await broker.mail.state(bob, "m1")
    await broker.dead.part(bob, 10)
    await refused(broker.dead.requeue(bob, ["m11"]), "unknown_message")
    await broker.dead.requeue(bob, None)
    await broker.dead.clear(bob)
    await broker.mail.read(bob, "s-5", ack_now=True)
    await broker.agents.check(bob)
    await broker.mail.senders(bob)
    await broker.mail.peek(bob, 10, 0)
    for number in range(5):
        await broker.broadcasts.broadcast(BroadcastDraft(id=f"b{number}", body="hear"), ci)
    await refused(broker.broadcasts.broadcast(BroadcastDraft(id="b0", body="other"), ci), "key_reused")
    batch = await broker.broadcasts.read("alice", 1, move=False)
    await broker.broadcasts.mark_given(bob, "1-0 1")
    await broker.broadcasts.move_cursor("alice", batch.cursor)
    await broker.broadcasts.read(bob, 10, budget=5)
    await broker.broadcasts.page(10, 0)
    await broker.broadcasts.clear()
    await broker.history.search(Search(agent="alice", q="HELLO"))
    await broker.events.replay("0-0", 10)
    await broker.agents.rename(bob, "robert")
    await refused(broker.agents.rename("robert", "alice"), "name_taken")
    await refused(broker.agents.rename("robert-never", "x"), "unknown_agent")
    await broker.mail.send(Draft(id="alias", to="alice", body="hello"), ci)
    await broker.people.register("ann")
    await refused(broker.people.register("alice"), "name_taken")
    await refused(broker.sessions.join(hello("s-3", name="ann")), "name_taken")
    await refused(broker.people.seen("robert", ["m1"]), "unknown_agent")
    await broker.mail.send(Draft(id="ask", to="ann", body="Which?", choices=["one", "two"]), ci)
    await broker.mail.send(Draft(id="ask", to="human", body="Who?"), ci)
    await broker.people.seen("ann", ["ask", "nonsense"])
    await broker.people.done("ann", ["ask"])
    await broker.people.acted("ann")
    await broker.claude.bind("s-1", "h:1:0", "c-1")
    await broker.agents.heartbeat("web")
    await broker.agents.offline("web")
    await refused(broker.agents.forget("alice"), "agent_busy")
    await broker.sessions.leave("s-2", 2)
    left = await broker._store.call("HGET", broker._store.keys.shared("sessions"), "s-2")
    assert await broker._store.run("forget_session", "", {"session": "s-2", "record": left}) == 1
    await broker.mail.send(Draft(id="bad", to="robert", body="as it was sent"), ci)
    index, record = (
        broker._store.keys.of("index", "robert"),
        '{"s":"1-1","d":"of another","q":1,"st":"queued","t":1,"f":"ci"}',
    )
    await broker._store.call("HSET", index, "bad", record)
    assert (await broker.mail.read("robert", "s-bad")).died == 1
    await broker.mail.clear("robert")
    await broker.agents.cleanup()
    assert (await broker.notifier.take(1000))[0]
    await broker.notifier.save(Notified(), 0)
    await broker.housekeeping.sweep()
    await broker.housekeeping.send_notices()
    await broker._live.expire_presence()
    await broker.agents.page(10, 0)
    lines = await raw(broker)
    await refused(imported(broker, lines), "not_empty")
    emptied = ("history", "broadcasts", "feed", "agents")
    await broker._store.call("UNLINK", *(broker._store.keys.shared(kind) for kind in emptied))
    await refused(imported(broker, lines[:-1]), "bad_field")
    await refused(broker.mail.send(Draft(id="importing", to=bob, body="x"), ci), "importing")
    await imported(broker, lines)
    await broker.stats()
    await broker._store.ask_server()
    assert await broker._store._make_room() > 0
    await broker._store.run("fence", "", {})  # as with replicas
    await migrate(broker._store.writes, broker._store.keys, broker._store.scripts["migrate"])
    assert (await broker.health()).ok


@pytest.fixture
def opened(home: Home) -> Callable[[str], object]:
    """Settings for a small broker at a URL."""
    return lambda url: Broker.open(
        Settings(home=home, valkey_url=url, max_deliveries=3, max_inbox=12, max_broadcasts=3, key_prefix="conv:")
    )


async def watched(path: str, broker: Broker) -> list[tuple[bool, list[str]]]:
    """Hold the conversation; return (is it inside a script, its words) for every command the server ran meanwhile."""
    seen: list[tuple[bool, list[str]]] = []
    reader, writer = await asyncio.open_unix_connection(path, limit=1 << 22)
    writer.write(b"MONITOR\r\n")
    assert await reader.readline() == b"+OK\r\n"
    await conversation(broker)
    await broker._store.call("ECHO", "the end")
    async with asyncio.timeout(5):
        while not seen or seen[-1][1][-1] != "the end":
            line = (await reader.readline()).decode()
            words = [word.replace('\\"', '"') for word in re.findall(r'"((?:[^"\\]|\\.)*)"', line)]
            seen.append((" lua] " in line.partition('"')[0], words))
    writer.close()
    return seen


def keys_of(words: list[str]) -> list[str]:
    """The keys a command of a script touches."""
    name = words[0].upper()
    if name == "TIME":
        return []
    if name in ("XREAD", "XREADGROUP"):
        return [words[words.index("STREAMS") + 1]]
    if name in ("XINFO", "XGROUP"):
        return [words[2]]
    if name in ("UNLINK", "EXISTS"):
        return words[1:]
    return words[1:3] if name == "RENAME" else [words[1]]


async def test_every_script_runs_and_touches_only_the_keys_it_was_given(serve, opened) -> None:
    server = serve()
    async with closing(opened(server.url)) as broker:
        seen = await watched(server.url.removeprefix("unix://"), broker)
    names = {script.sha: script.name for script in CORPUS.values()}
    ran, strays, given = set(), [], set()
    for in_script, words in seen:
        if not in_script and words[0].upper() == "EVALSHA":
            given = set(words[3 : 3 + int(words[2])])
            ran.add(names[words[1]])
        elif in_script:
            strays += [(words, key) for key in keys_of(words) if key not in given]

    assert not strays
    assert ran == set(CORPUS)


async def test_the_corpus_runs_on_a_cluster_of_one_node(serve, opened) -> None:
    ports = ("--port", str(free_port()), "--cluster-port", str(free_port()))
    server = serve("--cluster-enabled", "yes", *ports, "--bind", "127.0.0.1")
    server.ask("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
    await eventually(lambda: "cluster_state:ok" in str(server.ask("CLUSTER", "INFO")))
    store = Store(server.url, "x:")
    store.open()
    try:
        broker = await opened(server.url)
        await conversation(broker)
        await broker.close()
        with pytest.raises(PostinoError):  # what keys of several slots would meet
            await store.call("EVAL", "#!lua\nreturn redis.call('GET', KEYS[2])", 2, "{a}:x", "{b}:x")
    finally:
        await store.close()


@pytest.mark.skipif(REDIS is None, reason="no redis-server (Debian: apt-get install redis-server) on this machine")
async def test_the_corpus_runs_on_debians_redis(serve, opened) -> None:
    async with closing(opened(serve(executable=str(REDIS)).url)) as broker:
        assert "Redis" in broker._store.server.server
        await conversation(broker)


async def test_every_script_loads_under_the_name_we_call_it_by(valkey: str) -> None:
    store = Store(valkey, "x:")
    store.open()
    try:
        for script in CORPUS.values():
            assert await store.call("SCRIPT", "LOAD", script.source) == script.sha
    finally:
        await store.close()


async def test_a_refused_call_changes_nothing_at_all(serve, opened) -> None:
    broker: Broker = await opened(serve().url)
    ci = Sender(name="ci", via="http")

    async def snapshot() -> dict[str, object]:
        keys = sorted(await broker._store.call("KEYS", "*"))
        connections = pool(broker._store.url, timeout_s=1)
        connections.connection_kwargs["decode_responses"] = False
        reader = Redis.from_pool(connections)
        dumps = {key: await reader.execute_command("DUMP", key) for key in keys}
        await reader.aclose()
        return dumps

    try:
        await broker.sessions.join(Hello(session="s-1", generation=2, name="online"))
        for number in range(12):
            await broker.mail.send(Draft(id=f"m{number}", to="full", body="x"), ci)
        await broker.mail.send(Draft(id="m1", to="former", body="x"), ci)
        await broker.agents.rename("former", "present")
        await broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="x"), ci)
        before = await snapshot()

        for call in (
            broker.mail.send(Draft(id="m1", to="full", body="other"), ci),
            broker.mail.send(Draft(id="new", to="full", body="x"), ci),
            broker.broadcasts.broadcast(BroadcastDraft(id="b1", body="other"), ci),
            broker.agents.rename("full", "online"),
            broker.agents.rename("full", "present"),
            broker.agents.rename("full", "former"),
            broker.agents.rename("nobody", "x"),
            broker.dead.requeue("full", ["m1"]),
            broker.agents.forget("full"),
            broker.agents.forget("online"),
            broker.sessions.join(Hello(session="s-1", generation=1, name="online")),
        ):
            with pytest.raises(PostinoError):
                await call
        assert (await broker.mail.ack("full", "s-x", ["m1"])).rejected == ["m1"]
        assert (await broker.mail.nack("full", "s-x", ["m1"])).rejected == ["m1"]
        assert (await broker.mail.extend("full", "s-x", ["m1"])).rejected == ["m1"]
        await broker.sessions.leave("s-1", 1)
        await broker.sessions.keepalive("s-1", 1)

        assert await snapshot() == before
    finally:
        await broker.close()
