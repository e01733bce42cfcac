"""The Lua corpus: its headers are true, it keeps to its keys, and it runs where it is promised to run."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from postino.broker import Broker, Hello
from postino.config import Settings
from postino.errors import ERRORS, PostinoError
from postino.model import BroadcastDraft, Draft, Sender
from postino.paths import Home, folder
from postino.several import ManyDraft
from postino.store import scripts
from postino.store.keys import PER_AGENT, PER_NAME, SHARED, Keys
from postino.store.migrate import migrate
from postino.store.notifier import Told
from postino.store.scripts import Script
from postino.store.store import Store
from postino.store.valkey.primary import client
from tests.waiting import eventually

CORPUS = scripts.load(folder("lua"))
REDIS = shutil.which("redis-server")
TYPES = {"stream", "hash", "zset"}
GOOD = """#!lua
--[[ one: do one thing.
Atomic because it is one.
KEYS     inbox   stream   {po}:inbox2:<agent>
         agents  hash     {po}:agents, of which
ARGV     agent   who
RETURNS  ok
ERRORS   NONE
TIME     O(1)
]]
--@include lib/now
return { 'ok' }
"""


def code_of(script: Script) -> str:
    """The source without header and comments."""
    return re.sub(r"--[^\n]*", "", script.source.partition("]]")[2])


def corpus(directory: Path, text: str, name: str = "one") -> Path:
    (directory / "lib").mkdir()
    (directory / "lib" / "now.lua").write_text("local now = 1\n")
    (directory / f"{name}.lua").write_text(text)
    return directory


each_script = pytest.mark.parametrize("script", CORPUS.values(), ids=CORPUS)


# the loader


def test_a_header_is_the_signature(tmp_path: Path) -> None:
    script = scripts.load(corpus(tmp_path, GOOD))["one"]

    assert (script.name, script.keys, script.args, script.errors) == ("one", ("inbox", "agents"), ("agent",), set())
    assert "local now = 1" in script.source
    assert "@include" not in script.source


def test_arguments_go_by_name_in_the_order_of_the_header(tmp_path: Path) -> None:
    text = GOOD.replace("ARGV     agent   who\n", "ARGV     agent   who\n         limit   how many,\n")
    script = scripts.load(corpus(tmp_path, text))["one"]

    assert script.arguments({"limit": 3, "agent": "bob"}) == ("bob", 3)
    for wrong in ({"agent": "bob"}, {"agent": "bob", "limt": 3}, {"agent": "bob", "limit": 3, "more": 1}):
        with pytest.raises(TypeError, match="one"):
            script.arguments(wrong)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("#!lua\n", ""),
        ("#!lua\n", "-- first\n#!lua\n"),
        ("one: do", "two: do"),
        ("ERRORS   NONE\n", ""),
        ("TIME     O(1)\n", ""),
        ("]]\n", ""),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, wrong: str, right: str) -> None:
    with pytest.raises(ValueError, match=r"one\.lua"):
        scripts.load(corpus(tmp_path, GOOD.replace(wrong, right, 1)))


def test_libraries_bring_what_they_include_before_them_and_each_only_once(tmp_path: Path) -> None:
    lib = corpus(tmp_path, GOOD + "--@include lib/one\n--@include lib/other\n") / "lib"
    (lib / "one.lua").write_text("--@include lib/base\nlocal one = base\n")
    (lib / "other.lua").write_text("--@include lib/base\n--@include lib/now\nlocal other = base + now\n")
    (lib / "base.lua").write_text("local base = 1\n")

    source = scripts.load(tmp_path)["one"].source

    assert re.findall(r"local (\w+) =", source) == ["now", "base", "one", "other"]
    assert "@include" not in source


def test_a_script_has_the_functions_it_calls_and_no_others(tmp_path: Path) -> None:
    block = "if KEYS[1] then\n  --@include lib/sums\n  return sum(1)\nend\nreturn sum\n"
    lib = corpus(tmp_path, GOOD.replace("return { 'ok' }\n", block)) / "lib"
    functions = (
        ("sum(a)", "return add(a)"),
        ("add(a)", "return a"),
        ("idle(a)", "return other(a)"),
        ("other(a)", "return a"),
    )
    (lib / "sums.lua").write_text(
        "\n".join(f"local function {head}\n  {body}\nend\n" for head, body in reversed(functions))
    )

    source = scripts.load(tmp_path)["one"].source

    assert re.findall(r"^local function (\w+)", source, re.MULTILINE) == ["add", "sum"]
    assert source.index("if KEYS[1]") < source.index("local function add")


def test_an_include_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scripts.load(corpus(tmp_path, GOOD.replace("lib/now", "lib/never")))


# what the headers say


@each_script
def test_every_key_of_a_header_has_a_type_and_a_name_that_the_keys_know(script: Script) -> None:
    others = {
        "rename": {*(f"{kind}_to" for kind in PER_AGENT), "inbox_own", "dead_own"},
        "retain_ids": {"index_to"},
        "migrate": {"broadcasts_1", "order"},
        "send": {"past_from"},
        "send_many": {"past_from"},
        "broadcast": {"past_from"},
        "read_broadcasts": {"ids"},
    }
    special = others.get(script.name, set())

    assert script.keys
    assert set(script.keys) <= {*PER_AGENT, *PER_NAME, *SHARED} | special
    described = script.source.partition("KEYS")[2].partition("ARGV")[0]
    for line in described.strip().splitlines():
        assert line.split()[1] in TYPES, line


@each_script
def test_every_key_of_a_header_is_used_and_none_beside_it(script: Script) -> None:
    code = code_of(script)
    named: dict[str, int] = {}
    for left, first in re.findall(r"local ([\w, ]+) = unpack\(KEYS(?:, (\d+), \d+)?\)", code):
        named |= {name: int(first or 1) + at for at, name in enumerate(left.split(", "))}
    places = {int(place) for place in re.findall(r"KEYS\[(\d+)\]", code)}
    if re.search(r"KEYS\[at", code):  # a rename goes through the four kinds of both names
        places |= set(range(1, 9))
    table = {name: int(place) for name, place in re.findall(r"(\w+) = KEYS\[(\d+)\]", code)}

    for name, place in (named | table).items():
        assert script.keys[place - 1] == name
        assert len(re.findall(rf"\b{name}\b", code)) > 1, f"{name} is never used"
    assert places | set(named.values()) == set(range(1, len(script.keys) + 1))


@each_script
def test_every_argument_of_a_header_is_read_and_none_beside_it(script: Script) -> None:
    code = code_of(script)
    places = {int(place) for place in re.findall(r"ARGV\[(\d+)\]", code)}
    for left, first, last in re.findall(r"local ([\w, ]+) = unpack\(ARGV(?:, (\d+), (\d+))?\)", code):
        places |= set(range(int(first or 1), int(last or len(left.split(", "))) + 1))

    assert places <= set(range(1, len(script.args) + 1))
    assert set(range(1, len(script.args) + 1)) - places == set()


@each_script
def test_no_script_makes_a_key_name(script: Script) -> None:
    code = code_of(script)

    assert "{po}" not in code
    assert not re.search(r"""['"]:?(inbox|leases|index|order|dead|events|history|agents):['"]""", code)
    for target in re.findall(r"redis\.p?call\('(?!TIME|XINFO|XGROUP|XREADGROUP)\w+', ([^,)]+)", code):
        assert re.fullmatch(r"[\w.]+(\[[^\]]+\])?", target.strip()), target


