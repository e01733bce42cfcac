"""A real message down every path that needs no model: did it arrive? Each path has an agent name of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from postino import __version__
from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding, note, ok, skipped, wrong
from postino.cli.program import finished
from postino.client import Client
from postino.daemon.process import DaemonInfo
from postino.errors import AgentBusy, PostinoError, StoreAway, UnknownAgent
from postino.json_text import Json
from postino.paths import folder
from postino.transport import Transport

WAIT_S = 20.0  # for each step of a path
FORGET_S = 10.0  # for an agent to go offline
HOOK_TRIES = 3  # a hook waits 0.8 s only, which a busy machine may exceed


class NotArrived(Exception):
    """The message did not arrive; the text says where it stopped."""


def down_every_path(command: Command, info: DaemonInfo) -> Iterator[Finding]:
    """Send a message down each path and say whether it arrived; then forget the agents that were made for it.

    A store that goes away meanwhile (a full disk) ends it: each further path would only wait until it gives up.
    """
    run = os.urandom(4).hex()
    names = []
    away = False
    for path, send in PATHS.items():
        if path == "tcp" and info.url is None:
            yield skipped("tcp", "TCP is off")
            continue
        names.append(f"doctor-{run}-{path}")
        began = time.monotonic()
        try:
            send(command, info, names[-1])
        except PostinoError as error:
            away = error.code == StoreAway.code
            text = f"the message did not arrive: {error.message if away else sentence(error)}"
            yield wrong(path, str(error.code), text, "" if away else FIXES.get(path, ""))
            if away:
                yield skipped("messages", "the store has gone away")
                break
        except KeyError as error:
            yield wrong(path, "not_arrived", f"the message did not arrive: an answer has no {error}")
        except (NotArrived, OSError, ValueError, subprocess.TimeoutExpired) as error:
            yield wrong(path, "not_arrived", f"the message did not arrive: {error}", FIXES.get(path, ""))
        else:
            yield ok(path, f"a message arrived, {(time.monotonic() - began) * 1000:.0f} ms")
    if left := names if away else forget(command, names):
        yield note("cleanup", "not_forgotten", f"still known: {', '.join(left)}", "`postino agents --forget NAME`")
    else:
        yield ok("cleanup", "the agents of this run are forgotten")


def _cli(command: Command, info: DaemonInfo, name: str) -> None:
    sent = _postino(command, "send", name, "from postino doctor", "--from", name, "--json")
    read = _postino(command, "read", name, "--json")
    _check(sent["id"], read["items"])


def _unix(command: Command, info: DaemonInfo, name: str) -> None:
    with Client(command.settings.home.socket, seconds=WAIT_S) as client:
        _exchange(client, name)


def _tcp(command: Command, info: DaemonInfo, name: str) -> None:
    with Client(str(info.url), token=command.settings.api_token, seconds=WAIT_S) as client:
        _exchange(client, name)


def _exchange(client: Client, name: str) -> None:
    sent = client.send(name, "from postino doctor", sender=name)
    _check(sent["id"], client.read(name, wait=1)["items"])
    client.ack(name, [sent["id"]])


def _events(command: Command, info: DaemonInfo, name: str) -> None:
    transport = Transport(command.settings.home.socket)
    headers = {"User-Agent": f"postino/{__version__}"}
    # 10 s: shorter than the pings' 15 s, so that a stream without the event ends
    with contextlib.closing(transport.events(f"/api/events?agent={name}", headers, 10.0)) as stream:  # type: ignore[type-var]
        if next(stream, None) is None:
            raise NotArrived("the event stream ended at once")
        with Client(command.settings.home.socket, seconds=WAIT_S) as client:
            sent = client.send(name, "from postino doctor", sender=name)
        if not any(each.get("type") == "msg_send" and each.get("id") == sent["id"] for each in stream):
            raise NotArrived("it was sent, but no event came within 10 s")


def _mcp(command: Command, info: DaemonInfo, name: str) -> None:
    program = [sys.executable, "-m", "postino", "mcp"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        program, env=_environ(command, name), cwd="/", stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL
    ) as relay:
        timer = threading.Timer(2 * WAIT_S, relay.kill)
        timer.start()
        try:
            about = {"name": "postino-doctor", "version": __version__}
            _ask(relay, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=about)
            _write(relay, {"jsonrpc": "2.0", "method": "notifications/initialized"})
            sent = _tool(relay, "msg_send", to=name, body="from postino doctor")
            _check(sent["id"], _tool(relay, "msg_read")["messages"])
        finally:
            timer.cancel()
            with contextlib.suppress(OSError):
                relay.stdin.close()  # type: ignore[union-attr]
            try:
                relay.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                relay.kill()


def _tool(relay: subprocess.Popen[bytes], tool: str, /, **arguments: Any) -> Json:
    result = _ask(relay, "tools/call", name=tool, arguments=arguments)
    text = "".join(part.get("text", "") for part in result["content"])
    if result.get("isError"):
        raise NotArrived(f"{tool} answered {text}")
    answer: Json = result.get("structuredContent") or json.loads(text)
    return answer


def _ask(relay: subprocess.Popen[bytes], method: str, /, **params: Any) -> Json:
    id = os.urandom(4).hex()
    _write(relay, {"jsonrpc": "2.0", "id": id, "method": method, "params": params})
    for line in relay.stdout or ():
        answer = json.loads(line)
        if answer.get("id") != id or "method" in answer:
            continue
        if "error" in answer:
            raise NotArrived(f"{method}: {answer['error'].get('message')}")
        result: Json = answer["result"]
        return result
    raise NotArrived(f"`postino mcp` did not answer {method}")


def _write(relay: subprocess.Popen[bytes], message: Json) -> None:
    assert relay.stdin is not None
    relay.stdin.write(json.dumps(message).encode() + b"\n")
    relay.stdin.flush()


def _hook(command: Command, info: DaemonInfo, name: str) -> None:
    """Play a session of Claude Code: the hook of its prompt must tell that a message waits."""
    if shutil.which("curl", path=command.environ.get("PATH")) is None:
        raise NotArrived("curl is not on PATH, and the hooks need it")
    slow = command.settings.home.slow
    if slow.exists() and time.time() - slow.stat().st_mtime < 60:
        raise NotArrived("the daemon was too slow for a hook less than a minute ago; hooks pause for a minute")
    session = f"doctor-{os.urandom(8).hex()}"
    try:
        _run_hook(command, name, session, "SessionStart")
        with Client(command.settings.home.socket, seconds=WAIT_S) as client:
            client.send(name, "from postino doctor", sender=name)
        said = _run_hook(command, name, session, "UserPromptSubmit")
        if "msg_read" not in said:
            raise NotArrived(f"the hook does not tell of it; it printed {said or 'nothing'}")
    finally:
        _run_hook(command, name, session, "SessionEnd", silent=True)


def _run_hook(command: Command, name: str, session: str, event: str, *, silent: bool = False) -> str:
    """Return the text for the model that the hook prints, "" if none; not `silent`: repeated until there is one."""
    said = {"session_id": session, "cwd": "/", "hook_event_name": event, "source": "startup", "prompt": "doctor"}
    slow = command.settings.home.slow
    for _ in range(1 if silent else HOOK_TRIES):
        done = subprocess.run(
            ["sh", str(folder("plugin") / "scripts" / "hook.sh"), event],
            input=json.dumps(said),
            env=_environ(command, name) | {"CLAUDE_PID": str(os.getpid())},
            capture_output=True,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        printed: Json = json.loads(done.stdout) if done.stdout.strip() else {}
        if text := printed.get("hookSpecificOutput", {}).get("additionalContext", ""):
            return str(text)
        if problem := printed.get("systemMessage"):
            raise NotArrived(str(problem))
        slow.unlink(missing_ok=True)  # this run made it: the user's hooks need not pause for it
    return ""


def _postino(command: Command, *args: str) -> Json:
    done = finished([sys.executable, "-m", "postino", *args], _environ(command, None), WAIT_S, "/")
    answer: Json = json.loads(done.stdout) if done.stdout else {}
    if answer.get("code") == StoreAway.code:
        raise StoreAway(f"`postino {args[0]}` failed: {answer['error']}")
    if done.returncode:
        raise NotArrived(f"`postino {args[0]}` failed: {done.stderr.strip()}")
    return answer


def _environ(command: Command, name: str | None) -> dict[str, str]:
    """Return the environment of a process outside of any session of a client; `name`: its agent."""
    own = {key: text for key, text in command.environ.items() if not key.startswith("CLAUDE")}
    own["POSTINO_HOME"] = str(command.settings.home.root)
    own.pop("POSTINO_AGENT_NAME", None)
    return own if name is None else own | {"POSTINO_AGENT_NAME": name}


def _check(id: str, items: list[Json]) -> None:
    if id not in [each["id"] for each in items]:
        raise NotArrived("it was sent, but reading the inbox did not return it")


def forget(command: Command, names: list[str]) -> list[str]:
    """Empty the inboxes and forget the agents; return those that could not be forgotten."""
    left = []
    until = time.monotonic() + FORGET_S
    with Client(command.settings.home.socket, seconds=WAIT_S) as client:
        for name in names:
            try:
                _forget_one(client, name, until)
            except UnknownAgent:
                continue
            except PostinoError:
                left.append(name)
    return left


def _forget_one(client: Client, name: str, until: float) -> None:
    while True:
        client.clear(name)
        client.clear_dead(name)
        try:
            client.forget(name)
            return
        except AgentBusy:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


#: path -> what sends a message to the agent of the given name and sees it arrive
PATHS: dict[str, Callable[[Command, DaemonInfo, str], None]] = {
    "cli": _cli,
    "unix": _unix,
    "tcp": _tcp,
    "events": _events,
    "mcp": _mcp,
    "hook": _hook,
}
FIXES = {"tcp": "check POSTINO_API_TOKEN of this shell and the daemon, and any program between the two"}
