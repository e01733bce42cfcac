"""The colours of a block of code: a class for each part, by Pygments, or line by line for a difference."""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from postino.render.bounds import Bounds, Exceeded

LONGEST = 8_192  # characters of a coloured block; a longer one is plain

#: language -> module and class of Pygments. Measured with hostile text of 8 KB: console, pycon, ini and make are absent
#: because a single match of theirs may take seconds, in which no other thread runs.
_LEXERS = {
    "bash": ("shell", "BashLexer"),
    "c": ("c_cpp", "CLexer"),
    "cpp": ("c_cpp", "CppLexer"),
    "css": ("css", "CssLexer"),
    "go": ("go", "GoLexer"),
    "html": ("html", "HtmlLexer"),
    "java": ("jvm", "JavaLexer"),
    "javascript": ("javascript", "JavascriptLexer"),
    "json": ("data", "JsonLexer"),
    "lua": ("scripting", "LuaLexer"),
    "python": ("python", "PythonLexer"),
    "ruby": ("ruby", "RubyLexer"),
    "rust": ("rust", "RustLexer"),
    "sql": ("sql", "SqlLexer"),
    "toml": ("configs", "TOMLLexer"),
    "typescript": ("javascript", "TypeScriptLexer"),
    "yaml": ("data", "YamlLexer"),
}
_ALIASES = {
    **dict.fromkeys(("sh", "shell", "zsh"), "bash"),
    **dict.fromkeys(("h",), "c"),
    **dict.fromkeys(("c++", "cc", "hpp"), "cpp"),
    **dict.fromkeys(("js", "jsx", "mjs"), "javascript"),
    **dict.fromkeys(("ts", "tsx"), "typescript"),
    **dict.fromkeys(("jsonc", "json5"), "json"),
    **dict.fromkeys(("py", "python3"), "python"),
    **dict.fromkeys(("xml", "svg"), "html"),
    **dict.fromkeys(("golang",), "go"),
    **dict.fromkeys(("rs",), "rust"),
    **dict.fromkeys(("rb",), "ruby"),
    **dict.fromkeys(("yml",), "yaml"),
    **dict.fromkeys(("patch", "udiff"), "diff"),
}
#: beginnings of Pygments' short names of token types, the first that fits counts -> the class
_CLASSES = (
    *(("k", "k"), ("ow", "k"), ("s", "s"), ("c", "c"), ("m", "m"), ("gi", "gi"), ("gd", "gd")),
    *(("nb", "b"), ("bp", "b"), ("nf", "b"), ("nc", "b"), ("nd", "b"), ("nt", "b"), ("na", "m")),
)
_IS_DIFF = re.compile(r"(?:diff --git |Index: |--- \S.*\n\+\+\+ \S|@@ -\d)")
_DIFF_CLASSES = {"+": "gi", "-": "gd", "@": "m"}

Part = tuple[str, str]  # a class, "" for none, and a text


def parts(code: str, language: str, bounds: Bounds) -> list[Part]:
    """Return `code` as parts with their classes; one plain part where it cannot be coloured within the bounds."""
    language = _ALIASES.get(language, language)
    if language == "diff" or (not language and _IS_DIFF.match(code)):
        return list(_joined(_of_difference(code)))
    if language not in _LEXERS or len(code) > LONGEST:
        return [("", code)]
    began = time.thread_time()
    _lexer(language)  # the import of a lexer, once, is not at the expense of a body
    bounds.extend(time.thread_time() - began)
    began = time.thread_time()
    try:
        return list(_joined(_of_lexer(code, language, bounds.colour_until())))
    except Exceeded:
        return [("", code)]
    finally:
        bounds.coloured(time.thread_time() - began)


def _of_difference(code: str) -> Iterator[Part]:
    for line in code.splitlines(keepends=True):
        is_name = line.startswith(("+++ ", "--- ", "diff ", "index "))
        yield "c" if is_name else _DIFF_CLASSES.get(line[:1], ""), line


def _of_lexer(code: str, language: str, until: float) -> Iterator[Part]:
    for _, kind, text in _lexer(language).get_tokens_unprocessed(code):
        if time.thread_time() > until:
            raise Exceeded("colours")
        yield _class(kind), text


@cache
def _lexer(language: str) -> Any:
    module, name = _LEXERS[language]
    return getattr(importlib.import_module(f"pygments.lexers.{module}"), name)()


@cache
def _class(kind: Any) -> str:
    from pygments.token import STANDARD_TYPES

    while kind not in STANDARD_TYPES:
        kind = kind.parent
    short = STANDARD_TYPES[kind]
    return next((name for start, name in _CLASSES if short.startswith(start)), "")


def _joined(found: Iterable[Part]) -> Iterator[Part]:
    """Join neighbours of one class, and white space with what is before it."""
    last, texts = "", list[str]()
    for name, text in found:
        if name != last and texts and not text.isspace():
            yield last, "".join(texts)
            texts = []
        if not texts or not text.isspace():
            last = name
        texts.append(text)
    if texts:
        yield last, "".join(texts)
