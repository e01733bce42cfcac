"""postino completion: the real shells, where they are installed, and what they are offered."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from postino.cli import COMMANDS
from postino.cli.command import Command
from postino.cli.completion import parser_of
from postino.config import load

ALL = {name: entry for group in COMMANDS.values() for name, entry in group.items() if name != "help"}


def offered(postino: Any, *words: str) -> list[str]:
    return list(postino.ok("completion", "bash", "--for", *words).splitlines())


def test_what_is_begun_is_completed(postino: Any) -> None:
    for name in ("cp-bob", "cp-bill", "cq-ann"):
        postino.ok("send", name, "hello")
    assert {"send", "serve", "service"} == set(offered(postino, "se"))
    assert set(offered(postino, "")) >= set(ALL)
    assert offered(postino, "send", "cp-") == ["cp-bill", "cp-bob"]
    assert offered(postino, "send", "--from", "cq") == ["cq-ann"]
    assert offered(postino, "send", "--from", "=", "cq") == ["cq-ann"]
    assert offered(postino, "rename", "cp-bo") == ["cp-bob"]
    assert offered(postino, "send", "cp-bob", "") == []
    assert "--thread" in offered(postino, "send", "cp-bob", "--t")
    assert offered(postino, "send", "--thread", "cp") == []
    assert offered(postino, "send", "--", "--t") == []
    assert offered(postino, "token", "re") == ["revoke"]
    assert offered(postino, "token", "create", "ci", "--role", "") == ["publish", "agent", "admin"]
    assert "msg_send" in offered(postino, "watch", "--type", "msg_")
    assert set(offered(postino, "help", "se")) == {"send", "serve", "service"}
    assert offered(postino, "no-such-command", "") == []
    assert "send\tsend a message to an agent, a list of agents or a group" in postino.ok(
        "completion", "fish", "--for", "se"
    )


def test_groups_and_further_recipients_are_completed(postino: Any) -> None:
    for name in ("cg-ann", "cg-bob"):
        postino.ok("groups", "join", "cg-Team", "--agent", name)
    assert offered(postino, "groups", "join", "cg-") == offered(postino, "groups", "members", "cg-T") == ["cg-Team"]
    assert offered(postino, "groups", "leave", "'#cg") == ["#cg-Team"]
    assert offered(postino, "groups", "join", "cg-Team", "--agent", "cg-") == ["cg-ann", "cg-bob"]
    assert offered(postino, "send", "cg-ann,cg-") == ["cg-ann,cg-bob"]
    assert offered(postino, "send", "cg-ann,#") == []  # a group cannot be in a list
    assert [offered(postino, "send", each) for each in ("#cg", "'#cg", "\\#cg")] == [
        ["'#cg-Team'"],  # bash would take a bare # for a comment
        ["#cg-Team"],  # behind the quote that stands there
        ["\\#cg-Team"],
    ]
    assert {"cg-bob", "'#cg-Team'"} <= set(offered(postino, "send", ""))
    assert not any("#" in each for each in offered(postino, "ask", ""))
    assert postino.ok("completion", "fish", "--for", "send", "'#cg") == "#cg-Team\tgroup\n"
    assert postino.ok("completion", "zsh", "--for", "send", "\\#cg") == "#cg-Team\n"


def test_no_daemon_is_started_for_it(bare: Any) -> None:
    assert offered(bare, "send", "") == offered(bare, "groups", "join", "") == offered(bare, "send", "#") == []
    assert "--tail" in offered(bare, "send", "--t")
    assert not list(bare.home.iterdir())


@pytest.mark.parametrize("name", ALL)
def test_every_command_hands_out_its_parser_and_does_nothing(name: str, tmp_path: Any) -> None:
    command = Command("completion", [], "", load({"POSTINO_HOME": str(tmp_path / "home")})[0], {}, colour=False)
    options = {option for action in parser_of(command, name, ALL[name])._actions for option in action.option_strings}
    assert "--help" in options
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_works_in_the_shell(postino: Any, shell: str, tmp_path: Any) -> None:
    script = postino.ok("completion", shell)
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    for name in ("cs-ann", "cs-bob"):
        postino.ok("groups", "join", "cs-team", "--agent", name)
    program = tmp_path / "postino"
    import sys

    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m postino "$@"\n')
    program.chmod(0o755)
    (tmp_path / "script").write_text(script)
    asked = {
        "bash": 'source $0; for w in cs- \'cs-bob,cs-\' "\'#cs"; do COMP_WORDS=(postino send "$w"); COMP_CWORD=2; '
        "_postino postino; echo ${COMPREPLY[@]}; done",
        "zsh": "autoload -U compinit; compinit -u; source $0; compadd() { print -l $found }; CURRENT=3; "
        "for w in cs- 'cs-bob,cs-' '\\#cs'; do words=(postino send $w); _postino; done",
        "fish": "source script; for w in cs- 'cs-bob,cs-' '\\#cs'; complete -C \"postino send $w\" | cut -f1; end",
    }[shell]
    env = postino.env | {"PATH": f"{tmp_path}:{postino.env['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [shell, "-c", asked, "script"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["cs-ann", "cs-bob", "cs-bob,cs-ann", "#cs-team"], done
