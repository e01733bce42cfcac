"""A body's tree, see postino/render/tree.py, as text for a terminal."""

from __future__ import annotations

from postino.cli.render import LEAST_ROOM, block
from postino.values import visible

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from postino.cli.render import Ink

    Node = str | list[Any]

_INLINE = frozenset({"strong", "em", "del", "code", "a"})


def rendered(tree: list[Node], ink: Ink, indent: str = "    ") -> str:
    """Return a body indented, wrapped at the width of the terminal."""
    return "".join(_blocks(tree, ink, indent))


def _parts(node: list[Any]) -> tuple[str, dict[str, Any], list[Node]]:
    attributes = node[1] if len(node) > 1 and isinstance(node[1], dict) else {}
    return str(node[0]), attributes, node[2:] if attributes else node[1:]


def _blocks(nodes: Iterable[Node], ink: Ink, indent: str, *, tight: bool = False) -> Iterator[str]:
    """Yield blocks, a blank line between them unless `tight`; texts in a row are a paragraph."""
    run: list[Node] = []
    first = True
    for node in [*nodes, ["end"]]:
        if isinstance(node, str) or node[0] in _INLINE:
            run.append(node)
            continue
        for made in ([_wrapped(_text(run), ink, indent)] if run else []) + [_block(node, ink, indent)]:
            if made and not (first or tight):
                yield "\n"
            yield made
            first = first and not made
        run = []


def _block(node: list[Any], ink: Ink, indent: str) -> str:
    tag, attributes, children = _parts(node)
    if tag == "end":
        return ""
    if tag == "hr":
        return f"{indent}{'─' * 20}\n"
    if tag == "pre":
        return block(_text(children), f"{indent}  ", ink.width)
    if tag in ("ul", "ol"):
        return "".join(_items(tag, attributes, children, ink, indent))
    if tag == "blockquote":
        return "".join(_blocks(children, ink, f"{indent}│ "))
    if tag == "table":
        return "".join(_rows(children, indent))
    text = _wrapped(_text(children), ink, indent)
    return ink(text.rstrip("\n"), "bold") + "\n" if tag.startswith("h") else text


def _items(tag: str, attributes: dict[str, Any], items: list[Node], ink: Ink, indent: str) -> Iterator[str]:
    number = int(attributes.get("start", 1))
    for item in items:
        _, own, children = _parts(item if isinstance(item, list) else ["li", item])
        number = int(own.get("value", number))
        mark = f"{number}. " if tag == "ol" else "- "
        if "task" in own:
            mark += "[x] " if own["task"] else "[ ] "
        number += 1
        inner = " " * len(mark)
        body = "".join(_blocks(children, ink, f"{indent}{inner}", tight=True)) or f"{indent}{inner}\n"
        yield f"{indent}{mark}{body[len(indent) + len(mark) :]}"


def _rows(parts: list[Node], indent: str) -> Iterator[str]:
    """Yield the rows of a table in aligned columns."""
    rows = [
        [_text(_parts(cell)[2]).replace("\n", " ") for cell in _parts(row)[2] if isinstance(cell, list)]
        for part in parts
        if isinstance(part, list)
        for row in _parts(part)[2]
        if isinstance(row, list)
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=False)]
    for row in rows:
        yield f"{indent}{' │ '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip()}\n"


def _wrapped(text: str, ink: Ink, indent: str) -> str:
    return block(text, indent, None if ink.width is None else max(LEAST_ROOM + len(indent), ink.width))


def _text(nodes: Iterable[Node]) -> str:
    """Return inline nodes as text; an address that its text does not show stands behind it."""
    parts: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            parts.append(visible(node))
            continue
        tag, attributes, children = _parts(node)
        inside = _text(children)
        parts.append({"code": f"`{inside}`", "del": f"~{inside}~"}.get(tag, inside))
        if tag == "a" and attributes.get("host"):
            parts.append(f" ({visible(str(attributes.get('href', '')))})")
    return "".join(parts)
