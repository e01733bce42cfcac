"""The Markdown parser: CommonMark with tables and strikethrough, without HTML, entities and link definitions.

What could hide a part of a body is off: the text of HTML and of entities is shown as it is written, and a definition
`[a]: address` stays where it is. Rules that ask for the time make a hostile body end early.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from markdown_it import MarkdownIt

from postino.render import links
from postino.render.bounds import MAX_NESTING, Bounds

_OFF = ["html_block", "html_inline", "entity", "reference"]


class Parser(MarkdownIt):
    """The parser; one thread may use it at a time."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "maxNesting": MAX_NESTING})
        self.enable(["table", "strikethrough"]).disable(_OFF)
        interrupting = {"alt": ["paragraph", "reference", "blockquote", "list"]}
        self.block.ruler.before("table", "bounds", _check, interrupting)  # type: ignore[arg-type]
        self.inline.ruler.before("text", "bounds", _check)
        self.inline.ruler2.before("balance_pairs", "bounds", _check)  # type: ignore[arg-type] # its answer is not used
        self.written: dict[str, str] = {}  # address in a token -> as the body has it

    def tokens(self, body: str, bounds: Bounds) -> list[Any]:
        """Return the tokens of `body`.

        Raises:
            Exceeded: it takes too long.
        """
        self.written = {}
        return self.parse(body, {"bounds": bounds})

    def validateLink(self, url: str) -> bool:
        """Return whether an address becomes a link; any other stays as it is written."""
        return links.host(url) is not None

    def normalizeLink(self, url: str) -> str:
        """Return an address as a browser has it."""
        if len(url) > links.LONGEST:
            return ""
        address = super().normalizeLink(url)
        self.written[address] = url
        return address

    def normalizeLinkText(self, link: str) -> str:
        """Return an address as it is shown: as it is written."""
        return link


@cache
def parser() -> Parser:
    """Return the one parser."""
    return Parser()


def _check(state: Any, *_: Any) -> bool:
    state.env["bounds"].check(len(state.tokens))
    return False