@each_script
def test_every_refusal_is_announced_and_stands_in_the_table_of_errors(script: Script) -> None:
    said = set(re.findall(r"error_reply\('([A-Z_]+) ", code_of(script)))

    assert said == script.errors
    assert {each.lower() for each in said} <= set(ERRORS)


@each_script
def test_no_loop_or_command_is_without_bound(script: Script) -> None:
    code = code_of(script)

    assert not re.search(r"'(KEYS|SCAN|SMEMBERS|HGETALL|HVALS|HKEYS|FLUSHALL|EVAL)'", code)
    for range_call in re.findall(r"redis\.p?call\('X(?:REV)?RANGE'[^\n]*", code):
        assert "COUNT" in range_call or len(set(re.findall(r"stream_id|entry\.s|pending\[1\]", range_call))) == 1


LUA = Path(str(folder("lua")))
LIBRARIES = {file.stem: file.read_text() for file in (LUA / "lib").glob("*.lua")}


def included(text: str) -> set[str]:
    """The libraries that a file includes itself."""
    return set(re.findall(r"--@include lib/(\w+)", text))


def used(name: str, text: str) -> set[str]:
    """The other libraries whose functions a file names itself."""
    code = re.sub(r"--[^\n]*", "", text.partition("]]")[2] if name in CORPUS else text)
    own = set(re.findall(r"local function (\w+)", code))
    return {
        library
        for library, source in LIBRARIES.items()
        if library != name
        for defined in re.findall(r"^local (?:function (\w+)|(\w+), (\w+) =)", source, re.MULTILINE)
        if any(each and each not in own and re.search(rf"\b{each}\b", code) for each in defined)
    }


