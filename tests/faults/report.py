"""The table of figures of one or more campaigns, in Markdown."""

from __future__ import annotations

from typing import Any

from tests.faults.checker import PROMISES

Figures = dict[str, Any]


def table(campaigns: Figures, restarts: Figures) -> str:
    """Return the table: `campaigns` are the added figures of all runs, `restarts` of those with a daemon restart in
    every ten seconds and no other fault."""
    refusal, recovery = campaigns["refusal"], [each for kind in campaigns["recovery"].values() for each in kind]
    share = restarts.get("mcp calls failed", 0) / max(1, restarts.get("mcp calls", 0))
    rows = [
        ("faults injected", f"{sum(campaigns['faults'].values()):,} of {len(campaigns['faults'])} kinds"),
        ("messages accepted", f"{campaigns['accepted']:,}, of them {campaigns['accepted over mcp']:,} over MCP"),
        ("deliveries seen by clients", f"{campaigns['shown']:,}, of them {campaigns['repeats']:,} labelled repeats"),
        ("sends with an unknown outcome / refused", f"{campaigns['unknown']:,} / {campaigns['none']:,}"),
        *((name, f"{campaigns['broken'][name]:,}") for name in PROMISES),
        ("back in service after a fault's end", _seconds(recovery) + _never(campaigns["never recovered"])),
        ("time of a refusal over HTTP", _seconds(refusal)),
        (
            "MCP calls a client saw fail, one daemon restart in every 10 s",
            f"{restarts.get('mcp calls failed', 0):,} of {restarts.get('mcp calls', 0):,} ({share:.2%})",
        ),
    ]
    kinds = sorted(campaigns["faults"].items(), key=lambda each: -each[1])
    return "\n".join(
        [
            "| figure | value |",
            "|-|-|",
            *(f"| {name} | {value} |" for name, value in rows),
            "",
            "| fault | times | until every sender was served again |",
            "|-|-|-|",
            *(f"| {kind} | {count} | {_seconds(campaigns['recovery'].get(kind, []))} |" for kind, count in kinds),
        ]
    )


def _seconds(values: list[float]) -> str:
    if not values:
        return "others did not notice"
    ordered = sorted(values)
    places = {"median": 0.5, "99th percentile": 0.99, "longest": 1.0}
    return ", ".join(
        f"{name} {ordered[min(len(ordered) - 1, int(len(ordered) * at))]:.2f} s" for name, at in places.items()
    )


def _never(kinds: list[str]) -> str:
    return f"; never within 20 s: {', '.join(kinds)}" if kinds else ""
