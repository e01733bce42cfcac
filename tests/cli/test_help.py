"""What the command says of itself, and how little it costs to ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from postino import cli
from postino.cli.command import OTHER_WORDS

DAEMON = ["up", "down", "status", "serve", "open", "doctor"]
MAIL = ["send", "read", "check", "history", "threads", "dead", "clear", "broadcast", "broadcasts", "watch"]
COMMANDS = [*DAEMON, *MAIL, "agents", "rename", "install", "uninstall", "service", "mcp", "config", "demo", "help"]
HEAVY = {"aiohttp", "redis", "mcp", "msgspec", "structlog", "asyncio", "argparse", "http.client", "ssl", "subprocess"}


@pytest.mark.parametrize("args", [["help"], ["--help"], ["-h"], ["help", "--help"], ["help", "help"]])
def test_help_lists_every_command_and_three_examples(bare, args) -> None:
    text = bare.ok(*args)
    listed = {line.split()[0] for line in text.splitlines() if line.startswith("  ")}
    assert listed >= set(COMMANDS)
    assert text.count("\n  postino ") == 3


def test_no_command_is_a_usage_error_that_shows_the_help(bare) -> None:
    done = bare.run()
    assert (done.code, done.out) == (2, "")
    assert "usage: postino COMMAND" in done.err


def test_the_version(bare) -> None:
    assert bare.ok("--version") == "postino 0.1.0\n"


@pytest.mark.parametrize("command", [each for each in COMMANDS if each != "help"])
def test_every_command_explains_its_options_without_running(bare, command) -> None:
    text = bare.ok(command, "--help")
    assert text.startswith(f"usage: postino {command}")
    assert bare.ok("help", command) == text
    assert not list(bare.home.iterdir())


def test_an_unknown_command_names_the_nearest(bare) -> None:
    assert bare.no(2, "snd", "x") == "there is no command 'snd'; did you mean `postino send`?"
    assert bare.no(2, "\x1b[2J") == "there is no command '\\x1b[2J'; `postino help` lists them"
    assert "frobnicate" in bare.no(2, "help", "frobnicate")


@pytest.mark.parametrize(
    ("word", "meant"),
    [("start", "up"), ("stop", "down"), ("thread", "threads"), ("peek", "read --peek"), ("ack", "done")],
)
def test_another_word_for_a_command_names_that_command(bare, word: str, meant: str) -> None:
    assert bare.no(2, word) == f"there is no command '{word}'; did you mean `postino {meant}`?"


def test_no_other_word_is_a_command_and_each_means_one() -> None:
    commands = {each for group in cli.COMMANDS.values() for each in group}
    words = [each for group in OTHER_WORDS.values() for each in group]
    assert not set(words) & commands
    assert len(words) == len(set(words))
    assert {each.split()[0] for each in OTHER_WORDS} <= commands


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("lost", ["stdout", "stderr"])
def test_a_refusal_that_cannot_be_written_still_is_the_exit_code(unbuffered: str, lost: str) -> None:
    args = ["snd", "--json"] if lost == "stdout" else ["snd"]
    with Path("/dev/full").open("wb") as full:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {lost: full}
        run = subprocess.run(
            [sys.executable, "-m", "postino", *args],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            timeout=20,
            check=False,
            **streams,
        )
    assert (run.returncode, run.stdout or run.stderr or b"") == (2, b"")


def modules_of(*args: str) -> set[str]:
    code = "import sys; from postino.__main__ import main; sys.argv[0] = 'postino'; main(); print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=20, check=True)
    return set(run.stdout.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    found = modules_of("--help")
    assert "postino.cli" in found
    assert not found & HEAVY


@pytest.mark.parametrize("args", [["check", "--agent", "x"], ["up"], ["status"]], ids=lambda args: args[0])
def test_a_small_command_imports_neither_server_nor_store(postino, args) -> None:
    code = "import sys; from postino.cli import main; print(main(sys.argv[1:]), *sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", code, *args],
        env=postino.env,
        capture_output=True,
        text=True,
        check=True,
    )
    found = set(run.stdout.splitlines()[-1].split())
    assert {"0", "postino.client"} <= found
    assert not found & {"aiohttp", "redis", "mcp", "structlog", "asyncio", "subprocess"}


QUICK = {
    "check": ["check", "x"],
    "send": ["send", "x", "hello", "--from", "y"],
    "read": ["read", "x"],
    "broadcast": ["broadcast", "hello"],
    "broadcasts": ["broadcasts", "x"],
}
#: what they need beyond the relay: the name of the function of a command, and the time of a message that is shown
FEW = "datetime, errno, keyword, math"


@pytest.mark.parametrize("command", QUICK)
def test_a_quick_command_imports_little_more_than_the_relay(bare, command: str) -> None:
    postino = bare  # in the shared home, others broadcast bodies that need more than this one to be shown
    postino.serve()
    postino.ok("send", "x", "a message of\n\ttwo lines, so that there is one to show")
    postino.ok("broadcast", "one to show, too")
    relay = imported(postino.env, f"import postino.relay.main, {FEW}")
    code = f"from postino.__main__ import main; sys.argv[1:] = {QUICK[command]}; assert main() == 0"
    found = imported(postino.env, code)

    assert "postino.unix_http" in found
    assert {each for each in found - relay if not each.startswith("postino.")} == set()


def imported(env, code: str) -> set[str]:
    """Return the modules that code imports, without the private ones behind them."""
    program = f"import sys; before = set(sys.modules); {code}; print(); print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return {each for each in done.stdout.splitlines()[-1].split() if not each.startswith("_") and "._" not in each}
