"""What a body becomes: the tree that the page and the terminal draw."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from postino.render.renderer import KEPT_BYTES, Renderer, render

FENCE = "```"
EXAMPLES: dict[str, tuple[str, list[Any] | None]] = {
    "marks": (
        "a **b** _c_ ~~d~~ `e`",
        [["p", "a ", ["strong", "b"], " ", ["em", "c"], " ", ["del", "d"], " ", ["code", "e"]]],
    ),
    "lines": ("one\ntwo  \nthree", [["p", "one\ntwo\nthree"]]),
    "heading": ("# a\n\nb\n\n---", [["h1", "a"], ["p", "b"], ["hr"]]),
    "quote": ("> a\n> b", [["blockquote", ["p", "a\nb"]]]),
    "list": ("- a\n- b", [["ul", ["li", "a"], ["li", "b"]]]),
    "numbers": ("3. a\n4. b\n9. c", [["ol", {"start": 3}, ["li", "a"], ["li", "b"], ["li", {"value": 9}, "c"]]]),
    "tasks": ("- [x] a\n- [ ] b", [["ul", ["li", {"task": True}, "a"], ["li", {"task": False}, "b"]]]),
    "task with a number": (
        "1. [x] a\n5. [ ] b",
        [["ol", ["li", {"task": True}, "a"], ["li", {"value": 5, "task": False}, "b"]]],
    ),
    "no task": ("[x] a", [["p", "[x] a"]]),
    "no task of the item before": ("-\n\n[x] a", [["ul", ["li"]], ["p", "[x] a"]]),
    "table": (
        "|a|b|\n|-|:-:|\n|1|2|",
        [
            [
                "table",
                ["thead", ["tr", ["th", "a"], ["th", {"align": "center"}, "b"]]],
                ["tbody", ["tr", ["td", "1"], ["td", {"align": "center"}, "2"]]],
            ]
        ],
    ),
    "code": (f"{FENCE}py\nif x:\n  pass\n{FENCE}", [["pre", {"lang": "py"}, ["k", "if "], "x:\n  ", ["k", "pass"]]]),
    "plain code": (f"{FENCE}\nif x\n{FENCE}", [["pre", "if x"]]),
    "code without end": (f"{FENCE}\nif x", [["pre", "if x"]]),
    "difference": (
        f"{FENCE}diff\n-a\n+b\n c\n{FENCE}",
        [["pre", {"lang": "diff"}, ["gd", "-a\n"], ["gi", "+b\n"], " c"]],
    ),
    "difference by its look": (f"{FENCE}\n@@ -1 +1 @@\n-a\n{FENCE}", [["pre", ["m", "@@ -1 +1 @@\n"], ["gd", "-a"]]]),
    "html": ("<b>a</b> &amp; <!-- c -->", [["p", "<b>a</b> &amp; <!-- c -->"]]),
    "type": ("Vec<T>", [["p", "Vec<T>"]]),
    "bare address": (
        "see https://a.example/b.",
        [["p", "see ", ["a", {"href": "https://a.example/b"}, "https://a.example/b"], "."]],
    ),
    "bracket of an address": (
        "https://a.example/b_(c)",
        [["p", ["a", {"href": "https://a.example/b_(c)"}, "https://a.example/b_(c)"]]],
    ),
    "link": ("[a](https://b.example/c)", [["p", ["a", {"href": "https://b.example/c", "host": "b.example"}, "a"]]]),
    "link that shows its address": (
        "[https://b.example/c](https://b.example/c)",
        [["p", ["a", {"href": "https://b.example/c"}, "https://b.example/c"]]],
    ),
    "link that shows another address": (
        "[https://good.example](https://evil.example:8080/)",
        [["p", ["a", {"href": "https://evil.example:8080/", "host": "evil.example:8080"}, "https://good.example"]]],
    ),
    "link in letters that look alike": (
        "https://\u0430pple.example/",
        [["p", "https://\u0430pple.example/"]],
    ),
    "link with a title": (
        "[a](https://b.example 't')",
        [["p", ["a", {"href": "https://b.example", "title": "t", "host": "b.example"}, "a"]]],
    ),
    "link without text": ("[](https://b.example)", [["p", ["a", {"href": "https://b.example"}, "https://b.example"]]]),
    "link to nowhere": ("[a]()", [["p", "a"]]),
    "mail": ("<a@b.example>", [["p", ["a", {"href": "mailto:a@b.example"}, "a@b.example"]]]),
    "image": (
        "![a](https://b.example/c.png)",
        [["p", ["a", {"href": "https://b.example/c.png", "host": "b.example", "image": True}, "a"]]],
    ),
    "definition": (
        "[a]: https://b.example\n\n[a]",
        [["p", "[a]: ", ["a", {"href": "https://b.example"}, "https://b.example"]], ["p", "[a]"]],
    ),
    "control characters": ("a\x1b[31m\u202eb", [["p", "a\\u{1b}[31m\\u{202e}b"]]),
    "nothing": ("\n\n", []),
    # shown as written: the tree would hide a part
    "cell without a column": ("|a|\n|-|\n|b|hidden|", None),
    "too deep": ("> " * 25 + "hidden", None),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_body_becomes_this_tree(name: str) -> None:
    body, tree = EXAMPLES[name]

    assert json.loads(render(body)) == tree


@pytest.mark.parametrize(
    "address",
    [
        *(
            "javascript:a()",
            "JavaScript:a()",
            "data:text/html,a",
            "vbscript:a",
            "file:///a",
            "//a.example",
            "/a",
            "a",
            "#a",
        ),
        *(
            "https://u@a.example/",
            "https://u:p@a.example/",
            "https:a.example",
            "https:/a.example",
            "http://",
            "ftp://a.example",
        ),
        *("&#106;avascript:a()", "https://a\\@b.example/"),
    ],
)
def test_only_addresses_of_the_web_and_of_mail_become_links(address: str) -> None:
    tree = json.loads(render(f"[a]({address}) ![a]({address}) <{address}> {address}"))

    assert all(isinstance(node, str) for node in tree[0][1:]) or '"href"' not in json.dumps(tree)


async def test_a_rendered_body_is_kept_and_the_oldest_are_dropped() -> None:
    renderer = Renderer()
    first = await renderer.one("**a**")
    assert (await renderer.one("**a**")) == first

    for number in range(300):
        await renderer.one(f"{number}{'x' * 30_000}")

    assert KEPT_BYTES * 0.9 < renderer.size <= KEPT_BYTES
    assert f"299{'x' * 30_000}" in renderer and "**a**" not in renderer
    renderer.close()


def test_neither_the_daemon_nor_a_command_loads_the_parser_at_its_start() -> None:
    code = (
        "import sys; sys.modules['rich'] = None;"  # where it is installed, structlog loads it, and it loads Pygments
        "import postino.daemon.serve, postino.rest.app, postino.cli;"
        "print([each for each in ('markdown_it', 'mdurl', 'pygments') if each in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
