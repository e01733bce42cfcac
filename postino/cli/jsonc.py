"""Add members to a JSON text and take them out again, leaving every other byte: its order, spaces and comments.

Comments and trailing commas are allowed, as the settings files of coding agents have them. Taking out what was added is
the exact inverse, also when the rest was changed in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from postino.errors import BadRequest

Path = tuple[str, ...]
_SPACE = re.compile(r"(?:[ \t\r\n\ufeff]+|//[^\n]*|/\*.*?\*/)*", re.DOTALL)
_STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_PLAIN = re.compile(r"[-+.\w]+")
_MAX_DEPTH = 200


@dataclass(slots=True)
class Node:
    """A value and where it stands. `members`: of an object by key, of an array under the numbers of its items."""

    start: int
    end: int = 0
    kind: str = ""  # {, [ or empty
    members: dict[str, Node] = field(default_factory=dict)
    trailing_comma: bool = False


def value(text: str) -> Any:
    """Return what a JSON text with comments and trailing commas holds.

    Raises:
        BadRequest: it is not JSON; the message says where.
    """
    return _value(text, _parse(text))


def _value(text: str, node: Node) -> Any:
    if node.kind == "{":
        return {key: _value(text, each) for key, each in node.members.items()}
    if node.kind == "[":
        return [_value(text, each) for each in node.members.values()]
    return json.loads(text[node.start : node.end])


def put(text: str, path: Path, new: Any) -> str:
    """Return the text with the member at `path` set; objects on the way are made where they are missing.

    Raises:
        BadRequest: the text is not JSON, a value on the way is not an object, or the member is there already.
    """
    return _add(text, path[:-1], path[-1], new)


def append(text: str, path: Path, new: Any) -> str:
    """Return the text with `new` as the last item of the array at `path`, which is made where it is missing."""
    return _add(text, path, None, new)


def remove(text: str, path: Path) -> str:
    """Return the text without the member or item at `path`; unchanged where there is none."""
    node = _parse(text)
    for key in path[:-1]:
        if key not in node.members:
            return text
        node = node.members[key]
    return _cut(text, node, path[-1]) if path[-1] in node.members else text


def find(text: str, path: Path, condition: Callable[[Any], bool]) -> list[str]:
    """Return the keys of members or numbers of items at `path` whose values fulfil `condition`, the last one first."""
    node = _parse(text)
    for key in path:
        if key not in node.members:
            return []
        node = node.members[key]
    return [key for key, each in reversed(node.members.items()) if condition(_value(text, each))]


def _add(text: str, path: Path, key: str | None, new: Any) -> str:
    node = _parse(text)
    for at, each in enumerate(path):
        if node.kind != "{":
            raise BadRequest(f"{'.'.join(path[:at]) or 'the file'} is not an object")
        if each not in node.members:
            inner: Any = [new] if key is None else {key: new}
            for outer in reversed(path[at + 1 :]):
                inner = {outer: inner}
            return _insert(text, node, each, inner)
        node = node.members[each]
    if node.kind != ("[" if key is None else "{"):
        raise BadRequest(f"{'.'.join(path) or 'the file'} is not {'an array' if key is None else 'an object'}")
    if key in node.members:
        raise BadRequest(f"{'.'.join((*path, str(key)))} is there already")
    return _insert(text, node, key, new)


def _insert(text: str, node: Node, key: str | None, new: Any) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indentation(text, node.start)
    unit = re.search(r"^([ \t]+)\S", text, re.MULTILINE)
    inner = outer + (unit[1] if unit else "  ")
    body = json.dumps(new, indent=unit[1] if unit else 2, ensure_ascii=False).replace("\n", newline + inner)
    member = inner + (f"{json.dumps(key)}: " if key is not None else "") + body
    if not node.members:
        at = node.start + 1
        return text[:at] + newline + member + newline + outer + text[at:]
    last = list(node.members.values())[-1].end
    if node.trailing_comma:
        at = text.index(",", _SPACE.match(text, last).end()) + 1  # type: ignore[union-attr]
        return text[:at] + newline + member + "," + text[at:]
    return text[:last] + "," + newline + member + text[last:]


def _cut(text: str, node: Node, key: str) -> str:
    keys = list(node.members)
    at, end = keys.index(key), node.members[key].end
    after = _SPACE.match(text, end).end()  # type: ignore[union-attr]
    before = node.members[keys[at - 1]].end if at else node.start + 1
    if text[after] == ",":  # the comma before it stays
        start = text.index(",", _SPACE.match(text, before).end()) + 1 if at else before  # type: ignore[union-attr]
        return text[:start] + text[after + 1 :]
    if at:
        return text[:before] + text[end:]
    closing = re.compile(r"\r?\n" + _indentation(text, node.start))
    found = closing.match(text, end)
    return text[:before] + text[found.end() if found else end :]


def _indentation(text: str, at: int) -> str:
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _parse(text: str) -> Node:
    node = _parse_value(text, _skip(text, 0), 0)
    if _skip(text, node.end) != len(text):
        raise _error(text, node.end, "the end")
    return node


def _parse_value(text: str, at: int, depth: int) -> Node:
    node = Node(at)
    opening = text[at : at + 1]
    if opening in ("{", "[") and opening and depth < _MAX_DEPTH:
        node.kind = opening
        node.end = _parse_members(text, node, depth)
        return node
    found = (_STRING if opening == '"' else _PLAIN).match(text, at)
    try:
        json.loads(found[0] if found else "")
    except ValueError:
        raise _error(text, at, "a value") from None
    node.end = found.end()  # type: ignore[union-attr]
    return node


def _parse_members(text: str, node: Node, depth: int) -> int:
    closing = "}" if node.kind == "{" else "]"
    at = _skip(text, node.start + 1)
    while text[at : at + 1] != closing:
        key = str(len(node.members))
        if node.kind == "{":
            named = _STRING.match(text, at)
            if named is None:
                raise _error(text, at, "a name")
            key, at = json.loads(named[0]), _skip(text, named.end())
            if text[at : at + 1] != ":":
                raise _error(text, at, "a colon")
            at = _skip(text, at + 1)
        node.members[key] = _parse_value(text, at, depth + 1)
        at = _skip(text, node.members[key].end)
        node.trailing_comma = text[at : at + 1] == ","
        if node.trailing_comma:
            at = _skip(text, at + 1)
        elif text[at : at + 1] != closing:
            raise _error(text, at, f"a comma or {closing}")
    return at + 1


def _skip(text: str, at: int) -> int:
    return _SPACE.match(text, at).end()  # type: ignore[union-attr]


def _error(text: str, at: int, wanted: str) -> BadRequest:
    line = text.count("\n", 0, at) + 1
    return BadRequest(f"line {line}, column {at - text.rfind(chr(10), 0, at)}: expected {wanted}")
