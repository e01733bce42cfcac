"""postino install --client and its undoing: the files of other clients, byte for byte. No client is needed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from postino.paths import Home

CONFIG = """\
# mine
model = "gpt-9"

[projects."/x"]
trust_level = "trusted" """
SETTINGS = '{\n    // mine\n    "theme": "dark",\n    "hooks": {"AfterTool": [{"hooks": []}],},\n}\n'
HOOKS = '{"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "say done"}]}]}}'
TRUST = """
[hooks.state]

[hooks.state."{hooks}:stop:0:0"]
trusted_hash = "sha256:mine"

[hooks.state."{hooks}:stop:1:0"]
trusted_hash = "sha256:postino's"

[hooks.state."{hooks}:session_start:0:0"]
trusted_hash = "sha256:postino's"
"""


class User:
    """Somebody with a HOME."""

    def __init__(self, home: Home, root: Path) -> None:
        self.root = root
        self.env = {"HOME": str(root), "PATH": os.environ["PATH"], "POSTINO_HOME": str(home.root)}

    def write(self, name: str, text: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def files(self) -> dict[str, bytes]:
        """Return every file in HOME with its content."""
        return {str(each): each.read_bytes() for each in self.root.rglob("*") if each.is_file()}

    def postino(self, *args: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "postino", *args],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == code, done
        return done.stdout + done.stderr


@pytest.fixture
def user(home: Home, tmp_path: Path) -> User:
    """A user with an empty HOME."""
    return User(home, tmp_path)


@pytest.mark.parametrize("client", ["codex", "gemini", "opencode"])
def test_uninstall_leaves_every_file_as_it_was(user: User, client: str) -> None:
    user.write(".codex/config.toml", CONFIG)
    user.write(".codex/hooks.json", HOOKS)
    user.write(".gemini/settings.json", SETTINGS)
    user.write(".config/opencode/opencode.json", "{}")
    before = user.files()

    user.postino("install", "--client", client, "--dry-run")
    assert user.files() == before
    user.postino("install", "--client", client)
    once = user.files()
    user.postino("install", "--client", client)
    assert user.files() == once != before

    assert "have no mailbox" not in user.postino("uninstall", "--client", client, "--dry-run")
    said = user.postino("uninstall", "--client", client).splitlines()[-1]
    assert said.startswith(f"{client} sessions that start from now on have no mailbox. Mail stays in /")
    assert user.files() == before
    again = user.postino("uninstall", "--client", client)
    assert "nothing to do" in again and "have no mailbox" not in again
    assert user.files() == before


@pytest.mark.parametrize("client", ["codex", "gemini", "opencode"])
def test_where_there_was_no_file_there_is_none_afterwards(user: User, client: str) -> None:
    user.postino("install", "--client", client)
    assert user.files()

    user.postino("uninstall", "--client", client)

    assert user.files() == {}


def test_what_the_user_and_codex_changed_meanwhile_stays(user: User) -> None:
    config = user.write(".codex/config.toml", CONFIG)
    hooks = user.write(".codex/hooks.json", HOOKS)
    user.postino("install", "--client", "codex")
    trust = TRUST.format(hooks=hooks)
    later = '\n[mcp_servers.other]\ncommand = "x"\n'
    config.write_text(config.read_text().replace("gpt-9", "gpt-10") + trust + later)
    given = json.loads(hooks.read_text())
    given["hooks"]["Stop"].append({"hooks": [{"type": "command", "command": "say later"}]})
    hooks.write_text(json.dumps(given))

    user.postino("uninstall", "--client", "codex")

    mine = trust[: trust.index('\n[hooks.state."' + f"{hooks}:stop:1:0")]
    assert config.read_text() == CONFIG.replace("gpt-9", "gpt-10") + mine + later
    said = [each["hooks"][0]["command"] for each in json.loads(hooks.read_text())["hooks"]["Stop"]]
    assert said == ["say done", "say later"]


def test_a_client_that_writes_its_file_anew_hides_nothing(user: User) -> None:
    config = user.write(".codex/config.toml", CONFIG)
    file = user.write(".gemini/settings.json", SETTINGS)
    for client in ("codex", "gemini"):
        user.postino("install", "--client", client)
    written = file.read_text().replace("    // mine\n", "").replace(",}", "}").replace(",\n}", "\n}")
    file.write_text(json.dumps(json.loads(written)))
    config.write_text(config.read_text().replace('"mcp"]', '"mcp"] # a comment of mine'))

    for client in ("codex", "gemini"):
        user.postino("uninstall", "--client", client)

    assert json.loads(file.read_text()) == {"theme": "dark", "hooks": {"AfterTool": [{"hooks": []}]}}
    assert "postino" not in config.read_text()
    assert tomllib.loads(config.read_text()) == tomllib.loads(CONFIG)


def test_what_cannot_be_understood_or_is_someone_elses_is_left(user: User) -> None:
    entry = {"mcpServers": {"postino": {"command": "/x/postino", "args": ["mcp"]}}}
    cases: list[tuple[str, str, str, str]] = [
        ("codex", ".codex/config.toml", "a = [", "nothing was changed"),
        ("codex", ".codex/config.toml", '[mcp_servers.postino]\ncommand = "x"\n', "remove it first"),
        ("gemini", ".gemini/settings.json", "{,}", "expected a name; nothing was changed"),
        ("gemini", ".gemini/settings.json", json.dumps(entry), "remove it first"),
        ("opencode", ".config/opencode/plugins/postino.js", "export {}", "remove it first"),
    ]
    for client, name, text, words in cases:
        file = user.write(name, text)
        before = user.files()
        assert words in user.postino("install", "--client", client, code=2)
        assert user.files() == before
        file.unlink()
    assert "--scope is for Claude Code" in user.postino("install", "--client", "codex", "--scope", "user", code=2)


def test_a_bare_install_names_the_other_clients_it_found(user: User) -> None:
    for name in ("codex", "gemini"):
        user.write(f"bin/{name}", "#!/bin/sh\n").chmod(0o755)
    user.env["PATH"] = f"{user.root / 'bin'}:/usr/bin:/bin"
    user.postino("install", "--client", "gemini")

    said = user.postino("install", code=4)

    assert "codex is on PATH, too; `postino install --client codex` sets it up" in said
    assert "--client gemini" not in said and "--client opencode" not in said


def test_the_entries_say_what_the_installation_was_given(user: User) -> None:
    link = user.write("dotfiles/settings.json", "{}")
    (user.root / ".gemini").mkdir()
    (user.root / ".gemini/settings.json").symlink_to(link)
    assert "keep the file private" not in user.postino("install", "--client", "codex", "--agent", "ada")
    user.postino("install", "--client", "gemini", "--ask")

    codex: dict[str, Any] = tomllib.loads((user.root / ".codex/config.toml").read_text())["mcp_servers"]["postino"]
    assert codex["default_tools_approval_mode"] == "approve"
    assert codex["env"] == {"POSTINO_HOME": user.env["POSTINO_HOME"], "POSTINO_AGENT_NAME": "ada"}
    assert codex["env_vars"] == ["CODEX_HOME"]
    assert (user.root / ".gemini/settings.json").is_symlink()
    gemini = json.loads(link.read_text())
    assert "trust" not in gemini["mcpServers"]["postino"]
    user.env["POSTINO_API_TOKEN"] = "hush"
    said = user.postino("install", "--client", "opencode")
    assert "the entry contains POSTINO_API_TOKEN; keep the file private" in said and "hush" not in said
    command = gemini["hooks"]["BeforeAgent"][0]["hooks"][0]["command"]
    assert command.startswith(f"exec env POSTINO_HOME={user.env['POSTINO_HOME']} sh /")
    assert "hook.sh BeforeAgent gemini" in command.replace("'", "")
