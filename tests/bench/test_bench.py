"""Every scenario runs for a moment, and its figures reach the document."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import __main__ as command
from bench import attacked, compare, hooks, nats, report, transfer
from bench.goals import GOALS
from postino.client import Client
from tests.daemons import Daemon

ROOT = Path(__file__).resolve().parents[2]
MOMENT = 0.05  # s of each measurement
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `python -m bench all` writes."""
    file = tmp_path_factory.mktemp("bench") / "run.json"
    options = ["--seconds", str(MOMENT), "--largest", "100", "--json", str(file)]
    subprocess.run([sys.executable, "-m", "bench", "all", *options], cwd=ROOT, check=True, timeout=110)
    found: dict[str, Any] = json.loads(file.read_text())
    found["file"] = file
    return found


def test_all_measures_each_scenario_and_says_where_and_on_what(run: dict[str, Any]) -> None:
    expected = {*command.REPORTED} - ({"nats"} if nats.missing() else set())

    assert {*run["scenarios"]} == expected
    assert ("nats" in run["missing"]) is bool(nats.missing())
    assert run["machine"]["cores"] >= 1 and run["versions"]["python"] and run["versions"]["aiohttp"]
    for name, rows in run["scenarios"].items():
        assert rows and all(row.keys() == rows[0].keys() for row in rows), name
        rates = [row["per second"] for row in rows if "per second" in row]
        assert all(rate > 0 for rate in rates), name


def test_each_goal_finds_its_figure(run: dict[str, Any]) -> None:
    assert [goal.what for goal in GOALS if goal.find(run["scenarios"]) is None] == []
    assert [goal.what for goal in GOALS if goal.find({}) is not None] == []


def test_the_report_is_written_between_its_marks(run: dict[str, Any], tmp_path: Path) -> None:
    page = Path(shutil.copy(ROOT / "docs/benchmarks.md", tmp_path))
    before = page.read_text()

    report.write([run["file"], run["file"]], page)
    report.write([run["file"], run["file"]], page)  # once more: it replaces what it wrote

    text = page.read_text()
    assert text.partition(report.BEGIN)[0] == before.partition(report.BEGIN)[0]
    assert text.partition(report.END)[2] == before.partition(report.END)[2]
    assert all(len(line) <= report.LINE for line in text.splitlines() if line[:1] == "-")
    rows = [line for line in text.partition(report.BEGIN)[2].partition(report.END)[0].splitlines() if line[:1] == "|"]
    assert {line.count("|") for line in rows} == {5}
    assert len(rows) >= len(GOALS) + 2
    plot = ElementTree.parse(tmp_path / report.PLOT).getroot()
    lines = plot.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == len(run["scenarios"]["growth"])


def test_a_page_without_marks_and_a_file_that_is_no_run_are_refused(run: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no lines"):
        report.write([run["file"]], page)
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(ValueError, match="no run of all scenarios"):
        report.write([other], page)


def test_two_servers_are_compared_call_by_call_and_left_clean(served: Daemon) -> None:
    url = served.url
    with Client(served.home.socket) as client:
        before = client.stats()["messageCount"]
        rows = compare.run(MOMENT, [url, url])
        after = client.stats()["messageCount"]

    assert [row["what"] for row in rows] == [*compare.CALLS]
    assert all(row["first, per second"] > 0 and row["second, per second"] > 0 for row in rows)
    assert after == before


def test_a_call_that_a_server_does_not_know_has_no_figure(served: Daemon) -> None:
    assert compare.Server(f"{served.url}/elsewhere").measure("check", MOMENT) is None


def test_an_address_that_is_none_is_refused() -> None:
    assert command.main(["compare", "x", "y"]) == 2


def test_the_other_scenarios_run_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "MESSAGES", 50)
    monkeypatch.setattr(attacked, "KINDS", {"refused": "beside refused requests"})

    for scenario in (hooks, attacked, transfer):
        assert scenario.run(MOMENT), scenario.__name__
