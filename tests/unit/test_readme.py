"""The documents name what exists: each route, tool, command, setting and error code stands in the README."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postino import config
from postino.daemon.table import ROUTES
from postino.errors import ERRORS
from postino.mcp.tools import TOOLS

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.mark.parametrize("knob", config.KNOBS, ids=lambda knob: knob.variable)
def test_a_setting_stands_with_its_range_and_help(knob: config.Knob) -> None:
    assert re.search(rf"\| `{knob.variable}` \|.*\| {re.escape(knob.allowed)} \| {re.escape(knob.help)} \|", README)


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_stands_with_its_status_exit_code_and_meaning(code: str) -> None:
    error = ERRORS[code]
    retry = "yes" if error.retryable else ""

    assert f"| `{code}` | {error.http} | {error.exit} | {retry} | {error.meaning} |" in README


@pytest.mark.parametrize("route", [each for each in ROUTES if each.in_api], ids=lambda route: route.path)
def test_a_route_stands_in_the_operations_table(route: object) -> None:
    path = route.path.removeprefix("/api")  # type: ignore[attr-defined]

    assert re.search(rf"`{route.method} {re.escape(path)}[`?]", README)  # type: ignore[attr-defined]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_stands_in_the_operations_table(tool: str) -> None:
    assert f"`{tool}`" in README


def test_every_command_is_named() -> None:
    from postino.cli import COMMANDS

    commands = [name for group in COMMANDS.values() for name in group]
    missing = [name for name in commands if f"postino {name}" not in README and f"`{name}`" not in README]

    assert missing == []
