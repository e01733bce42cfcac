"""The documents name what exists: each route, tool, command, setting and error code stands in the README."""

from __future__ import annotations

import contextlib
import re
import shlex
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import NoReturn

import pytest

from bench.hooks import characters
from postino import config
from postino.cli import COMMANDS
from postino.cli.command import Command
from postino.errors import ERRORS
from postino.mcp.instructions import instructions as instructions_for
from postino.mcp.tools import TOOLS
from postino.rest.routes import ROUTES

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


def test_the_size_of_a_sessions_context_is_that_of_the_code() -> None:
    tools = [each.definition.model_dump(by_alias=True, exclude_unset=True) for each in TOOLS.values()]
    instructions, loaded, _ = characters(instructions_for("claude-code"), tools).values()

    assert f"{loaded:,} characters for the three tools that are always loaded, {instructions} for the inst" in README
    guide = (Path(__file__).resolve().parents[2] / "docs/claude-code.md").read_text()
    assert f"{instructions} characters of instructions and {loaded:,} of definitions of the three tools" in guide


def test_every_command_is_named() -> None:
    commands = [name for group in COMMANDS.values() for name in group]
    missing = [name for name in commands if f"postino {name}" not in README and f"`{name}`" not in README]

    assert missing == []


class _Parsed(Exception):
    """The arguments were taken: what comes next would speak to a daemon."""


class _Dry(Command):
    def client(self) -> NoReturn:
        raise _Parsed


def _commands_of_the_operations_table() -> list[str]:
    table = README.partition("| verb | HTTP | MCP tool | command |")[2].partition("\n\n")[0]
    return [
        found
        for row in table.splitlines()
        for found in re.findall(r"`(postino [^`]+)`", row.split("|")[-2] if row else "")
    ]


@pytest.mark.parametrize("line", _commands_of_the_operations_table())
def test_a_command_of_the_operations_table_is_taken_as_it_stands(line: str, tmp_path: Path) -> None:
    _, name, *argv = shlex.split(line)
    module, summary = next(group[name] for group in COMMANDS.values() if name in group)
    call = _Dry(name, argv, summary, config.load({"POSTINO_HOME": str(tmp_path)})[0], {}, colour=False)

    with contextlib.suppress(_Parsed):  # `status` starts no daemon and so gets to its end
        getattr(import_module(f"postino.cli.{module}"), f"{name}_" if iskeyword(name) else name)(call)
