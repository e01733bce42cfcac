"""What the shell gave a command for its input and output, or did not give: nothing is lost in silence."""

from __future__ import annotations

import json
import os

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
