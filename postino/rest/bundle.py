"""The page's modules in one script and its style sheets in one: a browser asks for three files instead of seventy.

Modules are written in one of a few forms, which tests hold; so that a few substitutions are enough: each becomes a
function that returns what it exports. There is no build step, and files are read as they stand.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

SHEET = re.compile(r'<link rel="stylesheet" href="/web/([^"]+)" />\s*')
SCRIPT = re.compile(r'<script type="module" src="/web/([^"]+)">')
_IMPORT = re.compile(r'^import (?:\{([^}]*)\}|\* as (\w+)) from "([^"]+)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)
_UNKNOWN = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)

Read = Callable[[str], str]  # the text of a file by its path below /web/


def page(html: str, base: str) -> str:
    """Return index.html with one sheet and one script, both below `base`."""
    first = SHEET.search(html)
    if first is not None:
        link = '<link rel="stylesheet" href="/web/page.css" />\n    '
        html = f"{html[: first.start()]}{link}{SHEET.sub('', html[first.end() :])}"
    return SCRIPT.sub('<script type="module" src="/web/page.js">', html).replace('"/web/', f'"{base}')


def sheet(html: str, read: Read) -> str:
    """Return the style sheets that index.html names, in their order."""
    return "\n".join(map(read, SHEET.findall(html)))


def script(html: str, read: Read) -> str:
    """Return the module that index.html names, with all that it imports before it.

    Raises:
        ValueError: a module is not in one of the forms, or modules import each other.
    """
    entries: list[str] = SCRIPT.findall(html)
    made: dict[str, str] = {}
    for each in entries:
        _add(each, read, made, ())
    return "\n".join(made.values())


def _add(path: str, read: Read, made: dict[str, str], above: tuple[str, ...]) -> None:
    """Add a module to `made` after those it imports. `above`: those that import it, the page's own first."""
    if path in above:
        raise ValueError(f"modules import each other: {' '.join(above)} {path}")
    text, folder = read(path), posixpath.dirname(path)
    for imported in _IMPORT.finditer(text):
        target = posixpath.normpath(posixpath.join(folder, imported[3]))
        if target not in made:
            _add(target, read, made, (*above, path))
    exported = [found[2] for found in _EXPORT.finditer(text)]
    body = _EXPORT.sub(r"\1", _IMPORT.sub(lambda found: _local(found, folder), text))
    if unknown := _UNKNOWN.search(body):
        raise ValueError(f"{path}: cannot take {unknown[0]!r} into one script")
    # the first one may wait at its top level, which a function could not
    made[path] = (
        f"const {_name(path)} = (() => {{\n{body}return {{ {', '.join(exported)} }};\n}})();" if above else body
    )


def _local(found: re.Match[str], folder: str) -> str:
    """Return a declaration of what a module imports."""
    names, whole, target = found.groups()
    module = _name(posixpath.normpath(posixpath.join(folder, target)))
    return f"const {whole} = {module};" if whole else f"const {{{names.replace(' as ', ': ')}}} = {module};"


def _name(path: str) -> str:
    """Return the variable of a module."""
    return "module_" + re.sub(r"\W", "_", path)
