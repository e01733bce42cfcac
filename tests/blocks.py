"""The fenced blocks of the documents, and a shell that runs their commands as a reader would, in a fresh HOME.

A block ```console is run; its output has to be what stands there. What differs from run to run (times, ids, tokens, the
port, HOME) is compared as what it is, and `...` stands for anything. A comment before a block says what is different:
`<!-- not run: WHY -->`, or `<!-- endless -->` for one whose last command goes on until it is interrupted.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from postino.paths import Home

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 60
ENDLESS_S = 1.5  # how long an endless command has to print what stands there
ENDED = 124
_BLOCK = re.compile(r"^(?:<!-- (?P<note>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_GOES_ON = ("\\", "|", "&&")
#: what differs from run to run, and what it is compared as
_TOKEN, _ID = r"po_[0-9a-f]{8}_[\w-]{43}", r"\b[0-9a-f]{32}\b"
_VARIABLE = (
    (r"(?m)^postino: the daemon(?: \(pid \d+\))? is still starting; .*\n", ""),  # said after 15 s, on a busy machine
    (_TOKEN, "TOKEN"),
    (_ID, "ID"),
    (r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b\d{13}-\d+(?:\b|(?=[eh]\d))", "ENTRY"),
    (r"\bjust now\b|\b\d+ (?:s|min|h|days?) ago\b", "AGO"),
    (r"offline for (?:less than a minute|\d+ \w+)", "offline for TIME"),
    (r'(?<="version":")[^"]+', "VERSION"),
    (r"\bpid \d+\b", "pid PID"),
    (r"\b\d+ ms\b", "N ms"),
)


class Block(NamedTuple):
    """A fenced block of a document."""

    file: Path
    line: int
    kind: str
    note: str
    text: str

    def commands(self) -> list[tuple[str, str]]:
        """Return the commands of a console block, each with the output that stands below it."""
        found: list[tuple[str, str]] = []
        going_on = False
        for line in self.text.splitlines(keepends=True):
            if going_on:
                found[-1] = (found[-1][0] + line, "")
            elif line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                assert found, f"{self.file.name}:{self.line}: output before the first command"
                found[-1] = (found[-1][0], found[-1][1] + line)
                continue
            going_on = line.rstrip().endswith(_GOES_ON)
        return found


def blocks(file: Path) -> list[Block]:
    """Return the fenced blocks of a document, in order."""
    text = file.read_text()
    return [
        Block(file, text.count("\n", 0, found.start()) + 1, found["kind"], found["note"] or "", found["text"])
        for found in _BLOCK.finditer(text)
    ]


@dataclass
class Shell:
    """Runs commands one after the other; variables and the directory stay as the one before left them."""

    root: Path
    known: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.home / ".config").mkdir(parents=True)
        (self.home / ".curlrc").write_text("silent\nshow-error\n")  # as on a terminal, without the meter of a pipe
        (self.root / "bin").mkdir()
        for name, script in (("postino", f'exec "{sys.executable}" -m postino "$@"'), ("codex", ":")):
            (self.root / "bin" / name).write_text(f"#!/bin/sh\n{script}\n")
            (self.root / "bin" / name).chmod(0o755)
        (self.root / "variables").write_text("")
        (self.root / "directory").write_text(str(self.home))

    @property
    def home(self) -> Path:
        """HOME; the mailroom is `.postino` in it, as for a reader."""
        return self.root / "home"

    @property
    def port(self) -> str:
        """The port of the daemon that was started last; in the documents it is 3333."""
        info = Home(self.home / ".postino").info
        return str(json.loads(info.read_text())["url"]).rpartition(":")[2] if info.exists() else "3333"

    def start(self) -> None:
        """Start the daemon, on a free port."""
        code, said = self.run("postino up\n")
        assert code == 0, said

    def run(self, command: str, seconds: float = TIMEOUT_S) -> tuple[int, str]:
        """Run a command; return its exit code (ENDED: it had to be ended) and all that it printed."""
        for shown, real in self.known.items():
            command = command.replace(shown, real)
        command = command.replace(":3333", f":{self.port}")
        script = f'. "$S/variables"; cd "$(cat "$S/directory")"\n{{ {command}\n}}\ncode=$?\n'
        script += 'export -p >"$S/variables"; pwd >"$S/directory"; exit $code'
        kept = {"PATH": f"{self.root}/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"}
        env = kept | {"HOME": str(self.home), "S": str(self.root), "POSTINO_WEB_PORT": "0", "TERM": "dumb"}
        env |= {"POSTINO_HUMAN_NAME": "robert"}
        with subprocess.Popen(
            ["bash", "-c", script],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                printed, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGTERM)
                return ENDED, process.communicate(timeout=TIMEOUT_S)[0]
        return process.returncode, printed

    def alike(self, shown: str, printed: str) -> bool:
        """Tell whether what was printed is what a document shows; ids and tokens in it may be in later commands."""
        for pattern in (_TOKEN, _ID):
            self.known |= dict(zip(re.findall(pattern, shown), re.findall(pattern, printed), strict=False))
        pattern = re.escape(_plain(shown)).replace(r"\.\.\.", ".*?")
        return bool(re.fullmatch(pattern, _plain(self._elsewhere(printed)), re.DOTALL))

    def _elsewhere(self, printed: str) -> str:
        return re.sub(rf":{self.port}\b", ":3333", printed.replace(str(self.home), "/home/ada"))


def _plain(text: str) -> str:
    for pattern, name in _VARIABLE:
        text = re.sub(pattern, name, text)
    return text.strip("\n")
