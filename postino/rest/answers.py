"""Responses: records and errors as JSON, never HTML and never a stack trace."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from postino.errors import Forbidden, PostinoError
from postino.schema import encode_visible
from postino.values import visible

RETRY_AFTER = {429: "5", 503: "1"}  # s: a reader empties an inbox slowly, Valkey is back within about one second

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


def answer(record: object, status: int = 200) -> web.Response:
    """Return `record` as JSON."""
    return _json(encode_visible(record), status)


def encoded(data: bytes, status: int) -> web.Response:
    """Return what is JSON already."""
    return _json(data, status)


def text(line: str) -> web.Response:
    """Return one line of plain text, or an empty body for an empty line."""
    return web.Response(body=f"{line}\n".encode() if line else b"", headers=_TEXT_HEADERS)


def refusal(error: PostinoError) -> web.Response:
    """Return an error as JSON, with the headers that belong to its status."""
    body = error.body()
    try:
        data = encode_visible(body)
    except UnicodeEncodeError:  # the message quotes a lone surrogate from a path or a header
        data = encode_visible(_escaped(body))
    response = _json(data, error.http)
    if "retry_after_s" in error.detail:
        response.headers["Retry-After"] = str(error.detail["retry_after_s"])
    if error.http == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif error.http == 405:
        response.headers["Allow"] = ", ".join(error.detail["allow"])
    return response


def forbidden(reason: str) -> bytes:
    """Return a complete 403 response, for a peer that is refused before it has sent a request."""
    body = encode_visible(Forbidden(reason).body()) + b"\n"
    head = "".join(f"{name}: {text}\r\n" for name, text in _HEADERS.items())
    return f"HTTP/1.1 403 Forbidden\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def closing(response: web.Response) -> web.Response:
    """Return `response`, after which the connection is closed: what follows on it may not be a request."""
    response.force_close()
    return response


def _json(data: bytes, status: int) -> web.Response:
    response = web.Response(body=data + b"\n", status=status, headers=_HEADERS)  # a terminal's prompt comes after it
    if status in RETRY_AFTER:
        response.headers["Retry-After"] = RETRY_AFTER[status]
    return response


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    if isinstance(value, dict):
        return {_escaped(key): _escaped(each) for key, each in value.items()}
    return value
