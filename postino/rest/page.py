"""The page: the files of postino/web, with headers that keep it from loading anything from elsewhere."""

from __future__ import annotations

import functools
from pathlib import Path

from aiohttp import web
from multidict import CIMultiDict

from postino.errors import NotFound
from postino.rest.call import ApiCall
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
NO_PAGE = "This postino has no page; the API is described at /api/openapi.json\n"


async def index(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Return the page, or a line of text if its files are not installed."""
    path = files().get("index.html")
    if path is None:
        return _response(NO_PAGE.encode(), "text/plain; charset=utf-8")
    return _response(path.read_bytes(), KINDS[".html"])


async def file(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Return one file of the page."""
    return _file(call.request.match_info["path"])


async def favicon(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Return the icon that browsers request by default."""
    return _file("favicon.ico")


@functools.cache
def files() -> dict[str, Path]:
    """Return every file that is served, by its path below /web/. No path from a request is opened."""
    found = sorted(path for path in FOLDER.rglob("*") if path.suffix in KINDS and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): path for path in found if not path.name.startswith(".")}


def _file(name: str) -> web.Response:
    path = files().get(name)
    if path is None:
        raise NotFound("the page has no such file")
    return _response(path.read_bytes(), KINDS[path.suffix])


def _response(body: bytes, kind: str) -> web.Response:
    headers = CIMultiDict(HEADERS)
    headers["Content-Type"] = kind
    return web.Response(body=body, headers=headers)
