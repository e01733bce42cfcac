"""postino install and uninstall, with the real client: once, twice, undone, and where there is no client."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = "mcp__plugin_postino_postino__msg_"
MARKET = ["claude", "plugin", "marketplace", "add"]


@pytest.fixture
def user(machine: Any) -> Any:
    """The machine with `claude` on PATH."""
    tools = machine.root / "bin"
    tools.mkdir()
    (tools / "claude").symlink_to(machine.binary)
    machine.extra["PATH"] = f"{tools}:{machine.env['PATH']}"
    machine.extra["ANTHROPIC_BASE_URL"] = machine.model.url
    return machine


def installed(machine: Any) -> list[tuple[str, bool]]:
    found = json.loads(machine.claude("plugin", "list", "--json"))
    return [(each["scope"], each["enabled"]) for each in found if each["id"] == "postino@postino"]


def settings(machine: Any) -> dict[str, Any]:
    """Return what the user's settings say, empty members left out."""
    file = machine.root / ".claude/settings.json"
    said = json.loads(file.read_text()) if file.exists() else {}
    return {name: value for name, value in said.items() if value}


@pytest.mark.parametrize(
    "client", ["CLAUDE_BINARY", *(["CLAUDE_OLD_BINARY"] if os.environ.get("CLAUDE_OLD_BINARY") else [])]
)
async def test_from_install_to_uninstall(user: Any, open_tab: Any, model: Any, client: str) -> None:
    if client == "CLAUDE_OLD_BINARY":  # 2.1.197 does all but wake
        user.binary = os.environ[client]
        (user.root / "bin/claude").unlink()
        (user.root / "bin/claude").symlink_to(user.binary)
    said = user.postino("install")
    assert said.splitlines()[0].startswith("claude plugin marketplace add /")
    assert "userConfig" not in said and said.count("  ✔ ") == 2  # the client's success, not its hint about options
    assert installed(user) == [("user", True)]

    user.postino("up")
    tab = await open_tab()
    assert await tab.whoami() == tab.agent()
    await tab.close()

    user.postino("uninstall")
    assert (installed(user), settings(user)) == ([], {})


async def test_a_postino_that_only_this_shell_finds_is_found_by_every_session(user: Any, open_tab: Any) -> None:
    environment = Path(sys.executable).parent
    done = user.run("sh", "-c", f"{environment}/postino install 2>&1", VIRTUAL_ENV=str(environment.parent))
    assert f"`postino` is not on the PATH of new terminals; the plugin uses {environment}/postino" in done

    user.postino("up")  # a start within a hook's second would be luck on a busy machine
    user.extra["PATH"] = f"{user.root}/bin:/usr/bin:/bin"
    assert "postino" not in user.run("sh", "-c", "command -v postino; true")
    tab = await open_tab()
    assert await tab.whoami() == tab.agent()
    await tab.close()

    user.extra["PATH"] += f":{environment}"
    user.postino("install")
    assert settings(user)["pluginConfigs"]["postino@postino"]["options"] == {"command": "postino"}
    user.postino("uninstall")
    assert (installed(user), settings(user)) == ([], {})


def test_a_client_that_is_too_old_is_named_with_what_is_needed(user: Any) -> None:
    (user.root / "bin/claude").unlink()
    (user.root / "bin/claude").write_text(
        "#!/bin/sh\n[ $1 = --version ] && echo '2.1.138 (Claude Code)' && exit\necho ran >&2"
    )
    (user.root / "bin/claude").chmod(0o755)

    said = user.run("sh", "-c", f"{sys.executable} -m postino install 2>&1", code=4)

    assert "Claude Code 2.1.138 is too old for postino's hooks, which need 2.1.139; run `claude update`" in said
    assert "ran" not in said and "marketplace" not in said


def test_twice_is_as_good_as_once(user: Any) -> None:
    user.postino("install")
    first = settings(user)

    user.postino("install")
    assert (installed(user), settings(user)) == ([("user", True)], first)

    said = user.postino("uninstall").splitlines()[-1]
    assert said.startswith("Claude Code sessions that start from now on have no mailbox.")
    assert user.postino("uninstall") == "The plugin is not installed.\n"


def test_other_settings_of_the_user_stay(user: Any) -> None:
    file = user.root / ".claude/settings.json"
    file.parent.mkdir()
    file.write_text('{"model": "opus", "enabledPlugins": {"x@y": false}}')

    user.postino("install", "--agent", "bob")
    user.postino("uninstall")

    assert settings(user) == {"model": "opus", "enabledPlugins": {"x@y": False}}


async def test_a_name_holds_for_hooks_and_mailbox_and_can_be_changed(user: Any, open_tab: Any) -> None:
    user.postino("install", "--agent", "bob")
    user.postino("install", "--agent", "bea")
    user.serve()

    tab = await open_tab()

    assert await tab.whoami() == tab.agent() == "bea"


