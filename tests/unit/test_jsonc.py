"""JSON with comments, edited in place: what is taken out again leaves every other byte as it was."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from postino.cli import jsonc
from postino.errors import BadRequest

ENTRY = {"command": "postino", "args": ["mcp"]}


def made_up(chance: random.Random, depth: int = 0) -> Any:
    """Return a value as a settings file may hold it."""
    kind = chance.random()
    if depth > 3 or kind < 0.3:
        return chance.choice([1, "a", None, True, 'x"y{', 2.5])
    if kind < 0.7:
        return {f"{chance.choice('abc')}{at}": made_up(chance, depth + 1) for at in range(chance.randint(0, 3))}
    return [made_up(chance, depth + 1) for _ in range(chance.randint(0, 3))]


def written(chance: random.Random, value: Any) -> str:
    """Return a value as somebody may have written it, with comments and trailing commas."""

    def space() -> str:
        return chance.choice(["", "", " ", "\n", "\n  ", "// c, }\n", "/* x, } */", "\t", "\r\n"])

    if not isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, dict):
        inner = [f"{json.dumps(key)}{space()}:{space()}{written(chance, each)}" for key, each in value.items()]
    else:
        inner = [written(chance, each) for each in value]
    text = ",".join(f"{space()}{each}{space()}" for each in inner) + ("," if inner and chance.random() < 0.3 else "")
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}{space()}{text}{space()}{closing}"


def test_what_is_added_and_taken_out_leaves_the_text_as_it_was() -> None:
    for seed in range(1500):
        chance = random.Random(seed)
        value = {"q": made_up(chance), "hooks": {"Stop": [1, {"x": 2}]}} if seed % 2 else {"q": made_up(chance)}
        text = written(chance, value)
        assert jsonc.value(text) == value

        once = jsonc.put(text, ("servers", "postino"), ENTRY)
        twice = jsonc.append(once, ("hooks", "Stop"), {"ours": 1})
        stop = [*value.get("hooks", {}).get("Stop", []), {"ours": 1}]
        assert jsonc.value(twice) == {**value, "servers": {"postino": ENTRY}, "hooks": {"Stop": stop}}

        back = jsonc.remove(twice, ("hooks", "Stop", str(len(stop) - 1)))
        if "hooks" not in value:
            back = jsonc.remove(back, ("hooks",))
        assert back == once
        assert jsonc.remove(once, ("servers",)) == text


@pytest.mark.parametrize(
    "text", ["{}", "{ }", "{\n}\n", '{"a": {}, "hooks": {"Stop": [ ]}}', "{ // nothing\n}", "{\r\n}"]
)
def test_an_empty_object_is_left_as_empty_as_it_was(text: str) -> None:
    whole = jsonc.append(jsonc.put(text, ("servers",), ENTRY), ("hooks", "Stop"), ENTRY)
    assert jsonc.value(whole)["servers"] == jsonc.value(whole)["hooks"]["Stop"][0] == ENTRY

    back = jsonc.remove(whole, ("hooks", "Stop", "0"))
    back = back if "hooks" in text else jsonc.remove(back, ("hooks",))

    assert jsonc.remove(back, ("servers",)) == text


def test_what_was_added_meanwhile_stays() -> None:
    for seed in range(500):
        text = written(random.Random(seed), {"q": made_up(random.Random(seed))})
        ours = jsonc.put(text, ("servers", "postino"), ENTRY)
        changed = jsonc.put(jsonc.put(ours, ("servers", "theirs"), 1), ("later",), {"a": [1]})

        left = jsonc.remove(changed, ("servers", "postino"))

        assert jsonc.value(left) == {**jsonc.value(text), "servers": {"theirs": 1}, "later": {"a": [1]}}


@pytest.mark.parametrize("text", ["", "{", '{"a" 1}', '{"a": 1 "b": 2}', "{} x", "[1, 2", '{"a": nope}', "[" * 5000])
def test_what_is_no_json_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(BadRequest, match=r"line 1, column \d+: expected"):
        jsonc.value(text)


def test_a_value_that_is_no_object_is_not_replaced() -> None:
    with pytest.raises(BadRequest, match=r"servers is not an object"):
        jsonc.put('{"servers": 5}', ("servers", "postino"), ENTRY)
    with pytest.raises(BadRequest, match=r"servers.postino is there already"):
        jsonc.put('{"servers": {"postino": 1}}', ("servers", "postino"), ENTRY)
    with pytest.raises(BadRequest, match=r"hooks.Stop is not an array"):
        jsonc.append('{"hooks": {"Stop": {}}}', ("hooks", "Stop"), 1)
