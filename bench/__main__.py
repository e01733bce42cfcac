"""Measurements of postino, as ratios within one run.

`python -m bench SCENARIO` runs one and prints a table, `all` those that belong to the report, `compare URL URL` two
running servers; `report FILE` writes the runs in FILE into docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

import structlog

from bench import compare, nats, report
from bench.machine import machine, versions
from bench.table import Rows, render

SCENARIOS = {
    "throughput": "requests per second over HTTP, beside a bare aiohttp handler",
    "latency": "the latency of one caller, beside both floors",
    "store": "a broker in this process beside a bare XADD; what a message costs Valkey, Python, memory and disk",
    "growth": "each request path with more known agents, and with more waiting messages",
    "start": "quick commands, the start of the daemon, a tab, ten tabs at once",
    "idle": "memory and CPU of an idle daemon, alone and with 100 sessions",
    "nats": "NATS JetStream, where nats-server is installed",
    "hooks": "the cost of a Claude Code session: each hook beside a bare curl, characters in its context",
    "attacked": "the owner's calls while others hold 300 connections or flood the daemon",
    "replicated": "a send that waits for replicas beside one that does not",
    "mailrooms": "many mailrooms on a cluster of one node and of three",
    "transfer": "export and import of 50,000 messages; minutes",
    "ask": "from msg_ask to the model's request with the reply of an idle Claude Code that is woken; 3 minutes",
    "page": "Lighthouse's scores of the page, where LIGHTHOUSE names its command; 10 minutes",
    "wake": "from a send to the model's request, of an idle Claude Code and an idle Codex; 14 minutes",
}
REPORTED = ("throughput", "latency", "store", "growth", "start", "idle", "nats")
PAGE = Path(__file__).resolve().parents[1] / "docs/benchmarks.md"


def main(argv: list[str]) -> int:
    """Do what the command line asks for; return 0, or 2 if it cannot be done."""
    args = _arguments(argv)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        if args.scenario == "report":
            print(*(f"written: {file}" for file in report.write([Path(each) for each in args.given], PAGE)), sep="\n")
        elif args.scenario == "compare":
            _show(compare.run(args.seconds, args.given), args.json)
        elif args.scenario == "all":
            _all(args)
        else:
            _one(args)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    return 0


def _arguments(argv: list[str]) -> argparse.Namespace:
    listed = "\n".join(f"  {name:<11} {summary}" for name, summary in SCENARIOS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"scenarios:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("scenario", choices=[*SCENARIOS, "all", "compare", "report"])
    parser.add_argument("given", nargs="*", metavar="URL|FILE", help="of compare: two URLs; of report: runs of `all`")
    parser.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write JSON to FILE, or print it")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement (default 3)")
    parser.add_argument("--largest", type=int, help="known agents at most, in `growth` (default 1000; of `all` 10000)")
    args = parser.parse_args(argv)
    wanted = {"compare": (2, 2), "report": (1, 5)}.get(args.scenario, (0, 0))
    if not wanted[0] <= len(args.given) <= wanted[1]:
        parser.error("compare takes two URLs, report one file or more, the others none")
    return args


def _one(args: argparse.Namespace) -> None:
    if args.scenario == "nats" and (why := nats.missing()):
        print(f"bench: {why}", file=sys.stderr)
        return
    _show(measured(args.scenario, args.seconds, args.largest or 1_000), args.json)


def measured(scenario: str, seconds: float, largest: int) -> Rows:
    """Return the rows of one scenario."""
    module: Any = importlib.import_module(f"bench.{scenario}")
    found: Rows = module.run(seconds, largest) if scenario == "growth" else module.run(seconds)
    return found


def _all(args: argparse.Namespace) -> None:
    run: dict[str, Any] = {"machine": machine(), "versions": versions(), "seconds": args.seconds}
    run |= {"scenarios": {}, "took s": {}, "missing": {}}
    for name in REPORTED:
        if name == "nats" and (why := nats.missing()):
            run["missing"][name] = why
            print(f"\n{why}", file=sys.stderr)
            continue
        began = time.perf_counter()
        run["scenarios"][name] = measured(name, args.seconds, args.largest or 10_000)
        run["took s"][name] = round(time.perf_counter() - began, 1)
        print(f"\n{name}, {run['took s'][name]} s\n{render(run['scenarios'][name])}", file=sys.stderr, flush=True)
        if args.json not in (None, "-"):
            _write(run, args.json)  # what is measured so far is not lost if a later one fails
    _write(run, args.json or "-")


def _show(rows: Rows, where: str | None) -> None:
    if where is None:
        print(render(rows))
    else:
        _write(rows if where == "-" else {"machine": machine(), "versions": versions(), "rows": rows}, where)


def _write(data: object, where: str) -> None:
    text = json.dumps(data, indent=2, ensure_ascii=False)
    if where == "-":
        print(text)
    else:
        Path(where).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
