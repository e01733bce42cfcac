"""The page: the files of postino/web, with headers that keep it from loading anything from elsewhere.

All scripts are one file and so are the styles, below an address that contains the digest of all: a browser asks for
them once, and gets the new ones with the next page after an update. They are compressed once.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import re
from pathlib import Path

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from postino.errors import NotFound
from postino.rest import bundle
from postino.rest.call import ApiCall
from postino.rest.records import Nothing, PageQuery

FOLDER = Path(__file__).resolve().parent.parent / "web"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
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
    "Vary": "Accept-Encoding",
    "Server": "postino",
}
FOR_EVER = "private, max-age=31536000, immutable"
NO_PAGE = "This postino has no page; the API is described at /api/openapi.json\n"
_NUMERIC = re.compile(r"(?:127\.0\.0\.1|\[::1\])(:[0-9]+)?")  # a Host that means this machine
BUNDLED = {"page.js": bundle.script, "page.css": bundle.sheet}

State = tuple[tuple[str, int], ...]  # name and time of change of each file


class Content(msgspec.Struct, frozen=True):
    """A file as it is sent; `packed` is None where compression does not help."""

    body: bytes
    packed: bytes | None
    kind: str


async def index(call: ApiCall[PageQuery, Nothing]) -> web.Response:
    """Return the page, or a line of text if its files are not installed.

    A browser that asks for it by a number is sent to `localhost`: drafts, the name and a sign-in belong to one origin.
    """
    request = call.request
    numeric = _NUMERIC.fullmatch(request.headers.get("Host", ""))
    if numeric and request.scheme == "http" and request.headers.get("Sec-Fetch-Mode") == "navigate":
        response = _response(request, Content(b"", None, KINDS[".html"]), status=307)
        asked = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        response.headers["Location"] = f"http://localhost{numeric[1] or ''}/{asked}"
        return response
    files.cache_clear()  # an update of a package adds files while its daemon runs
    state = _state()
    if "index.html" not in dict(state):
        return _response(request, Content(NO_PAGE.encode(), None, "text/plain; charset=utf-8"))
    return _response(request, _page(state))


async def file(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Return one file of the page. One below another digest than the present one is not to be kept."""
    name = call.path["path"]
    if not name.startswith("~"):
        return _file(call.request, name)
    digest, _, name = name.partition("/")
    response = _file(call.request, name)
    if digest[1:] == _digest(_state()):
        response.headers["Cache-Control"] = FOR_EVER
    return response


async def favicon(call: ApiCall[Nothing, Nothing]) -> web.Response:
    """Return the icon that browsers request by default."""
    return _file(call.request, "favicon.ico")


@functools.cache
def files() -> dict[str, Path]:
    """Return every file that is served, by its path below /web/. No path from a request is opened."""
    found = sorted(path for path in FOLDER.rglob("*") if path.suffix in KINDS and path.is_file())
    return {path.relative_to(FOLDER).as_posix(): path for path in found if not path.name.startswith(".")}


def _state() -> State:
    """Return the files that are there, and their times of change.

    In a checkout they change while the daemon runs; an update takes some away before it is started anew.
    """
    found = []
    for name, path in files().items():
        with contextlib.suppress(FileNotFoundError):
            found.append((name, path.stat().st_mtime_ns))
    return tuple(found)


@functools.lru_cache(maxsize=2)
def _digest(state: State) -> str:
    """Return the digest of all files."""
    digest = hashlib.blake2b(digest_size=8)
    for name, _ in state:
        digest.update(f"{name}\n".encode() + files()[name].read_bytes())
    return digest.hexdigest()


@functools.lru_cache(maxsize=2)
def _page(state: State) -> Content:
    """Return index.html, which names one script and one style sheet below the digest."""
    return _content(bundle.page(_text("index.html"), f"/web/~{_digest(state)}/").encode(), ".html")


@functools.lru_cache(maxsize=4)
def _bundled(state: State, name: str) -> Content:
    """Return all scripts or all styles of the page."""
    return _content(BUNDLED[name](_text("index.html"), _text).encode(), Path(name).suffix)


def _text(name: str) -> str:
    return files()[name].read_text()


@functools.lru_cache(maxsize=200)
def _read(path: Path, changed_ns: int) -> Content:
    return _content(path.read_bytes(), path.suffix)


def _content(body: bytes, suffix: str) -> Content:
    packed = gzip.compress(body, 9, mtime=0)
    return Content(body, packed if len(packed) < len(body) else None, KINDS[suffix])


def _file(request: web.Request, name: str) -> web.Response:
    if name in BUNDLED:
        with contextlib.suppress(FileNotFoundError, KeyError):  # during an update some are missing
            return _response(request, _bundled(_state(), name))
    if (path := files().get(name)) is not None:
        with contextlib.suppress(FileNotFoundError):
            return _response(request, _read(path, path.stat().st_mtime_ns))
    raise NotFound("the page has no such file")


def _response(request: web.Request, content: Content, status: int = 200) -> web.Response:
    headers = CIMultiDict(HEADERS)
    headers["Content-Type"] = content.kind
    body = content.body
    if content.packed is not None and _takes_gzip(request.headers.get("Accept-Encoding", "")):
        headers["Content-Encoding"] = "gzip"
        body = content.packed
    return web.Response(body=body, headers=headers, status=status)


def _takes_gzip(accepted: str) -> bool:
    for each in accepted.lower().split(","):
        name, _, weight = each.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False
