"""What the shell gave a command for its input and output, or did not give: nothing is lost in silence."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


def fill(postino, agent: str) -> None:
    """Put more into an inbox than a pipe holds."""
    for _ in range(4):
        postino.ok("send", agent, "x" * 30_000)


def states_of(postino, agent: str) -> list[str]:
    return [item["state"] for item in postino.json("history", "--agent", agent)["items"]]


def unbuffered(postino) -> dict[str, str]:
    return postino.env | {"PYTHONUNBUFFERED": "1"}


def test_an_unbuffered_read_whose_reader_leaves_acknowledges_nothing(postino) -> None:
    fill(postino, "s1-bob")
    with postino.open("read", "s1-bob", env=unbuffered(postino)) as process:
        os.read(process.stdout.fileno(), 10)
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
    assert states_of(postino, "s1-bob") == ["queued"] * 4


@pytest.mark.parametrize("buffered", [True, False])
def test_a_pipe_that_does_not_block_gets_everything(postino, buffered) -> None:
    agent = f"s2-bob{buffered:d}"
    fill(postino, agent)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    env = postino.env if buffered else unbuffered(postino)
    with postino.open("read", agent, "--json", env=env, stdout=writing) as process:
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            items = json.load(pipe)["items"]
        assert process.wait(20) == 0
    assert [len(item["body"]) for item in items] == [30_000] * 4
    assert states_of(postino, agent) == ["acked"] * 4


def test_what_is_printed_unbuffered_comes_line_by_line(postino) -> None:
    with postino.open("watch", "--json", env=unbuffered(postino)) as process:
        assert json.loads(process.stdout.readline())["type"] == "connected"
        process.kill()


def closed(postino, closing: str, *args: str) -> tuple[int, str]:
    """Run a command with streams closed by the shell (`>&-`); return its exit code and what it said on the others."""
    command = ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-m", "postino", *args]
    done = subprocess.run(
        command, env=postino.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    return done.returncode, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_does_its_work(postino, closing) -> None:
    id = f"s3-{closing.count('-')}{closing[0]}".translate(str.maketrans("<>", "io"))
    code, said = closed(postino, closing, "send", "s3-bob", "hello", "--id", id)

    assert (code, "Traceback" in said) == (0, False)
    assert id in [item["id"] for item in postino.json("read", "s3-bob", "--peek")["items"]]


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-"])
def test_a_command_refused_with_a_stream_closed_is_still_exit_2(postino, closing) -> None:
    code, said = closed(postino, closing, "history", "--limit", "0")

    assert code == 2
    assert "Traceback" not in said


def test_a_body_from_a_closed_standard_input_is_refused(postino) -> None:
    assert closed(postino, "<&-", "send", "s4-bob", "-") == (2, "postino: body: standard input is closed\n")


def test_nothing_is_read_where_nobody_could_see_it(postino) -> None:
    postino.ok("send", "s5-bob", "hello")
    postino.ok("broadcast", "to all", "--id", "s5")

    for command in ("read", "broadcasts"):
        code, said = closed(postino, ">&-", command, "s5-bob")
        assert code == 2
        assert said.startswith("postino: standard output is closed")

    assert states_of(postino, "s5-bob")[-1] == "queued"
    assert "s5" in [item["id"] for item in postino.json("broadcasts", "s5-bob")["items"]]
