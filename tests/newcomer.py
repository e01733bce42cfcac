"""The first minutes of a new user, timed: `python -m tests.newcomer [uv|pipx]`, as root, on a machine with network.

In a fresh account whose Python is externally managed: install as README.md says, give Claude Code (CLAUDE_BINARY) a
mailbox, write to a session by curl, let its scripted model read the message, and ask the doctor. Each command is one of
README.md, run in a login shell of its own. UV and PIPX name these programs if they are not on PATH. The account is
removed at the end. It is no test of the suite: it installs from the package index, which takes as long as that takes.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
USER = "po-newcomer"
INSTALL = {"uv": "uv tool install .", "pipx": "pipx install ."}
PYTHON = {"uv": ".local/share/uv/tools/postino/bin/python", "pipx": ".local/share/pipx/venvs/postino/bin/python"}
SEND = """curl localhost:3333/api/messages -H 'Content-Type: application/json' \\
       -d '{"to": "reviewer", "from": "ci", "body": "Build 812 is green."}'"""
README = (ROOT / "README.md").read_text()


def main(tool: str) -> int:
    """Make the account, run the commands in it, and remove it."""
    program = os.environ.get(tool.upper()) or shutil.which(tool)
    claude = os.environ.get("CLAUDE_BINARY") or shutil.which("claude")
    if os.getuid() or not program or not claude:
        raise SystemExit(f"this needs root, {tool} and Claude Code: set {tool.upper()} and CLAUDE_BINARY")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run(["useradd", "-m", "-s", "/bin/bash", USER], check=True)
    try:
        home = Path(pwd.getpwnam(USER).pw_dir)
        _prepare(home, {tool: program, "claude": claude})
        began = time.monotonic()
        _refused(port)
        _step(INSTALL[tool], port)
        _step("postino install", port)
        inside = time.monotonic()
        _run(f"~/{PYTHON[tool]} -m tests.newcomer --session", port, 200)
        print(
            f"\nfrom nothing to a message read and a green doctor: {time.monotonic() - began:.1f} s, "
            f"of which {inside - began:.1f} s to install"
        )
    finally:
        subprocess.run(["pkill", "-KILL", "-U", USER], check=False)  # all that ever ran as this account, made here
        subprocess.run(["userdel", "-r", USER], check=False, capture_output=True)
    return 0


def _prepare(home: Path, programs: dict[str, str]) -> None:
    """Give the account the tracked files of this checkout, and the programs that a user has already."""
    (home / "postino").mkdir()
    (home / "bin").mkdir()
    files = subprocess.run(["git", "-C", ROOT, "archive", "HEAD"], check=True, capture_output=True).stdout
    subprocess.run(["tar", "x", "-C", home / "postino"], input=files, check=True)
    for name, program in programs.items():
        (home / "bin" / name).symlink_to(program)
    subprocess.run(["chown", "-R", f"{USER}:", home], check=True)


def _run(command: str, port: int, lines: int = 8) -> str:
    """Run a command in a login shell of the account; show the end of what it prints, and return all of it."""
    settings = {"POSTINO_WEB_PORT": str(port), "UV_SYSTEM_CERTS": "1", "PIP_QUIET": "1", "USE_EMOJI": "0"}
    exports = "".join(f"export {name}={text}; " for name, text in settings.items())
    shell = ["su", "-", USER, "-c", f"{exports}cd postino && {command}"]
    done = subprocess.run(shell, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    sys.stdout.write("".join(f"    {line}\n" for line in done.stdout.splitlines()[-lines:]))
    sys.stdout.flush()
    if done.returncode:
        raise SystemExit(f"{command} failed with exit code {done.returncode}")
    return done.stdout


def _step(command: str, port: int) -> str:
    assert command in README, f"README.md does not have {command}"
    print(f"\n$ {command}", flush=True)
    began = time.monotonic()
    said = _run(command, port)
    print(f"    ({time.monotonic() - began:.1f} s)", flush=True)
    return said


def _refused(port: int) -> None:
    """Show that this is a Python into which pip does not install."""
    said = _run("python3 -m pip install . 2>&1 | head -n 1; true", port)
    if "externally-managed-environment" not in said:
        print("    (this Python is not externally managed: the run shows less)", flush=True)


async def session() -> None:
    """Within the account: open a session, write to it, let it read, ask the doctor."""
    from tests.hooks.machine import TOOL, Machine
    from tests.hooks.model import Model
    from tests.scripted.model import serving

    home = Path.home()
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    async with serving(Model()) as model:
        here = {"PATH": os.environ["PATH"], "POSTINO_HOME": "", "POSTINO_WEB_PORT": os.environ["POSTINO_WEB_PORT"]}
        machine = Machine(root=home, binary=str(shutil.which("claude")), model=model, extra=here)
        tab = await machine.open(allowed="", POSTINO_AGENT_NAME="reviewer")
        print("\n$ POSTINO_AGENT_NAME=reviewer claude", flush=True)
        print(f"    {tab.said('SessionStart')[-1]}")
        try:
            sent = await asyncio.to_thread(_send, machine)
            model.script([(f"{TOOL}read", {})], "Build 812 is green.")
            said = await tab.prompt("What is in my mail?")
            read = json.loads(model.answers()[-1])
            assert [each["body"] for each in read["messages"]] == ["Build 812 is green."], read
            print(f"\n> What is in my mail?\n    msg_read: {read['messages'][0]['body']}\n    the model says: {said}")
            state = await asyncio.to_thread(machine.run, "curl", "-s", f"{_url()}/reviewer/{sent}")
            print(f"    the sender sees: {json.loads(state)['state']}", flush=True)
            assert json.loads(state)["state"] == "acked"
            print(f"\n$ postino doctor\n{await asyncio.to_thread(machine.run, 'postino', 'doctor')}", flush=True)
        finally:
            await tab.close()
        machine.run("postino", "down")


def _url() -> str:
    return f"http://localhost:{os.environ['POSTINO_WEB_PORT']}/api/messages"


def _send(machine: Any) -> str:
    assert SEND in README, "README.md does not have the command of CI"
    words = shlex.split(SEND.replace("localhost:3333/api/messages", _url()).replace("\\\n", ""))
    said = machine.run(*words)
    print(f"\n$ {SEND}\n    {said.strip()}", flush=True)
    return str(json.loads(said)["id"])


if __name__ == "__main__":
    if sys.argv[1:] == ["--session"]:
        asyncio.run(session())
    else:
        raise SystemExit(main(*(sys.argv[1:] or ["uv"])))
