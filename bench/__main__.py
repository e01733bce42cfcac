"""`python -m bench SCENARIO [--json]`: run one scenario and print a table or JSON."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
from pathlib import Path

import structlog

from bench.table import render

SCENARIOS = (
    "throughput",
    "store",
    "growth",
    "latency",
    "start",
    "hooks",
    "wake",
    "transfer",
    "attacked",
    "replicated",
    "mailrooms",
)


def main() -> int:
    """Run the scenario named on the command line and print its rows."""
    known = [name for name in SCENARIOS if (Path(__file__).parent / f"{name}.py").is_file()]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenario", choices=known)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each measurement (default 3)")
    parser.add_argument("--largest", type=int, default=1_000, help="known agents at most, in `growth` (default 1000)")
    args = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    rows = importlib.import_module(f"bench.{args.scenario}").run(
        args.seconds, *([args.largest] if args.scenario == "growth" else [])
    )
    print(json.dumps(rows, indent=2) if args.json else render(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
