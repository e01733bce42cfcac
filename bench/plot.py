"""A plot of growth as SVG: the time of each request path over the size of what it works in, both logarithmic."""

from __future__ import annotations

import math
from html import escape
from typing import Any

WIDTH, HEIGHT = 860, 400
LEFT, TOP, BOTTOM, GAP, LEGEND = 52, 34, 46, 40, 190  # px round and between the two panels
LINE = 17  # px of a line of the legend
DASHES = ("", "7 3", "2 3")  # one for each round through the colours
COLOURS = ("#1f4f9c", "#c0392b", "#17663d", "#8a4f00", "#6d3f86", "#00838f", "#596072", "#d81b60", "#7a7a00")
STYLE = (
    "text{font:12px sans-serif;fill:#333}.title{font-size:13px;font-weight:600}"
    ".grid{stroke:#ddd}.line{fill:none;stroke-width:2}"
)


def svg(rows: list[dict[str, Any]]) -> str:
    """Return the plot of the rows of `growth`: a panel for each kind of growth."""
    kinds = list(dict.fromkeys(row["grown"] for row in rows))
    width = (WIDTH - LEFT - len(kinds) * LEGEND - GAP * (len(kinds) - 1)) // len(kinds)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        "<title>p50 of each request path as agents and waiting messages grow</title>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    times = [time for row in rows for time in row["p50 ms"]]
    for at, kind in enumerate(kinds):
        panel = _Panel([row for row in rows if row["grown"] == kind], LEFT + at * (width + LEGEND + GAP), width, times)
        parts += panel.drawn(kind)
    return "\n".join([*parts, "</svg>", ""])


class _Panel:
    def __init__(self, rows: list[dict[str, Any]], left: int, width: int, times: list[float]) -> None:
        self._rows = rows
        self._left, self._width = left, width
        sizes = [size for row in rows for size in row["sizes"]]
        self._x = math.log10(min(sizes)), math.log10(max(sizes) * 1.0001)
        self._y = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def drawn(self, kind: str) -> list[str]:
        parts = [f'<text class="title" x="{self._left}" y="18">p50 in ms; {escape(kind)}</text>']
        for power in range(self._y[0], self._y[1] + 1):
            y = self._at_y(10.0**power)
            parts.append(f'<line class="grid" x1="{self._left}" x2="{self._left + self._width}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{self._left - 6}" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>')
        for size in self._rows[0]["sizes"]:
            label = f"{size:,}"
            parts.append(f'<text x="{self._at_x(size)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{label}</text>')
        for number, row in enumerate(self._rows):
            stroke = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number // len(COLOURS)]}"'
            points = " ".join(
                f"{self._at_x(size)},{self._at_y(time)}" for size, time in zip(row["sizes"], row["p50 ms"], strict=True)
            )
            x, y = self._left + self._width + 12, TOP + 10 + number * LINE
            parts.append(f'<polyline class="line" {stroke} points="{points}"/>')
            parts.append(f'<line class="line" {stroke} x1="{x}" x2="{x + 16}" y1="{y}" y2="{y}"/>')
            parts.append(f'<text x="{x + 22}" y="{y + 4}">{escape(row["what"])} ×{row["growth"]:g}</text>')
        return parts

    def _at_x(self, size: float) -> float:
        low, high = self._x
        return round(self._left + (math.log10(size) - low) / ((high - low) or 1) * self._width, 1)

    def _at_y(self, time: float) -> float:
        low, high = self._y
        return round(HEIGHT - BOTTOM - (math.log10(time) - low) / ((high - low) or 1) * (HEIGHT - BOTTOM - TOP), 1)
