"""A text table made from rows that have the same keys."""

from __future__ import annotations

from typing import Any

Rows = list[dict[str, Any]]


def render(rows: Rows) -> str:
    """Return the rows as aligned columns, numbers aligned to the right."""
    names = list(rows[0])
    texts = [[_text(row[name]) for name in names] for row in rows]
    widths = [max(len(line[at]) for line in [names, *texts]) for at in range(len(names))]
    numeric = [isinstance(rows[0][name], int | float) for name in names]
    lines = [_line(names, widths, numeric), "  ".join("-" * width for width in widths)]
    return "\n".join(lines + [_line(line, widths, numeric) for line in texts])


def _line(cells: list[str], widths: list[int], numeric: list[bool]) -> str:
    fit = [
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, numeric, strict=True)
    ]
    return "  ".join(fit).rstrip()


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return " ".join(map(_text, value))
    return (
        f"{value:,.2f}"
        if isinstance(value, float) and value < 100
        else f"{value:,.0f}"
        if isinstance(value, float)
        else str(value)
    )
