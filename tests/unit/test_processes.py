"""The suite's own children can be interrupted wherever it is started: a background shell ignores SIGINT."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CHILD = "import signal; print(signal.getsignal(signal.{name}) is signal.SIG_IGN)"
PARENT = """
import signal, subprocess, sys
from tests.processes import let_children_be_interrupted
{first}
print(subprocess.check_output([sys.executable, "-c", sys.argv[1]], text=True), end="")
signal.raise_signal(signal.{name})
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
@pytest.mark.parametrize(("first", "ignored"), [("", "True\n"), ("let_children_be_interrupted()", "False\n")])
def test_a_child_of_a_suite_that_ignores_a_signal_does_not(name: str, first: str, ignored: str) -> None:
    parent = [sys.executable, "-c", PARENT.format(name=name, first=first), CHILD.format(name=name)]
    shell = ["sh", "-c", f'trap "" {name.removeprefix("SIG")}; exec "$@"', "sh", *parent]

    assert subprocess.check_output(shell, cwd=ROOT, text=True) == ignored
