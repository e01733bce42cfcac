"""config and `postino mcp`: what a client needs to start the relay."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import aiohttp
import pytest

from tests.mcp_http import HttpClient
from tests.relays import INITIALIZE

HELLO = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}


def test_the_printed_entry_starts_a_relay_of_this_home_from_anywhere(postino) -> None:
    entry = json.loads(postino.ok("config", "--agent", "c1-bob"))["mcpServers"]["postino"]
    assert entry["env"]["POSTINO_HOME"] == str(postino.home)
    command = [entry["command"], *entry["args"]]
    env = {"PATH": "/usr/bin:/bin"} | entry["env"]
    with subprocess.Popen(command, env=env, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as relay:
        relay.stdin.write(json.dumps(HELLO).encode() + b"\n")
        relay.stdin.flush()
        assert json.loads(relay.stdout.readline())["result"]["serverInfo"]["name"] == "postino"
        assert {"name": "c1-bob", "online": True}.items() <= postino.json("agents", "c1-bob").items()
        relay.stdin.close()
        assert relay.wait(10) == 0


@pytest.mark.parametrize(
    ("client", "entry_of"),
    [
        ("any", lambda text: json.loads(text)["mcpServers"]["postino"]),
        ("vscode", lambda text: json.loads(text)["servers"]["postino"]),
        ("zed", lambda text: json.loads(text)["context_servers"]["postino"]),
        ("cursor", lambda text: json.loads(text)["mcpServers"]["postino"]),
        ("codex", lambda text: tomllib.loads(text)["mcp_servers"]["postino"]),
    ],
)
def test_each_client_gets_its_own_shape_of_the_same_entry(bare, client, entry_of) -> None:
    entry = entry_of(bare.ok("config", "--for", client, "--agent", "bob", POSTINO_MSG_TTL="60"))
    assert entry["args"][-1] == "mcp"
    assert entry["env"].items() >= {"POSTINO_AGENT_NAME": "bob", "POSTINO_MSG_TTL": "60"}.items()


def test_opencode_and_codex_get_what_only_they_need(bare) -> None:
    opencode = json.loads(bare.ok("config", "--client", "opencode", "--agent", "bob"))["mcp"]["postino"]
    assert (opencode["type"], opencode["command"][-1], opencode["enabled"]) == ("local", "mcp", True)
    assert opencode["environment"]["POSTINO_AGENT_NAME"] == "bob"
    codex = tomllib.loads(bare.ok("config", "--client", "codex"))["mcp_servers"]["postino"]
    assert codex["env_vars"] == ["POSTINO_AGENT_NAME", "CODEX_HOME"]
    assert codex["default_tools_approval_mode"] == "approve"


async def test_the_entry_with_a_url_reaches_the_daemon_under_its_name(postino) -> None:
    postino.ok("up")
    shapes = {
        "any": lambda text: json.loads(text)["mcpServers"]["postino"],
        "claude": lambda text: json.loads(text)["mcpServers"]["postino"],
        "gemini": lambda text: json.loads(text)["mcpServers"]["postino"],
        "opencode": lambda text: json.loads(text)["mcp"]["postino"],
        "codex": lambda text: tomllib.loads(text)["mcp_servers"]["postino"],
    }
    async with aiohttp.ClientSession() as http:
        for client, entry_of in shapes.items():
            entry = entry_of(postino.ok("config", "--http", "--client", client, "--agent", f"h-{client}"))
            url = entry.get("httpUrl") or entry["url"]
            headers = entry.get("http_headers") or entry["headers"]
            session = await HttpClient(http, url, **headers).open()
            assert (await session.call("msg_whoami"))["agent"] == f"h-{client}"


def test_the_entry_with_a_url_comes_from_the_settings_where_no_daemon_runs(bare) -> None:
    done = bare.run("config", "--http", POSTINO_WEB_PORT="4444", POSTINO_API_TOKEN="t0")
    entry = json.loads(done.out)
    assert "POSTINO_API_TOKEN; keep it private" in done.err
    assert entry["mcpServers"]["postino"] == {
        "url": "http://127.0.0.1:4444/mcp",
        "headers": {"Authorization": "Bearer t0"},
    }
    assert "POSTINO_WEB_ENABLED" in bare.no(2, "config", "--http", POSTINO_WEB_ENABLED="false")


@pytest.mark.parametrize("linked", [True, False])
def test_claude_gets_the_plain_command_where_path_finds_this_very_one(bare, tmp_path, linked) -> None:
    script = Path(sys.executable).with_name("postino")
    if linked:
        (tmp_path / "postino").symlink_to(script)  # as pipx and uv do
    else:
        (tmp_path / "postino").write_text("#!/bin/sh\n")  # another one
        (tmp_path / "postino").chmod(0o755)
    path = f"{tmp_path}:/usr/bin:/bin"

    def command(client: str, **env: str) -> str:
        return json.loads(bare.ok("config", "--client", client, **env))["mcpServers"]["postino"]["command"]

    assert command("claude", PATH=path) == ("postino" if linked else str(script))
    assert command("claude", PATH="/nowhere") == str(script)
    assert command("any", PATH=path) == str(script)


def test_config_starts_nothing_and_names_no_agent_of_this_shell(bare) -> None:
    assert "POSTINO_AGENT_NAME" not in bare.ok("config", POSTINO_AGENT_NAME="me")
    assert not list(bare.home.iterdir())


def test_the_file_of_a_secret_is_passed_on_without_its_content(bare) -> None:
    file = bare.home / "token"
    file.write_text("hush\n")

    done = bare.run("config", POSTINO_API_TOKEN_FILE=str(file))

    assert json.loads(done.out)["mcpServers"]["postino"]["env"]["POSTINO_API_TOKEN_FILE"] == str(file)
    assert "hush" not in done.out
    assert done.err == ""


def test_a_secret_in_the_entry_is_pointed_out(bare) -> None:
    done = bare.run("config", POSTINO_API_TOKEN="hush")
    assert json.loads(done.out)["mcpServers"]["postino"]["env"]["POSTINO_API_TOKEN"] == "hush"
    assert done.err == "postino: the entry contains POSTINO_API_TOKEN; keep it private\n"


@pytest.mark.parametrize(
    "args",
    [
        ["config", "--for", "emacs"],
        ["config", "--agent", "a b"],
        ["config", "x"],
        ["config", "--client", "codex", "--json"],
        ["mcp", "x"],
    ],
)
def test_bad_usage_is_exit_2(bare, args) -> None:
    bare.no(2, *args)
