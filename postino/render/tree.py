"""From the parser's tokens to a tree: a text is a string, an element a list of tag, optional attributes and children.

    [["p", "It is ", ["strong", "done"]], ["pre", {"lang": "py"}, ["k", "def"], " f(): ..."]]

TAGS lists every tag. A reader makes nothing else of a body. The classes of code (k, s, c, m, b, gi, gd) stand as tags
inside `pre` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from postino.render import code, links
from postino.render.bounds import Bounds, Exceeded
from postino.values import visible

Node = str | list[Any]

TAGS = frozenset(
    {"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "ul", "ol", "li", "hr", "pre"}
    | {"table", "thead", "tbody", "tr", "th", "td", "strong", "em", "del", "code", "a"}
)
CODE_CLASSES = frozenset({"k", "s", "c", "m", "b", "gi", "gd"})
_PLAIN = {"s": "del"}  # tags of the parser that have another name here
_TASK = re.compile(r"\[([ xX])\] ")
_SYNTAX = re.compile(r"[\s!-/:-@\[-`{-~\0\ufffd]+")  # what Markdown itself is written in


class Tree:
    """Builds the tree of one body, and records everything of the body that it shows."""

    def __init__(self, bounds: Bounds, written: dict[str, str]) -> None:
        self.root: list[Any] = []
        self._open: list[list[Any]] = [self.root]
        self._bounds = bounds
        self._written = written
        self._shown: list[str] = []
        self._numbers: list[int] = []  # the next number of each open ordered list, 0 in other lists
        self._link: list[str] | None = None  # the texts of the open link
        self._title = ""
        self._task: list[Any] | None = None  # a list item whose text has not begun

    def build(self, tokens: list[Any], body: str) -> list[Any]:
        """Return the tree of `tokens`.

        Raises:
            Exceeded: it has too many nodes, or would not show all of `body`.
        """
        self._walk(tokens)
        if _essence("".join(self._shown)) != _essence(body):
            raise Exceeded("hidden")
        return self.root

    def _walk(self, tokens: list[Any]) -> None:
        for token in tokens:
            handle: Callable[[Any], None] | None = getattr(self, f"_{token.type}", None)
            if handle is not None:
                handle(token)
            elif token.nesting == 1:
                if not token.hidden:
                    self._push(_PLAIN.get(token.tag, token.tag))
            elif token.nesting == -1:
                if not token.hidden:
                    self._open.pop()
            else:
                raise Exceeded(f"unknown token {token.type}")

    def _push(self, tag: str, **attributes: Any) -> list[Any]:
        node = self._add(tag, **attributes)
        self._open.append(node)
        return node

    def _add(self, tag: str, *children: Node, **attributes: Any) -> list[Any]:
        self._bounds.add_node()
        node = [tag, attributes, *children] if attributes else [tag, *children]
        self._open[-1].append(node)
        return node

    def _say(self, text: str) -> None:
        """Add a text as it is to the open element."""
        top = self._open[-1]
        if len(top) > 1 and isinstance(top[-1], str):
            top[-1] += visible(text)
        else:
            self._bounds.add_node()
            top.append(visible(text))

    # inline

    def _inline(self, token: Any) -> None:
        self._walk(token.children)
        self._task = None

    def _text(self, token: Any) -> None:
        text = token.content
        if not text:
            return
        if self._task is not None and (found := _TASK.match(text)):
            _attributes(self._task)["task"] = found[1] != " "
            self._shown.append(found[1])
            text = text[found.end() :]
        self._task = None
        self._shown.append(text)
        if self._link is not None:
            self._link.append(text)
            self._say(text)
            return
        for part, is_link in links.bare(text) if "://" in text else [(text, False)]:
            if is_link:
                self._add("a", visible(part), href=part)
            else:
                self._say(part)

    def _softbreak(self, token: Any) -> None:
        self._say("\n")

    _hardbreak = _softbreak

    def _code_inline(self, token: Any) -> None:
        self._task = None
        self._shown.append(token.content)
        if self._link is not None:
            self._link.append(token.content)
        self._add("code", visible(token.content))

    def _link_open(self, token: Any) -> None:
        self._task = None
        self._push("a", href=str(token.attrs["href"]))
        self._link, self._title = [], str(token.attrs.get("title", ""))

    def _link_close(self, token: Any) -> None:
        node = self._open.pop()
        texts, self._link = self._link or [], None
        attributes = node[1]
        text, address = "".join(texts), attributes["href"]
        if token.markup != "autolink":
            self._shown += [self._written.get(address, address), self._title]
        if self._title:
            attributes["title"] = visible(self._title)
        if not address:  # `[text]()` leads nowhere
            self._open[-1][-1:] = node[2:]
        elif not text.strip() and len(node) == 2:
            node.append(visible(address))
        elif not links.is_address(text, address):
            attributes["host"] = links.host(address)

    def _image(self, token: Any) -> None:
        self._task = None
        address, text = str(token.attrs["src"]), token.content
        self._shown += [text, self._written.get(address, address), str(token.attrs.get("title", ""))]
        if self._link is not None:  # a link cannot stand in a link
            self._link.append(text)
            self._say(f"{text} {address}".strip())
        elif links.host(address) is None:
            self._say(f"{text} {address}".strip())
        else:
            self._add("a", visible(text or address), href=address, host=links.host(address), image=True)

    # blocks

    def _fence(self, token: Any) -> None:
        info = token.info.strip()
        self._shown += [info, token.content]
        language = info.split(maxsplit=1)[0].lower() if info else ""
        text = token.content.removesuffix("\n")
        node = self._add("pre", **({"lang": visible(info)} if info else {}))
        for name, part in code.parts(text, language, self._bounds):
            self._bounds.add_node()
            node.append([name, visible(part)] if name else visible(part))

    _code_block = _fence

    def _hr(self, token: Any) -> None:
        self._add("hr")

    def _bullet_list_open(self, token: Any) -> None:
        self._push("ul")
        self._numbers.append(0)

    def _ordered_list_open(self, token: Any) -> None:
        start = int(token.attrs.get("start", 1))
        self._push("ol", **({} if start == 1 else {"start": start}))
        self._numbers.append(start)

    def _bullet_list_close(self, token: Any) -> None:
        self._open.pop()
        self._numbers.pop()

    _ordered_list_close = _bullet_list_close

    def _list_item_open(self, token: Any) -> None:
        number = int(token.info) if token.info else 0
        self._shown.append(token.info)
        self._task = self._push("li", **({} if number == self._numbers[-1] else {"value": number}))
        self._numbers[-1] = number + 1 if token.info else 0

    def _list_item_close(self, token: Any) -> None:
        self._open.pop()
        self._task = None  # an item without a text

    def _td_open(self, token: Any) -> None:
        style = str(token.attrs.get("style", ""))
        self._push(token.tag, **({"align": style.partition(":")[2]} if style else {}))

    _th_open = _td_open


def _attributes(node: list[Any]) -> dict[str, Any]:
    """Return the attributes of an element, to be changed."""
    if len(node) == 1 or not isinstance(node[1], dict):
        node.insert(1, {})
    found: dict[str, Any] = node[1]
    return found


def _essence(text: str) -> str:
    """Return what of a text is not white space or syntax: all of it must be shown, in its order."""
    return _SYNTAX.sub("", text)
