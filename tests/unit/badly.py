"""A daemon's socket that behaves as badly as a dying daemon does, and what it can do with a request."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path


class Badly:
    """A daemon's socket, served by a script: what to do with each request, in order of arrival."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.script: list[Callable[[socket.socket], bool]] = []
        self.requests: list[tuple[str, dict[str, object]]] = []
        self.connections = 0
        self.ended = 0  # of them, on this side
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.path.unlink(missing_ok=True)
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with line:
                while self._request(line) and self.script.pop(0)(line):
                    pass
            self.ended += 1

    def _request(self, line: socket.socket) -> bool:
        file = line.makefile("rb")
        head = file.readline().decode()
        if not head:
            return False
        length = 0
        while (header := file.readline().strip()) != b"":
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.requests.append((head.rsplit(" ", 1)[0], json.loads(file.read(length) or b"{}")))
        return True


def says(record: object, status: int = 200) -> Callable[[socket.socket], bool]:
    def act(line: socket.socket) -> bool:
        body = json.dumps(record).encode()
        line.sendall(b"HTTP/1.1 %d x\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
        return True

    return act


def sends(raw: bytes) -> Callable[[socket.socket], bool]:
    def act(line: socket.socket) -> bool:
        line.sendall(raw)
        return False

    return act


def hangs_up(line: socket.socket) -> bool:
    return False


def drips(line: socket.socket) -> bool:
    line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    try:
        for _ in range(100):
            line.sendall(b" ")
            time.sleep(0.05)
    except OSError:
        pass
    return False


def says_and_hangs_up(record: object, status: int = 200) -> Callable[[socket.socket], bool]:
    def act(line: socket.socket) -> bool:
        says(record, status)(line)
        return False

    return act
