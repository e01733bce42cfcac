"""A relay belongs to the Claude process above it, not to whatever its environment names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

ASK = [
    sys.executable,
    "-c",
    "import json; from postino.relay.claude_process import claude_process as c; print(json.dumps(c()))",
]
SHELL = ["sh", "-c", '"$@"; exit $?', "sh"]  # stays between, as a launcher does

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of ancestors in /proc")


def ask(*launcher: str, **env: str) -> dict[str, Any]:
    known = {"PATH": os.environ["PATH"], "CLAUDE_CODE_SESSION_ID": "c-1"}
    done = subprocess.run([*launcher, *ASK], env=known | env, capture_output=True, check=True)
    return dict(json.loads(done.stdout))


def socket_of(pid: int) -> dict[str, str]:
    return {"CLAUDE_CODE_MESSAGING_SOCKET": f"/run/cc-socks/{pid}.sock"}


def test_the_parent_whose_socket_it_is() -> None:
    found = ask(**socket_of(os.getpid()))

    assert (found["pid"], found["session_id"]) == (os.getpid(), "c-1")
    assert found["socket"] == f"/run/cc-socks/{os.getpid()}.sock"
    assert found["start"] > 0


@pytest.mark.parametrize("launchers", [1, 3])
def test_a_launcher_in_between_changes_nothing(launchers: int) -> None:
    assert ask(*SHELL * launchers, **socket_of(os.getpid())) == ask(**socket_of(os.getpid()))


def test_a_client_in_the_shell_of_a_session_is_not_that_session() -> None:
    found = ask(*SHELL, **socket_of(os.getpid()), CLAUDE_CODE_CHILD_SESSION="1")

    assert found["pid"] != os.getpid()
    assert (found["socket"], found["session_id"]) == (None, None)


def test_a_session_that_another_one_started_is_itself() -> None:
    found = ask(**socket_of(os.getpid()), CLAUDE_CODE_CHILD_SESSION="1")

    assert (found["pid"], found["session_id"]) == (os.getpid(), "c-1")


@pytest.mark.parametrize("name", ["999999999", "x", "", "1;2"])
def test_a_socket_of_no_ancestor_is_nobodys(name: str) -> None:
    found = ask(CLAUDE_CODE_MESSAGING_SOCKET=f"/run/cc-socks/{name}.sock")

    assert found["pid"] == os.getpid()
    assert name.isdigit() <= (found["socket"] is None)


def test_without_a_socket_the_parent_is_taken() -> None:
    found = ask()

    assert (found["pid"], found["socket"]) == (os.getpid(), None)
