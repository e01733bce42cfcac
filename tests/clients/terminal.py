"""A client's interactive session in a pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_ANSWERS = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c", b"\x1b]11;?": b"\x1b]11;rgb:0000/0000/0000\x1b\\"}

AGAIN_S = 6.0  # after which keys that had no effect are pressed again


class Terminal:
    """Runs a program on a terminal of 50 lines; what it prints is kept as text without control sequences."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
        self.output = b""
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.process = subprocess.Popen(
            list(command), env=dict(env), cwd=cwd, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
        )
        os.close(slave)
        os.set_blocking(self._master, False)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        self.output += data
        for asked, answer in _ANSWERS.items():
            if asked in data:
                self._write(answer)

    @property
    def text(self) -> str:
        """What was printed, spaces removed: a client moves the cursor instead of printing them."""
        plain = re.sub(rb"\x1b\[[0-9;?<>=]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b.", b"", self.output)
        return _bare(plain.decode(errors="replace"))

    def _write(self, keys: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._master, keys)

    async def until(self, text: str, seconds: float = 40) -> None:
        """Wait until the program has printed `text`, compared without spaces."""
        await self._repeat(lambda: None, lambda: _bare(text) in self.text, f"never printed {text!r}", seconds)

    async def press(self, keys: bytes, shown: str) -> None:
        """Press keys until the program has printed `shown` after them: one that is still starting drops keys."""
        before = len(self.text)
        await self._repeat(
            lambda: self._write(keys), lambda: _bare(shown) in self.text[before:], f"{keys!r} does nothing"
        )

    async def ask_until(self, prompt: bytes, condition: Callable[[], object]) -> None:
        """Send a prompt until `condition` holds."""

        def ask() -> None:
            self._write(prompt)
            asyncio.get_running_loop().call_later(0.3, self._write, b"\r")  # at once, it would be part of a paste

        await self._repeat(ask, condition, "the prompt has no effect")

    async def _repeat(
        self, act: Callable[[], object], condition: Callable[[], object], failure: str, seconds: float = 60
    ) -> None:
        now = asyncio.get_running_loop().time
        deadline, again = now() + seconds, 0.0
        while not condition():
            assert now() < deadline, f"{failure}: {self.text[-1500:]}"
            if now() >= again:
                act()
                again = now() + AGAIN_S
            await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End the program without a word."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        asyncio.get_running_loop().remove_reader(self._master)
        with contextlib.suppress(OSError):
            os.close(self._master)


async def begin_codex(terminal: Terminal, requests: Sequence[object]) -> None:
    """Trust postino's hooks in a session of Codex that has just started, and ask for its first turn."""
    await terminal.until("Trust all and continue")
    await terminal.press(b"2", "› 2. Trust all and continue")
    await terminal.press(b"\r", "Ask Codex to do anything")
    await terminal.ask_until(b"work", lambda: requests)


def _bare(text: str) -> str:
    """Return a text without spaces and the Braille characters with which Codex draws."""
    return re.sub(r"[\s\u2800-\u28ff]+", "", text)