async def test_with_ask_the_dialogs_stay_until_they_are_taken_back(user: Any, open_tab: Any, model: Any) -> None:
    user.serve()
    send = [(f"{TOOL}send", {"to": "ann", "body": "x", "id": "m1"})]
    for option, sent in (("--ask", []), ("--no-ask", ["m1"])):
        user.postino("install", option)
        tab = await open_tab(allowed="Bash")
        model.script(send)
        await tab.prompt("write to ann")
        await tab.close()
        assert [each["id"] for each in user.data("read", "--agent", "ann", "--peek")["items"]] == sent


async def test_the_environment_is_stronger_than_an_installed_name(user: Any, open_tab: Any) -> None:
    user.postino("install", "--agent", "bob")
    user.serve()

    tab = await open_tab(POSTINO_AGENT_NAME="cid")

    assert await tab.whoami() == tab.agent() == "cid"


@pytest.mark.parametrize("scope", ["project", "local"])
def test_a_scope_is_that_projects_and_uninstall_finds_it_from_anywhere(user: Any, scope: str) -> None:
    user.postino("install", "--scope", scope)
    assert installed(user) == [(scope, True)]

    user.postino("uninstall", cwd=user.root)

    assert installed(user) == []


def test_a_project_that_was_deleted_is_no_obstacle(user: Any) -> None:
    project = user.root / "deleted"
    project.mkdir()
    user.postino("install", "--scope", "project", cwd=project)
    user.postino("install")
    user.run("rm", "-r", str(project))

    user.postino("uninstall")

    assert (installed(user), settings(user)) == ([], {})


@pytest.mark.parametrize(
    ("client", "word"),
    [
        ("#!/no/such/node\n", "cannot be run"),
        ("#!/bin/sh\necho '{}'\n", "printed no list"),
        ("#!/bin/sh\necho gone wrong >&2; exit 1\n", "it printed: gone wrong"),
    ],
)
def test_a_client_that_cannot_be_asked_is_no_client_without_the_plugin(user: Any, client: str, word: str) -> None:
    link = user.root / "bin/claude"
    link.unlink()
    link.write_text(client)
    link.chmod(0o755)

    said = user.run("sh", "-c", f"{sys.executable} -m postino uninstall 2>&1", code=4)

    assert word in said and "not installed" not in said


def test_one_scope_can_be_taken_out_alone(user: Any) -> None:
    user.postino("install")
    user.postino("install", "--scope", "local")

    user.postino("uninstall", "--scope", "local")
    assert installed(user) == [("user", True)]

    assert user.postino("uninstall", "--scope", "project") == "The plugin is not installed there.\n"


def test_a_dry_run_says_all_and_does_nothing(user: Any) -> None:
    said = user.postino("install", "--dry-run", "--agent", "bob")

    first, second = said.splitlines()
    assert first.split()[:4] == MARKET
    assert second == "claude plugin install postino@postino --scope user --config agent_name=bob"
    assert installed(user) == []

    user.postino("install")
    assert "claude plugin uninstall postino@postino --scope user" in user.postino("uninstall", "--dry-run")
    assert installed(user) == [("user", True)]


def test_a_copy_that_has_moved_is_found_again(user: Any) -> None:
    old = user.root / "old"
    old.mkdir()
    user.run("cp", "-RL", str(ROOT / "plugin"), str(ROOT / ".claude-plugin"), str(old))
    user.claude("plugin", "marketplace", "add", str(old))
    user.claude("plugin", "install", "postino@postino")
    user.run("rm", "-r", str(old))

    user.postino("install")

    found = json.loads(user.claude("plugin", "list", "--json"))
    assert [Path(each["readFromFolder"]).is_dir() for each in found] == [True]


def test_without_the_client_it_prints_the_steps_and_fails(machine: Any) -> None:
    said = machine.postino("install", code=4)
    first, second = said.splitlines()

    assert first.split()[:4] == MARKET
    assert (Path(first.split()[4]) / ".claude-plugin/marketplace.json").is_file()
    assert second == "claude plugin install postino@postino --scope user"
    assert machine.postino("uninstall", code=4).splitlines() == [
        "claude plugin uninstall postino@postino",
        "claude plugin marketplace remove postino",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["--agent", "a b"],
        ["--agent", "all"],
        ["--agent", "bob", "--scope", "local"],
        ["--agent", "bob", "--scope", "project"],
        ["--ask", "--scope", "local"],
        ["--scope", "moon"],
        ["now"],
    ],
)
def test_bad_words_are_refused(user: Any, words: list[str]) -> None:
    assert user.postino("install", *words, code=2) == ""
    assert not (user.root / ".claude").exists(), "nothing is installed"