@pytest.mark.parametrize("file", [*LUA.glob("*.lua"), *LUA.glob("lib/*.lua")], ids=lambda file: file.stem)
def test_a_file_includes_exactly_the_libraries_whose_functions_it_names(file: Path) -> None:
    assert included(file.read_text()) == used(file.stem, file.read_text())


def test_a_missing_and_an_idle_include_are_found() -> None:
    text = (LUA / "ack.lua").read_text()

    assert included(text.replace("--@include lib/now\n", "")) != used("ack", text)
    assert included(text) != used("ack", text.replace("now_ms()", "1"))


def test_a_library_nobody_includes_is_not_kept() -> None:
    files = [*LUA.glob("*.lua"), *LUA.glob("lib/*.lua")]

    assert set().union(*(included(file.read_text()) for file in files)) == set(LIBRARIES)


def test_keys_stay_in_one_slot_and_tell_agents_apart() -> None:
    keys = Keys("po:")

    assert (keys.shared("events"), keys.of("inbox", "bob")) == ("{po}:events", "{po}:inbox2:bob")
    assert Keys("team:a:").of("inbox", "bob") == "{team:a}:inbox2:bob"
    assert keys.named("inbox", "bob") == "{po}:inbox2:bob"
    assert keys.named("agents", "bob") == "{po}:agents"
    everything = [keys.of(kind, name) for kind in PER_AGENT for name in ("bob", "bob.x", "inbox", "leases")]
    everything += [keys.shared(kind) for kind in SHARED]
    assert len(set(everything)) == len(everything)


# where they run


async def _each(lines: list[bytes]) -> AsyncIterator[bytes]:
    for line in lines:
        yield line


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
    await broker.events.tell_too_fast("alice", "carol", "pair_rate", 60)
    waiting = await broker.claude.unnotified(bob, "h:2:0", "c-2")
    await broker.claude.mark_notified(waiting, "h:2:0", "c-2", broadcasts=True, greeted=True, how="hook")
    await broker.mail.read(bob, "s-2", limit=5, budget=1000)
    await broker.mail.read(bob, "s-2", limit=5, resume=True)
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
    await broker.dead.page(bob, 10, 0)
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
    await broker.history.search(agent="alice", q="HELLO")
    await broker.agents.rename(bob, "robert")
    await refused(broker.agents.rename("robert", "alice"), "name_taken")
    await refused(broker.agents.rename("robert-never", "x"), "unknown_agent")
    await broker.mail.send(Draft(id="alias", to="alice", body="hello"), ci)
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
    assert await broker.notifier.save(Told(), 0)
    await broker.housekeeping.sweep()
    await broker.housekeeping.send_notices()
    await broker._live.expire_presence()
    await broker.agents.page(10, 0)
    lines = b"".join([part async for part in broker.transfer.export()]).splitlines()
    await refused(broker.transfer.import_(_each(lines)), "not_empty")
    emptied = ("history", "broadcasts", "feed", "agents")
    await broker._store.call("UNLINK", *(broker._store.keys.shared(kind) for kind in emptied))
    await refused(broker.transfer.import_(_each(lines[:-1])), "bad_field")
    await refused(broker.mail.send(Draft(id="importing", to=bob, body="x"), ci), "importing")
    await broker.transfer.import_(_each(lines))
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
    broker = await opened(server.url)
    try:
        seen = await watched(server.url.removeprefix("unix://"), broker)
    finally:
        await broker.close()
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
    port = 20_000 + time.time_ns() % 5_000
    server = serve("--cluster-enabled", "yes", "--port", str(port), "--bind", "127.0.0.1")
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
    broker = await opened(serve(executable=str(REDIS)).url)
    try:
        assert "Redis" in broker._store.server.server
        await conversation(broker)
    finally:
        await broker.close()


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
        reader = client(broker._store.url, timeout_s=1)
        reader.connection_pool.connection_kwargs["decode_responses"] = False
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
