"""What goes out: a record as JSON, a refusal as JSON, never HTML and never a stack trace."""

from __future__ import annotations

from typing import Any

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from postino.errors import Forbidden, PostinoError
from postino.model import visible

RETRY_AFTER = {429: "5", 503: "1"}  # seconds: an inbox drains at a reader's pace, Valkey is back within about one

_HEADERS = CIMultiDict(
    {
        "Content-Type": "application/json; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        "Server": "postino",
    }
)
_TEXT_HEADERS = CIMultiDict(_HEADERS)
_TEXT_HEADERS["Content-Type"] = "text/plain; charset=utf-8"
_encode = msgspec.json.Encoder().encode


def answer(record: object, status: int = 200) -> web.Response:
    """Return `record` as JSON."""
    return web.Response(body=_encode(record), status=status, headers=_HEADERS)


def text(line: str) -> web.Response:
    """Return one line of plain text, or nothing at all."""
    return web.Response(body=f"{line}\n".encode() if line else b"", headers=_TEXT_HEADERS)


def refusal(error: PostinoError) -> web.Response:
    """Return the JSON of a refusal, with the headers its status asks for."""
    body = error.body()
    try:
        data = _encode(body)
    except UnicodeEncodeError:  # a lone surrogate came in with a path or a header and is quoted here
        data = _encode(_shown(body))
    response = web.Response(body=data, status=error.http, headers=_HEADERS)
    if error.http in RETRY_AFTER:
        response.headers["Retry-After"] = RETRY_AFTER[error.http]
    elif error.http == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif error.http == 405:
        response.headers["Allow"] = ", ".join(error.detail["allow"])
    return response


def turned_away(why: str) -> bytes:
    """Return the whole answer to a peer that is refused before it has said anything."""
    body = _encode(Forbidden(why).body())
    head = "".join(f"{name}: {text}\r\n" for name, text in _HEADERS.items())
    return f"HTTP/1.1 403 Forbidden\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def closing(response: web.Response) -> web.Response:
    """Return `response`, after which the connection is closed: what follows on it cannot be trusted."""
    response.force_close()
    return response


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_shown(each) for each in value]
    if isinstance(value, dict):
        return {_shown(key): _shown(each) for key, each in value.items()}
    return value
