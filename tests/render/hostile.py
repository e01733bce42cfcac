"""More than 548 bodies that are made to be expensive, to hide something, or to run something."""

from __future__ import annotations

from collections.abc import Iterator

from postino.values import MAX_BODY

#: what is repeated up to the longest body
UNITS = (
    *("[", "]", "[]", "[a]", "[a](", "[](", "![", "![](", "![a](b)", "[a](<", "[![", "[^1]", "[a][b]", "[a]: b\n"),
    *("`", "``", "`a", "`a`", "``` ", "```\n", "~~~\n", "```a\n", "```\n```\n", "`` ` ", "` `` ", "`\n\n"),
    *("*", "**", "***", "*a", "a*", "**a*", "*a**", "*a_", "_a*", "_", "__", "a_b", "_a_", "*a **b ", "*_", "~", "~~"),
    *("~~a", "~~a~~", "://", "http://", "https://a", "https://a.b/ ", "www.", "a@b.c ", "mailto:", "<", ">", "<a>"),
    *("</", "<!--", "<![CDATA[", "<?", "<http://a>", "<a@b.c>", "<http://", "&", "&amp;", "&#x41;", "&#", "\\", "\\\\"),
    *("\\[", "\\`", "- ", "-\n", "- a\n", "* ", "+ ", "1. ", "1) a\n", "- - - ", "* * *\n", "- [ ] ", "- [x] a\n"),
    *(
        "> ",
        ">",
        ">\n",
        "> - ",
        "> 1. ",
        "> > a\n",
        "# ",
        "#\n",
        "# a\n",
        "a\n=\n",
        "a\n-\n",
        "---\n",
        "===\n",
        "    a\n",
    ),
    *(
        "\t",
        "\ta\n",
        " ",
        "  \n",
        "\n",
        "\n\n",
        "a\n",
        "a\n\n",
        "|",
        "|-",
        "|a|\n",
        "|-|\n",
        "|a|\n|-|\n",
        "a|b\n-|-\n",
    ),
    *("|a|b|\n|-|-|\n|c|d|e|\n", "|`a|`|\n", "\\|", "::::", "$$", "{{", "}}", "(((", ")))", "'\"", '"', "'"),
    *(
        "é",
        "漢",
        "🙂",
        "e\u0301",
        "\u200b",
        "\u200d",
        "\ufeff",
        "א",
        "م",
        "ﷺ",
        "a\u0300\u0301\u0302",
        "\u00a0",
        "\u2028",
    ),
    *(
        "a",
        "a ",
        "1",
        "%",
        "%41",
        "%%%",
        "--",
        "...",
        "(c)",
        "\r",
        "\r\n",
        "\\\n",
        "[a](b 'c') ",
        "[a](b\n",
        "(a](",
        "])",
    ),
)
#: nested to several depths
NESTED = ("> ", "- ", "1. ", "> - ", "* > ", "  - ", "    ", "> ```\n", "[", "![", "*", "**", "~~", "`", "<", "(")
DEPTHS = (5, 21, 50, 200, 1_000, 5_000)
#: code in each language, repeated up to the longest block that is coloured
CODE_UNITS = ('"', "'", "/*", "{", "(", "<", "\\", "a ", "0", '"""', "$(", "`", "#\n")
LANGUAGES = (
    *("bash", "c", "cpp", "css", "go", "html", "java", "javascript", "json", "lua", "python", "ruby", "rust", "sql"),
    *("toml", "typescript", "yaml", "diff", "console", "ini", "make", "nothing"),
)
COLUMNS = (10, 100, 1_000, 5_000)
ADDRESSES = (
    *("javascript:run()", "JaVaScRiPt:run()", "java\tscript:run()", "&#106;avascript:run()", "vbscript:run"),
    *("data:text/html,<script>run()</script>", "file:///etc/passwd", "//evil.example", "/api/history", "#/activity"),
    *("\\\\evil.example", "https:evil.example", "https://user@evil.example", "https://a\\@evil.example/", "blob:x"),
    *("https://evil.example/\u202egpj.exe", "about:blank", "ftp://a.example", "http://", "https://[::1"),
)
HTML = (
    *("<script>run()</script>", "<img src=x onerror=run()>", "<!-- hidden -->", "<div hidden>hidden</div>", "<b>bold"),
    *(
        "<a href='javascript:run()'>a</a>",
        "<style>*{display:none}</style>",
        "<details>hidden</details>",
        "<svg onload=run()>",
    ),
    *(
        "a <br> b",
        "<iframe src=//evil.example>",
        "&lt;script&gt;",
        "&#8238;hidden",
        "<![CDATA[hidden]]>",
        "<?php hidden ?>",
    ),
)


def cases() -> Iterator[tuple[str, str]]:
    """Yield a name and a body for each case."""
    for unit in UNITS:
        yield f"repeated {unit!r}", (unit * (MAX_BODY // len(unit) + 1))[:MAX_BODY]
    for unit in NESTED:
        for depth in DEPTHS:
            if len(unit) * depth + 6 < MAX_BODY:
                yield f"nested {unit!r} {depth}", f"{unit * depth}within"
    for language in LANGUAGES:
        for unit in CODE_UNITS:
            text = (unit * 8_100)[:8_100]
            yield f"{language} {unit!r}", f"```{language}\n{text}\n```"
    for columns in COLUMNS:
        row = "|a" * columns + "|\n"
        rows = max(1, MAX_BODY // len(row) - 2)
        yield f"{columns} columns", (row + "|-" * columns + "|\n" + row * rows)[:MAX_BODY]
    for address in ADDRESSES:
        yield f"address {address!r}", f"[text]({address}) <{address}> ![image]({address}) {address}"
    for markup in HTML:
        yield f"html {markup!r}", f"before\n\n{markup}\n\nafter {markup} after"
