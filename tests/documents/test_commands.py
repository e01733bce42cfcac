"""Every command of the README and of docs/ runs, and prints what stands there."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import processes
from tests.blocks import ENDED, ENDLESS_S, ROOT, Block, Shell, blocks
from tests.homes import scratch

ELSEWHERE = "docs/ci.md"  # tests/cli/test_ci_recipes.py runs it, and looks at what is delivered
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CONSOLE = {file: [block for block in blocks(file) if block.kind == "console"] for file in DOCUMENTS}
RUN = {
    file: [block for block in found if not block.note.startswith("not run: ")]
    for file, found in CONSOLE.items()
    if file != ROOT / ELSEWHERE
}
NOT_RUN = 12  # at most so many blocks that need what a test machine has not, each with its reason in the document


@pytest.fixture
def shell() -> Iterator[Shell]:
    """A fresh HOME with a daemon."""
    made = Shell(scratch())
    try:
        made.start()
        yield made
    finally:
        processes.kill_all(made.root)
        shutil.rmtree(made.root, ignore_errors=True)


@pytest.mark.parametrize("file", [file for file, found in RUN.items() if found], ids=lambda file: file.name)
def test_a_document_shows_what_its_commands_print(file: Path, shell: Shell) -> None:
    if (
        file.name == "proxy.md"
        and subprocess.run(["id", "-u", "www-data"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no user www-data, as Debian has it")
    for block in RUN[file]:
        commands = block.commands()
        for command, shown in commands:
            endless = block.note == "endless" and command is commands[-1][0]
            code, printed = shell.run(command, ENDLESS_S) if endless else shell.run(command)
            place = f"{file.name}:{block.line}: {command}"
            assert code == (ENDED if endless else 0), f"{place}{printed}"
            assert shell.alike(shown, printed), f"{place}\nshown:\n{shown}\nprinted:\n{printed}"


def test_what_a_slow_start_says_makes_no_difference(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shown = "postino is down\npostino is up: http://127.0.0.1:3333\n"
    slow = "postino: the daemon (pid 9705) is still starting; waiting for it up to 60 s; the end of /x/daemon.log: {}\n"

    assert shell.alike(shown, shown.replace("down\n", f"down\n{slow}"))
    assert not shell.alike(shown, shown.replace("down\n", "down\npostino: the daemon does not start\n"))


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    left: list[Block] = [block for found in CONSOLE.values() for block in found if block.note.startswith("not run: ")]

    assert len(left) <= NOT_RUN, [f"{block.file.name}:{block.line}" for block in left]
    assert all(len(block.note) > len("not run: ") + 10 for block in left)


def test_no_command_hides_in_another_kind_of_block() -> None:
    others = [block for file in DOCUMENTS for block in blocks(file) if block.kind not in ("console", "sh", "yaml")]

    assert [f"{block.file.name}:{block.line}" for block in others if "\n$ " in f"\n{block.text}"] == []
