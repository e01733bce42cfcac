"""A command that a Claude Code session runs acts as its agent; what others only say about that is not proved."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from postino.relay.claude_process import start_time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nobody tells which process calls")


CODEX = {
    "protocolVersion": "2025-06-18",
    "capabilities": {},
    "clientInfo": {"name": "codex-mcp-client", "version": "1"},
}


@contextlib.contextmanager
def session(postino: Any, name: str, pid: int, start: int | None, *, codex: str = "") -> Iterator[None]:
    """Join as the relay of a client's process would, and stay until the end; `codex`: its session's id."""
    hello = {"postino": "hello", "session": f"s-{name}", "generation": 1, "name": name}
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(str(postino.home / "daemon.sock"))
        relay.sendall(
            json.dumps(hello | {"claude": {"pid": pid, "start": start}}, separators=(",", ":")).encode() + b"\n"
        )
        relay.settimeout(40)
        assert b'"welcome"' in relay.recv(4096)
        if codex:
            about = {"sessionId": codex, "x-codex-turn-metadata": {"session_id": codex}}
            call = {"name": "msg_whoami", "arguments": {}, "_meta": about}
            for id, (method, params) in enumerate((("initialize", CODEX), ("tools/call", call))):
                line = {"jsonrpc": "2.0", "id": id, "method": method, "params": params}
                relay.sendall(json.dumps(line, separators=(",", ":")).encode() + b"\n")
            _until(relay, b'"id":1')
        yield


def _until(relay: socket.socket, text: bytes) -> None:
    came = b""
    while text not in came:
        came += relay.recv(65536)


@contextlib.contextmanager
def own_session(postino: Any, name: str) -> Iterator[dict[str, str]]:
    """Have a session whose client is this very process; give the variables of its commands."""
    pid = os.getpid()
    with session(postino, name, pid, start_time(pid)):
        yield {"CLAUDE_PID": str(pid)}


def sent(postino: Any, to: str) -> tuple[str, bool, str]:
    """Return sender, whether it is verified, and the face, of the only message of an agent."""
    (item,) = postino.json("read", to, "--peek")["items"]
    return item["from"], item["verified"], item["via"]


def test_a_command_sends_as_the_agent_of_its_session(postino) -> None:
    with own_session(postino, "i1-ada") as inside:
        assert postino.json("whoami", **inside) == {"agent": "i1-ada", "source": "session"}
        assert postino.ok("whoami", **inside) == "i1-ada (the agent of this Claude Code session)\n"
        postino.ok("send", "i1-bob", "hello", **inside)
        postino.ok("send", "i1-eve", "hello", "--from", "i1-mallory", **inside)
        postino.ok("send", "i1-cid", "hello", POSTINO_AGENT_NAME="i1-ci", **inside)
        postino.ok("broadcast", "hello", "--id", "i1-all", **inside)

    assert sent(postino, "i1-bob") == ("i1-ada", True, "cli")
    assert sent(postino, "i1-eve") == ("i1-mallory", False, "cli")
    assert sent(postino, "i1-cid") == ("i1-ci", False, "cli")
    (heard,) = [each for each in postino.json("broadcasts", "--all")["items"] if each["id"] == "i1-all"]
    assert (heard["from"], heard["verified"]) == ("i1-ada", True)
    assert postino.json("whoami", **inside) == {"agent": None, "source": None}


def test_outside_of_a_session_a_command_is_of_a_person_and_in_one_without_a_mailbox_of_nobody(postino) -> None:
    person = postino.json("whoami")["agent"]
    assert postino.json("agents", person)["kind"] == "human"
    assert postino.ok("whoami") == f"{person} (you: agents reach you by this name, or as human)\n"
    assert postino.ok("whoami", CLAUDE_PID="1").startswith("nobody: messages are from anonymous; ")
    assert postino.ok("whoami", POSTINO_AGENT_NAME="i2-bob") == "i2-bob (POSTINO_AGENT_NAME)\n"
    assert postino.json("whoami", CLAUDE_PID="1", CLAUDE_CODE_SESSION_ID="i2") == {"agent": None, "source": None}


def test_a_command_looks_at_the_mail_of_its_session_but_does_not_take_it(postino) -> None:
    with own_session(postino, "i3-ada") as inside:
        postino.ok("send", "i3-ada", "hello")
        assert postino.ok("check", **inside).startswith("i3-ada: 1 unread message, ")
        assert [each["body"] for each in postino.json("read", "--peek", **inside)["items"]] == ["hello"]
        assert postino.json("dead", **inside)["items"] == []

        for name in ({}, {"POSTINO_AGENT_NAME": "i3-ada"}):
            said = postino.no(2, "read", **inside, **name)
            assert said.startswith("this command runs in the session of i3-ada, whose mail the tool msg_read reads")
            assert "msg_broadcasts" in postino.no(2, "broadcasts", **inside, **name)
        assert "agent name missing" in postino.no(2, "clear", **inside)
        assert "agent name missing" in postino.no(2, "dead", "--clear", **inside)
        assert postino.ok("check", **inside).startswith("i3-ada: 1 unread message, ")

        assert [each["body"] for each in postino.json("read", "--agent", "i3-ada", **inside)["items"]] == ["hello"]
        assert postino.ok("check", **inside).startswith("i3-ada: 0 unread messages, ")


def test_a_renamed_session_is_known_by_its_new_name(postino) -> None:
    with own_session(postino, "i4-ada") as inside:
        assert postino.ok("rename", "i4-bob", **inside) == "renamed i4-ada to i4-bob\n"
        assert postino.json("whoami", **inside)["agent"] == "i4-bob"
        postino.ok("send", "i4-cid", "hello", "--from", "i4-ada", **inside)

    assert sent(postino, "i4-cid")[1]


def test_a_process_outside_of_the_session_proves_nothing(postino) -> None:
    with subprocess.Popen(["sleep", "60"]) as client:
        try:
            with session(postino, "i5-ada", client.pid, start_time(client.pid)):
                inside = {"CLAUDE_PID": str(client.pid)}
                assert postino.json("whoami", **inside)["agent"] == "i5-ada"
                postino.ok("send", "i5-bob", "hello", **inside)
        finally:
            client.kill()
    assert sent(postino, "i5-bob") == ("i5-ada", False, "cli")


def test_a_session_that_does_not_say_when_its_client_began_proves_nothing(postino) -> None:
    with session(postino, "i6-ada", os.getpid(), None):
        postino.ok("send", "i6-bob", "hello", CLAUDE_PID=str(os.getpid()))
    assert sent(postino, "i6-bob") == ("i6-ada", False, "cli")


def test_a_process_that_has_the_pid_of_an_earlier_client_is_not_taken_for_it(postino) -> None:
    with session(postino, "i7-ada", os.getpid(), 1):
        postino.ok("send", "i7-bob", "hello", CLAUDE_PID=str(os.getpid()))
    assert sent(postino, "i7-bob") == ("anonymous", False, "cli")


def test_a_session_is_known_by_its_hooks_while_its_relay_is_away(bare) -> None:
    postino = bare  # in the shared home, commands of later tests would be taken for this session's
    postino.serve()
    hook = ["curl", "-sf", "--unix-socket", str(postino.home / "daemon.sock"), "-H", "Content-Type: application/json"]
    hook += ["-H", f"X-Claude-Pid: {os.getpid()}", "-H", "X-Postino-Agent: i8-ada"]
    hook += ["-d", '{"session_id": "i8-session", "source": "startup"}', "http://localhost/api/hooks/SessionStart"]
    subprocess.run(hook, check=True, capture_output=True)
    pid = {"CLAUDE_PID": str(os.getpid())}

    assert postino.json("whoami", **pid) == {"agent": "i8-ada", "source": "session"}
    postino.ok("send", "i8-bob", "hello", **pid)
    assert sent(postino, "i8-bob") == ("i8-ada", True, "cli")


def test_an_older_client_tells_its_commands_the_session_only(postino) -> None:
    with own_session(postino, "i9-ada") as inside:
        hook = ["curl", "-sf", "--unix-socket", str(postino.home / "daemon.sock"), "-H"]
        hook += ["Content-Type: application/json", "-H", f"X-Claude-Pid: {inside['CLAUDE_PID']}"]
        hook += ["-d", '{"session_id": "i9-session", "prompt": "x"}', "http://localhost/api/hooks/UserPromptSubmit"]
        subprocess.run(hook, check=True, capture_output=True)

        postino.ok("send", "i9-bob", "hello", CLAUDE_CODE_SESSION_ID="i9-session")
    assert sent(postino, "i9-bob") == ("i9-ada", True, "cli")


@pytest.mark.parametrize("variable", ["GEMINI_CLI", "OPENCODE"])
def test_a_command_of_another_client_acts_as_the_agent_of_the_process_it_descends_from(postino, variable: str) -> None:
    name = f"i11-{variable[:3].lower()}"
    with own_session(postino, name):
        assert postino.json("whoami") == {"agent": None, "source": None}
        assert postino.ok("whoami", **{variable: "1"}) == f"{name} (the agent of this session)\n"
        postino.ok("send", f"{name}-bob", "hello", **{variable: "1"})
        assert "call that" in postino.no(2, "read", **{variable: "1"})
    assert sent(postino, f"{name}-bob") == (name, True, "cli")
    assert postino.json("whoami", **{variable: "1"}) == {"agent": None, "source": None}


def test_of_the_sessions_of_one_process_of_codex_a_command_only_says_which_is_its_own(postino) -> None:
    pid, start = os.getpid(), start_time(os.getpid())
    with session(postino, "i12-ada", pid, start, codex="i12-first"):
        postino.ok("send", "i12-bob", "hello", CODEX_THREAD_ID="i12-first")
        with session(postino, "i12-eve", pid, start, codex="i12-second"):
            postino.ok("send", "i12-cid", "hello", CODEX_THREAD_ID="i12-first")
            postino.ok("send", "i12-dan", "hello", CODEX_THREAD_ID="i12-second")
            postino.ok("send", "i12-fay", "hello", CODEX_THREAD_ID="i12-other", CLAUDE_PID=str(pid))

    assert sent(postino, "i12-bob") == ("i12-ada", True, "cli")
    assert sent(postino, "i12-cid") == ("i12-ada", False, "cli")
    assert sent(postino, "i12-dan") == ("i12-eve", False, "cli")
    assert sent(postino, "i12-fay") == ("anonymous", False, "cli")


def test_a_command_of_a_session_of_codex_without_a_mailbox_is_not_taken_for_that_of_another(postino) -> None:
    """Codex's server runs the sessions of all terminals, and only one of them is connected here."""
    program = "import subprocess, sys; sys.stdin.readline(); sys.exit(subprocess.call(sys.argv[2:]))"
    for thread, sender, verified in (("i15-other", "anonymous", False), ("i15-first", "i15-ada", True)):
        command = [sys.executable, "-m", "postino", "send", f"{thread}-bob", "hello"]
        env = postino.env | {"CODEX_THREAD_ID": thread}
        with subprocess.Popen(
            [sys.executable, "-c", program, "app-server", *command], env=env, stdin=subprocess.PIPE
        ) as server:
            assert server.stdin is not None
            with session(postino, "i15-ada", server.pid, start_time(server.pid), codex="i15-first"):
                server.stdin.write(b"\n")
                server.stdin.flush()
                assert server.wait(60) == 0
        assert sent(postino, f"{thread}-bob") == (sender, verified, "cli")


