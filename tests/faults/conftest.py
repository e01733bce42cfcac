"""Which campaigns run, and the table that the long form prints."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.checker import added
from tests.faults.report import table

ROUNDS = 3  # of the long form: each campaign on a store and with a seed of its own


@dataclass(frozen=True)
class Plan:
    """One campaign: its stage, its seed and how long it runs; 0 s: one fault of each kind."""

    stage: str  # embedded, shared, or restarts: the embedded one with a daemon restart in every 10 s
    seed: int
    seconds: float
    into: Path

    def __str__(self) -> str:
        return f"{self.stage}-{self.seed}"


def plans(config: pytest.Config) -> list[Plan]:
    """Return the campaigns of the form that was asked for."""
    seed, into = config.getoption("--faults-seed"), Path(config.getoption("--faults-into"))
    if config.getoption("--faults") == "short":
        return [Plan("embedded", seed, 0, into), Plan("shared", seed + 1, 0, into)]
    seconds = config.getoption("--faults-seconds")
    stages = ["embedded", "shared"] * ROUNDS + ["restarts"]
    return [Plan(stage, seed + at, seconds, into) for at, stage in enumerate(stages)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each campaign a test."""
    if "plan" in metafunc.fixturenames:
        metafunc.parametrize("plan", plans(metafunc.config), ids=str)


def pytest_configure(config: pytest.Config) -> None:
    """Note when the run began: earlier figures in the folder are another run's."""
    config.stash[BEGAN] = time.time()


BEGAN = pytest.StashKey[float]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the long form's table, and write it into the folder."""
    into = Path(config.getoption("--faults-into"))
    files = [each for each in sorted(into.glob("*.json")) if each.stat().st_mtime >= config.stash[BEGAN]]
    if config.getoption("--faults") != "long" or not files:
        return
    runs = {each.stem: json.loads(each.read_text()) for each in files}
    restarts = added(run for name, run in runs.items() if name.startswith("restarts"))
    text = table(added(runs.values()), restarts)
    (into / "table.md").write_text(text + "\n")
    terminalreporter.write_sep("=", f"figures, also in {into / 'table.md'}")
    terminalreporter.write_line(text)
