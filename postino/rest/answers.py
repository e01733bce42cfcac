"""Responses: records and errors as JSON, never HTML and never a stack trace."""

from __future__ import annotations

import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
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


_HEAD = "".join(f"{name}: {text}\r\n" for name, text in _HEADERS.items())
_START = f"HTTP/1.1 200 OK\r\n{_HEAD}Content-Length: ".encode()


class Answer(web.Response):
    """A record as JSON with status 200.

    A connection of postino writes it as a whole. Only for another one it becomes a response of aiohttp, whose making
    takes four times as long.
    """

    def __init__(self, record: object) -> None:
        self._data = encode_visible(record) + b"\n"  # a terminal's prompt comes after it

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Become a response of aiohttp, and write its head."""
        super().__init__(body=self._data, headers=_HEADERS)
        return await super().prepare(request)

    def whole(self, *, keep_alive: bool) -> bytes:
        """Return head and body, as HTTP/1.1 has them."""
        data, end = self._data, b"" if keep_alive else b"Connection: close\r\n"
        return b"%b%d%b%b\r\n%b" % (_START, len(data), _date(int(time.time())), end, data)


def answer(record: object, status: int = 200) -> web.Response:
    """Return `record` as JSON."""
    return encoded(encode_visible(record), status)


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
    response = encoded(data, error.http)
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
    return f"HTTP/1.1 403 Forbidden\r\n{_HEAD}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body


def closing(response: web.Response) -> web.Response:
    """Return `response`, after which the connection is closed: what follows on it may not be a request."""
    response.force_close()
    return response


@lru_cache(1)
def _date(second: int) -> bytes:
    """Return the end of the line before the date, and its own."""
    return f"\r\nDate: {formatdate(second, usegmt=True)}\r\n".encode()


def encoded(data: bytes, status: int) -> web.Response:
    """Return what is JSON already."""
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
