"""HTTP/1.1 to one daemon over its unix socket or TCP: a persistent connection, a deadline, and never a proxy."""

from __future__ import annotations

import errno
import os
import time

from postino.errors import ERRORS, BadField, BadName, Forbidden, PostinoError, Unreachable
from postino.home import SOCKET, check, secure
from postino.json_text import Json, dumps, loads
from postino.light import dataclass
from postino.unix_http import CHUNK, UnixConnection

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from http.client import HTTPConnection
    from socket import socket
    from typing import TypeVar

    from postino.tcp_http import TcpConnection

    C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer."""

    status: int
    body: bytes

    def payload(self, *, accept: int = 200) -> Json:
        """Return the JSON object of an answer with status 200 or `accept`.

        Raises:
            PostinoError: the error in the answer, as the class of its code; or the answer is not from postino.
        """
        try:
            found = loads(self.body)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise PostinoError(
                f"the answer (status {self.status}) is not from postino; check which program listens at this address"
            )
        if self.status in (200, accept):
            return found
        raise self._error(found)

    def _error(self, found: Json) -> PostinoError:
        kind = ERRORS.get(str(found.pop("code", "")), PostinoError)
        message = str(found.pop("error", f"the daemon answered status {self.status}"))
        detail = {key: value for key, value in found.items() if key not in ("ok", "retryable", "message")}
        return kind(message, **detail)


class Transport:
    """One address and at most one persistent connection to it.

    The address is a URL, or the path of a unix socket, which is no text: a `Path`, or what else has `__fspath__`.
    """

    def __init__(self, address: os.PathLike[str] | str) -> None:
        self.address = address
        self._path = None if isinstance(address, str) else os.fspath(address)
        self._connection: UnixConnection | TcpConnection | None = None
        self._streaming: socket | None = None
        if self._path is None and not _is_url(str(address)):
            shown = str(address).rpartition("@")[2]  # a password is neither used nor shown
            raise BadField(
                f"{shown!r} is neither the path of a socket nor an http:// or https:// URL without a user",
                field="address",
            )

    def close(self) -> None:
        """Close the persistent connection; the next exchange opens another."""
        if self._connection:
            self._connection.close()
        self._connection = None

    def exchange(self, method: str, target: str, body: bytes | None, headers: dict[str, str], seconds: float) -> Answer:
        """Send one request and return its whole answer within `seconds`.

        Raises:
            BadField: the directory of the socket belongs to another user, or others can write to it.
            Unreachable: `outcome` is "none" if nothing was sent, "unknown" if the daemon may have carried it out.
        """
        until = time.monotonic() + seconds
        connection = self._connect(seconds)
        try:
            answer = Answer(*connection.exchange(method, target, body, headers, until))
        except (OSError, ValueError) as error:
            self.close()
            raise self._broken(error) from None
        except BaseException:
            self.close()  # the rest of this answer must not be read as the next one's
            raise
        if not connection.open:
            self.close()
        return answer

    def events(self, target: str, headers: dict[str, str], seconds: float) -> Iterator[Json]:
        """Yield the events of one SSE stream, on its own connection, until it ends or is silent for `seconds`.

        Raises:
            Unreachable: no daemon answers.
            PostinoError: the daemon refused the stream.
        """
        from contextlib import closing

        from postino.tcp_http import HttpError, events

        with closing(self._stream(seconds)) as connection:
            self._streaming = connection.sock
            try:
                connection.request("GET", target, None, headers | {"Accept": "text/event-stream"})
                response = connection.getresponse()
                refusal = b"" if response.status == 200 else response.read(CHUNK)
            except (OSError, HttpError) as error:
                raise self._broken(error) from None
            with response:
                if response.status != 200:
                    Answer(response.status, refusal).payload()
                yield from events(response)

    def end_events(self) -> None:
        """End the stream of events that another thread waits for."""
        from contextlib import suppress

        if self._streaming is not None:
            with suppress(OSError):  # it has ended
                self._streaming.shutdown(2)  # SHUT_RDWR

    def download(self, target: str, headers: dict[str, str], seconds: float) -> Iterator[bytes]:
        """Yield a long answer in parts, on its own connection; each must come within `seconds`.

        Raises:
            Unreachable: no daemon answers, or the answer ended early.
            PostinoError: the daemon refused.
        """
        from contextlib import closing

        from postino.tcp_http import HttpError

        with closing(self._stream(seconds)) as connection:
            try:
                connection.request("GET", target, None, headers)
                response = connection.getresponse()
                if response.status != 200:
                    Answer(response.status, response.read(CHUNK)).payload()
                while part := response.read1(CHUNK):
                    yield part
            except (OSError, HttpError) as error:
                raise self._broken(error) from None

    def upload(self, target: str, parts: Iterable[bytes], headers: dict[str, str], seconds: float) -> Answer:
        """Send a long body in parts, on its own connection, and return the answer; nothing may stall for `seconds`.

        Raises:
            Unreachable: as `exchange`.
        """
        from contextlib import closing, suppress

        from postino.tcp_http import LONGEST_ANSWER, HttpError

        with closing(self._stream(seconds)) as connection:
            try:
                with suppress(BrokenPipeError, ConnectionResetError):  # refused early: the answer is there
                    connection.request("POST", target, iter(parts), headers)
                response = connection.getresponse()
                return Answer(response.status, response.read(LONGEST_ANSWER))
            except (OSError, HttpError) as error:
                raise self._broken(error) from None

    def _connect(self, seconds: float) -> UnixConnection | TcpConnection:
        kept = self._connection
        if kept is not None:
            if not _is_readable(kept.fileno()):
                return kept
            self.close()  # a connection that the daemon has closed is readable: noticed before the request is sent
        self._connection = opened = self._opened(self._made, seconds)
        return opened

    def _made(self, seconds: float) -> UnixConnection | TcpConnection:
        if self._path is not None:
            return UnixConnection(self._path, seconds)
        from postino.tcp_http import TcpConnection  # 20 ms, which a quick command need not pay

        return TcpConnection(str(self.address), seconds)

    def _stream(self, seconds: float) -> HTTPConnection:
        from postino.tcp_http import connection

        return self._opened(lambda seconds: connection(self._path, str(self.address), seconds), seconds)

    def _opened(self, make: Callable[[float], C], seconds: float) -> C:
        self._check_directory()
        try:
            return make(seconds)
        except OSError as error:
            if error.errno == errno.EPERM:  # an ordinary refusal is EACCES
                raise Forbidden(
                    f"this command may not use {self.address} ({_reason(error)}): it probably runs in a sandbox, as "
                    "Codex gives the commands of a session; call postino's tools there (msg_send, msg_read), or let "
                    "the command run outside of the sandbox"
                ) from None
            raise Unreachable(
                f"no postino daemon answers at {self.address} ({_reason(error)}); run `postino up`", outcome="none"
            ) from None

    def _check_directory(self) -> None:
        if self._path is not None:
            folder, name = os.path.split(self._path)
            judge = secure if name == SOCKET else check  # another socket, such as a forwarded one, may lie anywhere
            refusal = judge(folder or ".") if os.path.exists(folder or ".") else None  # noqa: PTH110
            if refusal is not None:
                raise BadField(refusal, field="POSTINO_HOME")

    def _broken(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"the connection to the postino daemon at {self.address} broke ({_reason(error)}); "
            "it is unknown whether the request was carried out",
            outcome="unknown",
        )


def _is_readable(descriptor: int) -> bool:
    import select

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def _is_url(text: str) -> bool:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and "@" not in text
    except ValueError:
        return False


def _reason(error: Exception) -> str:
    """Return the operating system's reason in a few words."""
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def segment(value: str, field: str) -> str:
    """Return `value` as a segment of a path. The daemon checks it, except what cannot stand in a path."""
    if not value.strip("."):
        raise (BadName if field == "name" else BadField)(f"{field} must not be {value!r}", field=field)
    if value.isascii() and value.replace("-", "").replace(".", "").replace("_", "").isalnum():
        return value
    from urllib.parse import quote  # 4 ms, which a quick command need not pay

    return quote(value, safe="", errors="surrogatepass")


def query_of(asked: Json) -> str:
    """Return the query of `asked` with its question mark, '' if every value is None."""
    given = {key: value for key, value in asked.items() if value is not None}
    if not given:
        return ""
    from urllib.parse import urlencode

    return f"?{urlencode(given, errors='surrogatepass')}"


def encoded(body: Json) -> bytes:
    """Return JSON in UTF-8: with escapes, the longest body allowed would make the request too large."""
    try:
        return dumps(body, in_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate can only be sent escaped; the daemon then names its position
        return dumps(body).encode()