def test_of_two_clients_within_one_another_the_inner_one_counts(postino) -> None:
    program = "import subprocess, sys; sys.stdin.readline(); sys.exit(subprocess.call(sys.argv[1:]))"
    with own_session(postino, "i13-outer") as outer:
        command = [sys.executable, "-m", "postino", "send", "i13-bob", "hello"]
        env = postino.env | outer | {"GEMINI_CLI": "1"}
        with subprocess.Popen([sys.executable, "-c", program, *command], env=env, stdin=subprocess.PIPE) as inner:
            assert inner.stdin is not None
            with session(postino, "i13-inner", inner.pid, start_time(inner.pid)):
                inner.stdin.write(b"\n")
                inner.stdin.flush()
                assert inner.wait(60) == 0
    assert sent(postino, "i13-bob") == ("i13-inner", True, "cli")


def test_an_inner_client_whose_relay_is_away_is_not_taken_for_the_outer_one(postino) -> None:
    program = "import os, subprocess, sys; os.environ['CLAUDE_PID'] = str(os.getpid()); "
    program += "sys.exit(subprocess.call(sys.argv[1:]))"
    with own_session(postino, "i14-outer"):
        command = [sys.executable, "-m", "postino", "whoami", "--json"]
        env = postino.env | {"GEMINI_CLI": "1"}
        done = subprocess.run([sys.executable, "-c", program, *command], env=env, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"agent": None, "source": None}
