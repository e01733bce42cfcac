"""Take docs/closed-session.svg anew: `python docs/closed_session.py`, with Claude Code (or $CLAUDE_BINARY) and pyte.

A real run: a session of Claude Code ends, CI writes to it by curl, it is started again in a terminal. Only the words
of the model are written down here, since no model is asked: a scripted one on loopback answers.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import textwrap
from html import escape
from pathlib import Path

try:
    import pyte
except ImportError:
    raise SystemExit("this picture is taken by a terminal in Python: pip install pyte") from None

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tests.hooks.conftest import scratch_machine  # noqa: E402  the machine of the tests
from tests.hooks.machine import TOOL, Machine  # noqa: E402
from tests.hooks.model import Model  # noqa: E402
from tests.scripted.model import serving  # noqa: E402

COLUMNS, LINES = 100, 40
BODY = "Build 812 is red: test_login fails since 3f2a."
PROMPT = "Good morning! What is new?"
ANSWER = "CI wrote while I was away: build 812 is red, test_login fails since 3f2a. I will look at that commit first."
WIDTH, LINE, SIZE, MARGIN = 880, 19, 14, 24
DARK, PAPER, SOFT, GREEN = "#17191f", "#e8e8e3", "#6e7681", "#8fd19e"


class Terminal:
    """A program on a terminal whose screen can be read."""

    def __init__(self, machine: Machine, *command: str, **env: str) -> None:
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
        self.process = subprocess.Popen(
            command, env=machine.env | env, cwd=machine.project(), stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            data = b""
        if data:
            self._stream.feed(data.replace(b"\x1b[>", b"\x1b[").replace(b"\x1b[<", b"\x1b["))
            if b"\x1b[c" in data:
                os.write(self._master, b"\x1b[?62;c")
        else:
            asyncio.get_running_loop().remove_reader(self._master)

    def lines(self) -> list[str]:
        """Return the screen without the spaces at the ends of lines."""
        return [line.rstrip() for line in self.screen.display]

    async def until(self, text: str, seconds: float = 60) -> None:
        """Wait until the screen shows a text."""
        for _ in range(int(seconds * 10)):
            if text in "\n".join(self.lines()):
                return
            await asyncio.sleep(0.1)
        raise TimeoutError(f"never shown: {text}\n" + "\n".join(self.lines()))

    async def type(self, text: str) -> None:
        """Type a text and press Enter."""
        os.write(self._master, text.encode())
        await asyncio.sleep(0.5)
        os.write(self._master, b"\r")


async def run(machine: Machine) -> list[tuple[str, list[str]]]:
    """Let it happen; return what is to be seen of it: captions, each with lines."""
    machine.postino("up")
    session = await machine.open(POSTINO_AGENT_NAME="reviewer")
    await session.prompt("hello")
    await session.close()
    url = machine.data("status")["url"].removeprefix("http://")
    curl = [
        "curl localhost:3333/api/messages/reviewer -H 'Content-Type: text/plain' \\",
        f"       -H 'X-Postino-From: ci' -d '{BODY}'",
    ]
    said = json.loads(machine.run("sh", "-c", "\n".join(curl).replace("localhost:3333", url) + " -s"))
    machine.model.script([(f"{TOOL}read", {})], ANSWER)
    trust(machine)
    terminal = Terminal(machine, machine.binary, POSTINO_AGENT_NAME="reviewer")
    await terminal.until("❯")
    await asyncio.sleep(3)  # the mailbox connects
    await terminal.type(PROMPT)
    await terminal.until("first.")
    state = await acked(machine, said["id"])
    shown = conversation(terminal.lines())
    terminal.process.kill()
    terminal.process.wait()
    told = re.findall(r"\[postino\] this session is agent [^\"\\<]*msg_read", machine.model.seen())[-1]
    return [
        (
            "The session “reviewer” of Claude Code is closed. CI writes to it:",
            [f"$ {curl[0]}", *curl[1:], f'{{"ok":true, ... "reach":"{said["reach"]}"}}'],
        ),
        ("It is started again. What the plugin tells the model, before anybody asks:", wrapped(told)),
        ("What is on the screen:", shown),
        (
            "CI asks what became of it:",
            [f"$ curl localhost:3333/api/messages/reviewer/{said['id']}", f'{{ ... "state":"{state}" ... }}'],
        ),
    ]


def trust(machine: Machine) -> None:
    """Answer the client's first questions."""
    file = machine.root / ".claude.json"
    trusted = {str(machine.project()): {"hasTrustDialogAccepted": True}}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"hasCompletedOnboarding": True, "projects": trusted}))


def conversation(lines: list[str]) -> list[str]:
    """Return what stands between the prompt and the empty lines after the answer."""
    begin = next(at for at, line in enumerate(lines) if PROMPT in line)
    end = next(at for at in range(begin, len(lines)) if "commit first." in " ".join(lines[begin:at])[-20:])
    return [line for line in lines[begin:end] if line]


def wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, COLUMNS - 4)


async def acked(machine: Machine, id: str) -> str:
    """Return the message's state, once its session has gone on."""
    for _ in range(50):
        if (state := machine.state("reviewer", id)["state"]) == "acked":
            return str(state)
        await asyncio.sleep(0.1)
    raise TimeoutError(state)


def drawn(scenes: list[tuple[str, list[str]]]) -> str:
    """Draw the scenes as a terminal with captions."""
    parts, y = [], MARGIN
    for number, (caption, lines) in enumerate(scenes, 1):
        y += LINE
        parts.append(f'<text class="c" x="{MARGIN}" y="{y}">{number}. {escape(caption)}</text>')
        y += 10
        height = LINE * len(lines) + 18
        parts.append(f'<rect x="{MARGIN}" y="{y}" width="{WIDTH - 2 * MARGIN}" height="{height}" rx="6"/>')
        for at, line in enumerate(lines):
            kind = "p" if line.startswith(("$", "❯")) else "t"
            parts.append(f'<text class="{kind}" x="{MARGIN + 14}" y="{y + 22 + LINE * at}">{escape(line)}</text>')
        y += height + 12
    style = (
        f"text{{white-space:pre}}rect{{fill:{DARK}}}.t,.p{{font:{SIZE}px ui-monospace,Menlo,Consolas,monospace}}"
        f".t{{fill:{PAPER}}}.p{{fill:{GREEN}}}.c{{font:15px system-ui,sans-serif;fill:{SOFT}}}"
    )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">'
    return "\n".join([head, f"<style>{style}</style>", *parts, "</svg>"]) + "\n"


async def main() -> None:
    async with serving(Model()) as model:
        with scratch_machine(model) as machine:
            machine.install_anew()
            scenes = await run(machine)
    (DOCS / "closed-session.svg").write_text(drawn(scenes))


if __name__ == "__main__":
    asyncio.run(main())
