"""The documents name what exists: each route, tool, command, setting and error code; and their links lead somewhere."""

from __future__ import annotations

import contextlib
import re
import shlex
from importlib import import_module
from keyword import iskeyword
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

import pytest

from bench.hooks import characters
from postino import config
from postino.broker.reach import reach
from postino.cli import COMMANDS
from postino.cli.command import Command
from postino.errors import ERRORS
from postino.hint import what_waits
from postino.mcp.instructions import instructions as instructions_for
from postino.mcp.tools import TOOLS
from postino.rest.routes import ROUTES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), ROOT / "bench/README.md"]


def document(name: str) -> str:
    return (ROOT / name).read_text()


OPERATIONS = document("docs/operations.md")
SETTINGS = document("docs/settings.md")
MOST_LOADED = 377 + 1616 + 200  # characters that every session of Claude Code loads at its start: a budget
LONGEST_LINE = 128  # characters
CODES = document("docs/errors.md")


@pytest.mark.parametrize("knob", config.KNOBS, ids=lambda knob: knob.variable)
def test_a_setting_stands_with_its_range_and_help(knob: config.Knob) -> None:
    assert re.search(rf"\| `{knob.variable}` \|.*\| {re.escape(knob.allowed)} \| {re.escape(knob.help)} \|", SETTINGS)


@pytest.mark.parametrize("code", ERRORS)
def test_an_error_stands_with_its_status_exit_code_and_meaning(code: str) -> None:
    error = ERRORS[code]
    retry = "yes" if error.retryable else ""

    assert f"| `{code}` | {error.http} | {error.exit} | {retry} | {error.meaning} |" in CODES


@pytest.mark.parametrize("route", [each for each in ROUTES if each.in_api], ids=lambda route: route.path)
def test_a_route_stands_in_the_operations_table(route: object) -> None:
    path = route.path.removeprefix("/api")  # type: ignore[attr-defined]

    assert re.search(rf"`{route.method} {re.escape(path)}[`?]", OPERATIONS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_tool_stands_in_the_operations_table(tool: str) -> None:
    assert f"`{tool}`" in OPERATIONS


def test_the_size_of_a_sessions_context_is_that_of_the_code() -> None:
    tools = [each.definition.model_dump(by_alias=True, exclude_unset=True) for each in TOOLS.values()]
    instructions, loaded, _ = characters(instructions_for("claude-code"), tools).values()

    guide = document("docs/claude-code.md")
    assert instructions + loaded <= MOST_LOADED
    assert f"{instructions} characters of instructions and {loaded:,} of definitions of the three tools" in guide


def test_every_command_is_named() -> None:
    commands = [name for group in COMMANDS.values() for name in group]
    missing = [name for name in commands if f"postino {name}" not in OPERATIONS and f"`{name}`" not in OPERATIONS]

    assert missing == []


class _Parsed(Exception):
    """The arguments were taken: what comes next would speak to a daemon."""


class _Dry(Command):
    def _connection(self) -> NoReturn:
        raise _Parsed


def _commands_of_the_operations_table() -> list[str]:
    table = OPERATIONS.partition("| verb | HTTP | MCP tool | command |")[2].partition("\n\n")[0]
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


LINK = re.compile(r"\]\(([^()\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
FENCED = re.compile(r"^(```+)[^\n]*\n.*?^\1$", re.MULTILINE | re.DOTALL)


def _anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#{1,6} +(.+?)\s*$", FENCED.sub("", text), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in titles]
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


def _links(file: Path) -> list[str]:
    text = re.sub(r"`[^`\n]*`", "", FENCED.sub("", file.read_text()))
    found = [one or other for one, other in LINK.findall(text)]
    return [link for link in found if not re.match(r"https?:|mailto:", link)]


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_link_leads_to_a_file_and_a_heading_that_exist(file: Path) -> None:
    for link in _links(file):
        path, _, anchor = link.partition("#")
        target = (file.parent / path).resolve() if path else file
        assert target.is_relative_to(ROOT) and target.exists(), link
        if anchor:
            assert anchor in _anchors(target.read_text()), link


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, todo = set(), [ROOT / "README.md"]
    while todo:
        file = todo.pop()
        if file in reached:
            continue
        reached.add(file)
        links = [(file.parent / link.partition("#")[0]).resolve() for link in _links(file)]
        todo += [each for each in links if each.suffix == ".md" and each.is_file()]

    assert [str(each.relative_to(ROOT)) for each in DOCUMENTS if each not in reached] == []


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_a_line_of_text_is_short_enough_to_be_read_as_it_stands(file: Path) -> None:
    """Outside of tables and examples."""
    text = re.sub(r"^```.*?^```", "", file.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not [line for line in text.splitlines() if len(line) > LONGEST_LINE and not line.startswith("|")]


def test_the_readme_can_be_read_in_a_few_minutes() -> None:
    assert len(document("README.md").splitlines()) <= 165


def test_a_file_that_contributing_names_exists() -> None:
    named = re.findall(r"`((?:lua|postino|plugin|tests)/[\w./-]+)`", document("CONTRIBUTING.md"))

    assert len(named) > 10
    assert [each for each in named if not (ROOT / each).exists()] == []


def test_the_picture_of_the_readme_says_what_postino_says() -> None:
    picture = " ".join(each.text or "" for each in ElementTree.parse(ROOT / "docs/closed-session.svg").iter())

    assert what_waits(1, 0, ["ci?"]) in picture
    assert reach("unknown", online=False, away_s=1, wakes=True) in picture
    assert document("README.md").count("docs/closed-session.svg") == 1
