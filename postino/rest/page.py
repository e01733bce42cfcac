"""The page: the files of postino/web, and nothing else, with headers that let it load nothing from elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from postino.errors import NotFound
from postino.rest.call import Call
from postino.rest.records import Nothing

FOLDER = Path(__file__).resolve().parent.parent / "web"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": "postino",
}
HINT = "postino is here. There is no page in this version; the API is described at /api/openapi.json\n"


async def index(call: Call[Nothing, Nothing]) -> web.Response:
    """Return the page, or a line of text in a version without one."""
    path = files().get("index.html")
    if path is None:
        return _response(HINT.encode(), "text/plain; charset=utf-8")
    return _response(path.read_bytes(), KINDS[".html"])


async def file(call: Call[Nothing, Nothing]) -> web.Response:
    """Return one file of the page."""
    return _file(call.request.match_info["path"])


async def favicon(call: Call[Nothing, Nothing]) -> web.Response:
    """Return the icon that browsers ask for unasked."""
    return _file("favicon.ico")


@functools.cache
def files() -> dict[str, Path]:
    """Return every file that may be served, by its path below /web/: no path of a caller ever meets the disk."""
    found = sorted(path for path in FOLDER.rglob("*") if path.suffix in KINDS and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): path for path in found if not path.name.startswith(".")}


def _file(name: str) -> web.Response:
    path = files().get(name)
    if path is None:
        raise NotFound("there is no such file")
    return _response(path.read_bytes(), KINDS[path.suffix])


def _response(body: bytes, kind: str) -> web.Response:
    headers = CIMultiDict(HEADERS)
    headers["Content-Type"] = kind
    return web.Response(body=body, headers=headers)
