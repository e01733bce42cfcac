"""The plugin is what the client takes it for, however it comes to it."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from postino import __version__

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = ROOT / "plugin"


@pytest.mark.parametrize("part", ["plugin", "."])
def test_the_client_finds_nothing_wrong(machine: Any, part: str) -> None:
    found = json.loads(machine.claude("plugin", "validate", str(ROOT / part), "--strict", "--json"))

    assert found["success"] is True
    assert found["manifest"]["errors"] == found["manifest"]["warnings"] == found["contents"] == []


def test_every_hook_runs_a_script_that_is_there() -> None:
    hooks = json.loads((PLUGIN / "hooks/hooks.json").read_text())["hooks"]

    for event, entries in hooks.items():
        for hook in (each for entry in entries for each in entry["hooks"]):
            script, passed = hook["args"]
            assert (hook["type"], hook["command"], passed) == ("command", "sh", event)
            assert (PLUGIN / script.removeprefix("${CLAUDE_PLUGIN_ROOT}/")).is_file()
            assert hook["timeout"] <= 5  # seconds; the script itself takes 1 s at most


def test_plugin_and_package_have_one_version() -> None:
    assert f"\nversion={__version__}\n" in (PLUGIN / "scripts/hook.sh").read_text()
    assert json.loads((PLUGIN / ".claude-plugin/plugin.json").read_text())["version"] == __version__


def test_plugin_marketplace_and_server_have_one_name() -> None:
    market = json.loads((ROOT / ".claude-plugin/marketplace.json").read_text())

    assert market["name"] == market["plugins"][0]["name"] == "postino"
    assert json.loads((PLUGIN / ".claude-plugin/plugin.json").read_text())["name"] == "postino"
    assert list(json.loads((PLUGIN / ".mcp.json").read_text())["mcpServers"]) == ["postino"]


async def test_it_loads_from_a_marketplace_folder(machine: Any, open_tab: Any) -> None:
    machine.install_anew()

    tab = await open_tab()

    assert tab.hooks("SessionStart")[0]["exit_code"] == 0


def test_a_copy_of_an_installation_names_nothing_of_the_one_it_was_copied_from(machine: Any, prepared: Any) -> None:
    machine.install()

    (found,) = json.loads(machine.claude("plugin", "list", "--json"))
    assert Path(found["installPath"]).is_relative_to(machine.root) and Path(found["installPath"]).is_dir()
    files = [each for each in machine.root.rglob("*") if each.is_file()]
    assert not [each for each in files if str(prepared.root).encode() in each.read_bytes()]


async def test_it_loads_from_a_plugin_folder(machine: Any, open_tab: Any) -> None:
    tab = await open_tab("--plugin-dir", str(PLUGIN))

    assert tab.hooks("SessionStart")[0]["exit_code"] == 0


async def test_it_loads_from_a_git_address(machine: Any, open_tab: Any, aiohttp_server: Any) -> None:
    _repository(machine, machine.root / "www/postino.git")
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", _git_over_http(machine))
    server = await aiohttp_server(app)
    address = f"http://127.0.0.1:{server.port}/postino.git"

    await asyncio.to_thread(machine.claude, "plugin", "marketplace", "add", address)
    await asyncio.to_thread(machine.claude, "plugin", "install", "postino@postino")

    tab = await open_tab()
    assert tab.hooks("SessionStart")[0]["exit_code"] == 0


def _repository(machine: Any, place: Path) -> None:
    """Make a git repository of the plugin as it lies here, committed or not."""
    work = machine.root / "work"
    work.mkdir()
    subprocess.run(["cp", "-a", ROOT / ".claude-plugin", PLUGIN, work], check=True)
    who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "all"]):
        subprocess.run(["git", *words], cwd=work, env=machine.env, check=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, place], env=machine.env, check=True)


def _git_over_http(machine: Any) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return git's own server: the client clones shallowly, which files behind plain HTTP cannot give."""

    async def serve(request: web.Request) -> web.Response:
        env = machine.env | {
            "GIT_PROJECT_ROOT": str(machine.root / "www"),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": request.path,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": request.headers.get("Content-Encoding", ""),
        }
        pipe = asyncio.subprocess.PIPE
        git = await asyncio.create_subprocess_exec("git", "http-backend", stdin=pipe, stdout=pipe, env=env)
        said, _ = await git.communicate(await request.read())
        head, _, body = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200").split()[0])
        return web.Response(body=body, status=status, headers=headers)

    return serve


def test_the_client_shows_its_command_under_the_plugins_name(machine: Any) -> None:
    found = json.loads(machine.claude("plugin", "validate", str(PLUGIN), "--strict", "--json"))

    assert found["provides"]["commands"] == ["postino:postino"]
    assert found["provides"]["skills"] == ["postino:coordinator"]


async def test_the_command_is_the_plugins(mailbox: Any, open_tab: Any, model: Any) -> None:
    tab = await open_tab()

    await tab.prompt("/postino:postino send bob hello there")  # the client gives no plugin a command without its name

    assert "The user asks for postino: `send bob hello there`" in model.seen()


def test_the_skill_and_the_command_cost_few_tokens_in_a_session_that_does_not_use_them(machine: Any) -> None:
    machine.install()

    said = machine.claude("plugin", "details", "postino@postino", ANTHROPIC_BASE_URL="http://127.0.0.1:9")

    words = said.split("Always-on:")[1].split()
    assert int(words[0].strip("~")) <= 80
