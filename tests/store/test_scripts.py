"""The Lua corpus: its headers are true, and each script has what it names of the libraries."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from postino.errors import ERRORS
from postino.paths import folder
from postino.store import scripts
from postino.store.fence import PROMISING
from postino.store.keys import PER_AGENT, PER_NAME, SHARED, Keys
from postino.store.scripts import Script
from postino.store.wire import encode, encode_words

CORPUS = scripts.load(folder("lua"))
TYPES = {"stream", "hash", "zset"}
GOOD = """#!lua
--[[ one: do one thing.
Atomic because it is one.
KEYS     inbox   stream   {po}:inbox4:<agent>
         agents  hash     {po}:agents, of which
ARGV     agent   who
RETURNS  ok
ERRORS   NONE
TIME     O(1)
]]
return { 'ok', now }
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


def test_a_line_of_a_script_is_as_short_as_one_of_python() -> None:
    lua = Path(__file__).resolve().parents[2] / "lua"
    lines = [line for file in lua.rglob("*.lua") for line in file.read_text().splitlines()]
    assert len(lines) > 1000
    assert not [line for line in lines if len(line) > 120]


def test_a_header_is_the_signature(tmp_path: Path) -> None:
    script = scripts.load(corpus(tmp_path, GOOD))["one"]

    assert (script.name, script.keys, script.args, script.errors) == ("one", ("inbox", "agents"), ("agent",), set())
    assert "local inbox, agents = unpack(KEYS, 1, 2)\nlocal agent = unpack(ARGV, 1, 1)\n" in script.source
    assert "local now = 1" in script.source
    assert "@include" not in script.source


def test_arguments_go_by_name_in_the_order_of_the_header(tmp_path: Path) -> None:
    text = GOOD.replace("ARGV     agent   who\n", "ARGV     agent   who\n         limit   how many,\n")
    script = scripts.load(corpus(tmp_path, text))["one"]

    assert script.arguments({"limit": 3, "agent": "bob"}) == ["bob", 3]
    for wrong in ({"agent": "bob"}, {"agent": "bob", "limt": 3}, {"agent": "bob", "limit": 3, "more": 1}):
        with pytest.raises(TypeError, match="one"):
            script.arguments(wrong)


@example(["x" * 511, "x" * 512, "\u00e9" * 256])
@given(st.lists(st.text(st.characters(codec="utf-8")) | st.integers(), min_size=1, max_size=5))
def test_words_are_encoded_as_hiredis_encodes_them(words: list[str | int]) -> None:
    assert b"*%d\r\n" % len(words) + encode_words(words) == encode(tuple(words))


def test_half_of_a_surrogate_pair_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_words(["a", "\ud83d"])


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


def test_libraries_bring_what_they_name_before_them_and_each_only_once(tmp_path: Path) -> None:
    lib = corpus(tmp_path, GOOD.replace("{ 'ok', now }", "{ one, other }")) / "lib"
    (lib / "one.lua").write_text("local one = base\n")
    (lib / "other.lua").write_text("local other = base + now -- and no idle\n")
    (lib / "base.lua").write_text("local base = 1\n")
    (lib / "idle.lua").write_text("local idle = 1\n")

    source = scripts.load(tmp_path)["one"].source

    assert re.findall(r"local (\w+) = (?!unpack)", source) == ["base", "one", "now", "other"]


def test_an_include_is_for_its_block_alone(tmp_path: Path) -> None:
    code = "if a then\n  --@include lib/late\n  late()\n{}end\n{}return 1\n"
    late = "local function late()\n  return 1\nend\n"
    (corpus(tmp_path, GOOD) / "lib" / "late.lua").write_text(late)

    def places(within: str, behind: str) -> list[str]:
        (tmp_path / "one.lua").write_text(GOOD.replace("return { 'ok', now }\n", code.format(within, behind)))
        source = scripts.load(tmp_path)["one"].source
        assert "@include" not in source
        return re.findall(r"if a|local function late", source)

    assert places("  late()\n", "") == ["if a", "local function late"]
    assert places("else\n  late()\n", "") == ["local function late", "if a"]
    assert places("", "late()\n") == ["local function late", "if a"]


def test_a_script_has_the_functions_it_calls_and_no_others(tmp_path: Path) -> None:
    block = "if KEYS[1] then\n  --@include lib/sums\n  return sum(1)\nend\nreturn 1\n"
    lib = corpus(tmp_path, GOOD.replace("return { 'ok', now }\n", block)) / "lib"
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
    with pytest.raises(KeyError, match="lib/never"):
        scripts.load(corpus(tmp_path, GOOD + "if now then\n  --@include lib/never\nend\n"))


# what the headers say


