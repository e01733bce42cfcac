"""A body as lines for a terminal: from the tree that the daemon makes of it, or as it is written.

Every text goes through `visible` and becomes Content, never markup: nothing in a body controls the terminal or the
application.
"""

from __future__ import annotations

from typing import Any

from textual.content import Content

from postino.values import visible

Node = str | list[Any]

INLINE = {"strong": "bold", "em": "italic", "del": "strike", "code": "ansi_cyan", "a": "underline"}
#: the classes of code, see postino/render/tree.py
CODE = {
    "k": "ansi_blue", "s": "ansi_green", "c": "dim", "m": "ansi_yellow", "b": "ansi_magenta",
    "gi": "ansi_green", "gd": "ansi_red",
}  # fmt: skip
HEADING = "bold underline"
BULLET, QUOTE, CODE_BAR = "• ", "│ ", "▏"
NARROWEST = 12  # columns left for text, however deep it is nested
TAB = 4


def rendered(tree: list[Node] | None, body: str, width: int) -> Content:
    """Return a body for a pane of `width` columns: its `tree`, or as it is written where it has none."""
    lines = as_written(body, width) if tree is None else _blocks(tree, max(NARROWEST, width))
    return Content("\n").join(lines)


def as_written(body: str, width: int) -> list[Content]:
    """Return the lines of a body without rendering it."""
    return [line for part in _text(body).split("\n") for line in _wrapped(Content(part), width)]


def _text(text: str) -> str:
    return visible(text).replace("\r\n", "\n").replace("\r", "\\r").expandtabs(TAB)


def _wrapped(text: Content, width: int) -> list[Content]:
    return text.wrap(max(NARROWEST, width)) if text.plain else [Content("")]


def _parts(node: list[Any]) -> tuple[str, dict[str, Any], list[Node]]:
    """Return tag, attributes and children of an element."""
    attributes = node[1] if len(node) > 1 and isinstance(node[1], dict) else {}
    return str(node[0]), attributes, node[2:] if attributes else node[1:]


def _blocks(nodes: list[Node], width: int, *, tight: bool = False) -> list[Content]:
    """Return the lines of blocks, a blank line between them unless `tight`; texts among them are a paragraph."""
    blocks: list[list[Content]] = []
    run: list[Node] = []  # inline nodes in a row
    for node in nodes:
        if isinstance(node, str) or node[0] in INLINE:
            run.append(node)
            continue
        if run:
            blocks.append(_paragraph(run, width))
            run = []
        blocks.append(_block(node, width))
    if run:
        blocks.append(_paragraph(run, width))
    lines: list[Content] = []
    for block in blocks:
        lines += [Content("")] if lines and not tight else []
        lines += block
    return lines


def _block(node: list[Any], width: int) -> list[Content]:
    tag, attributes, children = _parts(node)
    match tag:
        case "hr":
            return [Content("─" * width)]
        case "pre":
            return _code(children, width)
        case "ul" | "ol":
            return _list(tag, attributes, children, width)
        case "blockquote":
            return _prefixed(_blocks(children, _inner(width, 2)), QUOTE, QUOTE)
        case "table":
            return _table(children, width)
        case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
            return _paragraph(children, width, HEADING)
        case _:
            return _paragraph(children, width)


def _inner(width: int, used: int) -> int:
    return max(NARROWEST, width - used)


def _paragraph(children: list[Node], width: int, style: str = "") -> list[Content]:
    text = Content.assemble(*_inline(children, style))
    return [line for part in text.split("\n", allow_blank=True) for line in _wrapped(part, width)]


def _inline(children: list[Node], style: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for node in children:
        if isinstance(node, str):
            found.append((_text(node), style))
            continue
        tag, attributes, inside = _parts(node)
        found += _inline(inside, f"{style} {INLINE.get(tag, '')}".strip())
        if tag == "a" and attributes.get("host"):  # the text is not the address
            found.append((f" ({_text(str(attributes.get('href', '')))})", f"{style} dim".strip()))
    return found


def _code(children: list[Node], width: int) -> list[Content]:
    parts: list[tuple[str, str]] = []
    for node in children:
        if isinstance(node, str):
            parts.append((_text(node), ""))
        else:
            tag, _, inside = _parts(node)
            parts.append((_text("".join(each for each in inside if isinstance(each, str))), CODE.get(tag, "")))
    lines = Content.assemble(*parts).split("\n", allow_blank=True)
    inner = _inner(width, len(CODE_BAR))
    return [Content.assemble((CODE_BAR, "dim"), each) for line in lines for each in (line.fold(inner) or [Content("")])]


def _list(tag: str, attributes: dict[str, Any], items: list[Node], width: int) -> list[Content]:
    lines: list[Content] = []
    number = int(attributes.get("start", 1))
    for item in items:
        if isinstance(item, str):
            continue
        _, own, children = _parts(item)
        number = int(own.get("value", number))
        mark = f"{number}. " if tag == "ol" else BULLET
        if "task" in own:
            mark += "[x] " if own["task"] else "[ ] "
        number += 1
        inner = _blocks(children, _inner(width, len(mark)), tight=True) or [Content("")]
        lines += _prefixed(inner, mark, " " * len(mark))
    return lines


def _prefixed(lines: list[Content], first: str, rest: str) -> list[Content]:
    return [Content.assemble((rest if at else first, "dim"), line) for at, line in enumerate(lines)]


def _table(parts: list[Node], width: int) -> list[Content]:
    """Return a table with columns as wide as their longest cell; where that is too wide, its rows are wrapped."""
    rows: list[list[Content]] = []
    for part in parts:
        for row in part[1:] if isinstance(part, list) else []:
            cells = [_parts(cell) for cell in _parts(row)[2] if isinstance(cell, list)]
            rows.append([Content.assemble(*_inline(inside, "bold" if tag == "th" else "")) for tag, _, inside in cells])
    columns = max(map(len, rows), default=0)
    widths = [max((row[at].cell_length for row in rows if at < len(row)), default=0) for at in range(columns)]
    lines: list[Content] = []
    for at, row in enumerate(rows):
        padded = [cell.pad_right(size - cell.cell_length) for cell, size in zip(row, widths, strict=False)]
        lines += _wrapped(Content(" │ ").join(padded).rstrip(), width)
        if at == 0:
            lines.append(Content("─" * min(width, sum(widths) + 3 * (columns - 1))))
    return lines
