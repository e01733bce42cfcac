"""The official conformance suite and the Inspector, both from npm, against /mcp of a real daemon."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.daemons import Daemon

CONFORMANCE, INSPECTOR = os.environ.get("MCP_CONFORMANCE"), os.environ.get("MCP_INSPECTOR")
#: of what postino offers; the others need tools of their own in the server
SCENARIOS = (
    "server-initialize",
    "ping",
    "tools-list",
    "resources-list",
    "prompts-list",
    "completion-complete",
    "server-sse-multiple-streams",
    "dns-rebinding-protection",
)
TIMEOUT_S = 100


def run(program: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a program from npm, with the node that was installed beside it, if one was."""
    node = Path(program).with_name("node")
    command = [str(node) if node.exists() else "node", str(Path(program).resolve()), *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


@pytest.mark.skipif(not CONFORMANCE, reason="MCP_CONFORMANCE does not name the conformance suite's program")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_conformance_suite_passes(served: Daemon, scenario: str) -> None:
    assert CONFORMANCE is not None
    ran = run(CONFORMANCE, "server", "--url", f"{served.url}/mcp", "--scenario", scenario)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 failed" in ran.stdout


@pytest.mark.skipif(not INSPECTOR, reason="MCP_INSPECTOR does not name the Inspector's program")
def test_the_inspector_lists_and_calls_tools(served: Daemon) -> None:
    assert INSPECTOR is not None
    url = [f"{served.url}/mcp", "--transport", "http"]
    listed = run(INSPECTOR, "--cli", *url, "--method", "tools/list", "--format", "json")
    assert listed.returncode == 0, listed.stderr
    assert "msg_send" in [each["name"] for each in json.loads(listed.stdout)["result"]["tools"]]

    sent = run(
        INSPECTOR,
        "--cli",
        *(*url, "--header", "X-Postino-Agent: inspector", "--method", "tools/call", "--tool-name", "msg_send"),
        *("--tool-arg", "to=bob", "--tool-arg", "body=from the Inspector", "--format", "json"),
    )
    assert sent.returncode == 0, sent.stderr
    (message,) = served.asked("messages/bob")["items"]
    assert (message["from"], message["verified"], message["body"]) == ("inspector", False, "from the Inspector")