@each_script
def test_every_key_of_a_header_has_a_type_and_a_name_that_the_keys_know(script: Script) -> None:
    others = {
        "rename": {*(f"{kind}_to" for kind in PER_AGENT), "inbox_own", "dead_own"},
        "retain_ids": {"index_to"},
        "migrate": {"broadcasts_1", "broadcasts_2", "events_2", "order"},
        "send": {"past_from"},
        "send_many": {"past_from"},
        "broadcast": {"past_from"},
        "read_broadcasts": {"ids"},
    }
    special = others.get(script.name, set())

    assert script.keys
    assert set(script.keys) <= {*PER_AGENT, *PER_NAME, *SHARED} | special
    described = script.source.partition("KEYS")[2].partition("ARGV")[0].replace("\nEACH", "")
    for line in described.strip().splitlines():
        assert line.split()[1] in TYPES, line


def uses(code: str, name: str) -> int:
    return len(re.findall(rf"(?<!['\w]){name}(?!['\w])", code))


@each_script
def test_every_key_and_argument_of_a_header_is_used(script: Script) -> None:
    code = code_of(script)
    by_place = PER_AGENT if re.search(r"KEYS\[at", code) else ()  # a rename goes through the kinds of both names
    names = {*script.keys, *script.args} - {*by_place, *(f"{kind}_to" for kind in by_place)}
    if script.each:
        names = {*script.keys[-script.each :]}

    assert {name for name in names if uses(code, name) < 2} == set()


@each_script
def test_a_script_that_answers_several_calls_takes_each_key_and_argument_from_its_place(script: Script) -> None:
    code, shared = code_of(script), len(script.keys) - script.each
    places = {int(place) for place in re.findall(r"KEYS\[(\d+)\]", code)}
    own = re.findall(r"local ([\w,\s]+) = unpack\((KEYS|ARGV), (?:keys|args) \+ 1, (?:keys|args) \+ (\d+)\)", code)

    if script.each:
        (keys, _, key_count), (arguments, _, count) = own
        assert keys.split(", ") == [*script.keys[shared:]]
        assert int(key_count) == script.each
        assert len(arguments.split(",")) == int(count) == len(script.args)
        assert places == set(range(1, shared + 1))
    else:
        assert own == []


@each_script
def test_a_script_that_answers_several_calls_counts_keys_and_arguments_as_its_header_does(script: Script) -> None:
    counted = re.findall(r"return each_call\((\d+), (\d+), \w+\)", code_of(script))

    assert counted == ([(f"{len(script.keys) - script.each}", f"{len(script.args)}")] if script.each else [])


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


def test_no_two_libraries_define_one_name_and_no_script_defines_one_of_theirs() -> None:
    defined = [name for text in LIBRARIES.values() for name in re.findall(r"^local (?:function )?(\w+)", text, re.M)]
    own = {name for file in LUA.glob("*.lua") for name in re.findall(r"^local function (\w+)", file.read_text(), re.M)}
    headers = {name for script in CORPUS.values() for name in (*script.keys, *script.args)}

    assert len(defined) == len({*defined}) > 50
    assert not {*defined} & (own | headers)


def test_an_include_stands_within_a_block_only() -> None:
    texts = [file.read_text() for file in LUA.rglob("*.lua")]

    assert not [line for text in texts for line in text.splitlines() if line.startswith("--@include")]


def test_a_library_that_nobody_names_is_not_kept() -> None:
    sources = "".join(script.source for script in CORPUS.values())

    for library, text in LIBRARIES.items():
        for name in re.findall(r"^local (?:function )?(\w+)", text, re.M):
            assert len(re.findall(rf"\b{name}\b", sources)) > 1, f"{name} of {library}"


def test_keys_stay_in_one_slot_and_tell_agents_apart() -> None:
    keys = Keys("po:")

    assert (keys.shared("events"), keys.of("inbox", "bob")) == ("{po}:events3", "{po}:inbox4:bob")
    assert Keys("team:a:").of("inbox", "bob") == "{team:a}:inbox4:bob"
    assert keys.named("inbox", "bob") == "{po}:inbox4:bob"
    assert keys.named("agents", "bob") == "{po}:agents"
    everything = [keys.of(kind, name) for kind in PER_AGENT for name in ("bob", "bob.x", "inbox", "leases")]
    everything += [keys.shared(kind) for kind in SHARED]
    assert len(set(everything)) == len(everything)


#: what reads, acknowledges, keeps sessions or sweeps: a failover may lose it, and then it happens again
NOT_PROMISED = frozenset(
    {
        "ack",
        "nack",
        "extend",
        "keepalive",
        "read",
        "read_broadcasts",
        "take",
        "move_cursor",
        "mark_given",
        "seen",
        "done",
        "note_act",
    }
    | {"join", "leave", "heartbeat", "bind_claude", "note_client", "forget_session", "expire_presence", "mark_notified"}
    | {"bury", "sweep", "index_history", "make_room", "take_notifier", "save_notifier", "note_too_fast"}
    | {"agent_of", "check", "describe", "export_entries", "export_ids", "part", "rights", "senders", "state"}
    | {"event_bounds", "unnotified"}
    | {"identify", "migrate", "keep_spellings"}  # the start of a daemon, which repeats or confirms them
)


def test_a_new_script_waits_for_replicas_or_is_known_to_promise_nothing() -> None:
    assert PROMISING.isdisjoint(NOT_PROMISED)
    assert CORPUS.keys() == PROMISING | NOT_PROMISED
