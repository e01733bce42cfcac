"""Write the figures of runs into docs/benchmarks.md, and the plot beside it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

from bench.goals import GOALS, Goal
from bench.plot import svg

BEGIN, END = "<!-- figures: begin, written by `python -m bench report` -->", "<!-- figures: end -->"
PLOT = "benchmarks.svg"
LINE = 120  # characters

Run = dict[str, Any]


def write(files: list[Path], page: Path) -> list[Path]:
    """Replace what stands between the marks of `page` by the figures of the runs; return the files written.

    Raises:
        ValueError: the page has no marks, or a file is no run of all scenarios.
    """
    runs = [_run(file) for file in files]
    head, found, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, ended, tail = rest.partition(END)
    if not (found and ended):
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r}")
    page.write_text(f"{head}{BEGIN}\n\n{figures(runs)}\n{END}{tail}", encoding="utf-8")
    plot = page.with_name(PLOT)
    plot.write_text(svg(runs[0]["scenarios"]["growth"]), encoding="utf-8")
    return [page, plot]


def _run(file: Path) -> Run:
    found = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(found, dict) or "growth" not in found.get("scenarios", {}):
        raise ValueError(f"{file} is no run of all scenarios; make one by `python -m bench all --json {file}`")
    return found


def figures(runs: list[Run]) -> str:
    """Return the runs as Markdown: what they ran on, the goals in one table, the plot, and NATS where it was there."""
    lines = [_machine(number, run) for number, run in enumerate(runs, 1)]
    lines += ["", "| what | goal | " + " | ".join(f"run {number}" for number in range(1, len(runs) + 1)) + " |"]
    lines.append("|-|-|" + "-|" * len(runs))
    lines += [f"| {goal.what} | {_goal(goal)} | {' | '.join(_value(goal, run) for run in runs)} |" for goal in GOALS]
    for what in ("floor: bare aiohttp handler", "send over HTTP"):
        lines.append(_rates(f"{what}, per second, 32 at once", "throughput", what, runs))
    for what in ("floor: bare XADD", "send in process"):
        lines.append(_rates(f"{what}, per second, 32 at once", "store", what, runs))
    lines += [_rates(f"{what}, per second, 32 at once", "nats", what, runs) for what in _nats(runs)]
    lines += ["", "In **bold**: the goal is not reached.", "", f"![p50 of each request path as a store grows]({PLOT})"]
    missing = {run["missing"]["nats"] for run in runs if "nats" in run.get("missing", {})}
    lines += ["", *(f"{each}." for each in sorted(missing))]
    return "\n".join(lines).rstrip() + "\n"


def _machine(number: int, run: Run) -> str:
    on, used = run["machine"], run["versions"]
    parts = ", ".join(f"{name} {version}" for name, version in used.items())
    text = (
        f"- Run {number}: {on['date']}, {on['cpu']}, {on['cores']} cores, {on['memory GB']} GB, {on['system']}, "
        f"load average {on['load average']} at its start; {parts}; {run['seconds']:g} s a measurement."
    )
    return textwrap.fill(text, LINE, subsequent_indent="  ")


def _goal(goal: Goal) -> str:
    return f"{'≤' if goal.at_most else '≥'} {goal.limit:g} {goal.unit}".rstrip()


def _value(goal: Goal, run: Run) -> str:
    value = goal.find(run["scenarios"])
    if value is None:
        return "–"
    text = f"{value:,.4g} {goal.unit}".rstrip()
    return text if goal.met(value) else f"**{text}**"


def _rates(title: str, scenario: str, what: str, runs: list[Run]) -> str:
    cells = []
    for run in runs:
        rows = run["scenarios"].get(scenario, [])
        found = [row["per second"] for row in rows if row["what"] == what and row["at once"] == 32]
        cells.append(f"{found[0]:,}" if found else "–")
    return f"| {title} | | {' | '.join(cells)} |"


def _nats(runs: list[Run]) -> list[str]:
    return list(dict.fromkeys(row["what"] for run in runs for row in run["scenarios"].get("nats", [])))
