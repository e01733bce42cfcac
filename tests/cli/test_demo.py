"""The demo is what a newcomer believes: it must be true, quick, and leave nothing."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from tests.processes import processes_of
from tests.waiting import until


def nothing_left(folder: str) -> bool:
    until(lambda: not processes_of(folder) and not Path(folder).exists(), "it has cleaned up", 5)
    return True


def test_the_demo_tells_the_whole_story_and_leaves_nothing(bare) -> None:
    text = bare.ok("demo", POSTINO_AGENT_NAME="someone", POSTINO_VALKEY_URL="redis://127.0.0.1:1")
    for word in (
        "msg_send to bob: accepted, and on disk",
        "is killed (kill -9)",
        "msg_read: from ada, redelivered: delivery 2",
        "msg_read: from ci, not verified",
        "msg_broadcasts: from ada",
        "is builder from now on",
        "msg_ask: the reply of builder",
        "ci/paths.py.",
    ):
        assert word in text
    times = [float(each) for each in re.findall(r"^ *(\d+\.\d\d) s  ", text, re.MULTILINE)]
    assert times == sorted(times)
    assert times[-1] < 15
    folder = re.search(r"/tmp/postino-\w+", text).group()
    assert nothing_left(folder)
    assert not list(bare.home.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", [b"postino up", b"is an MCP client", b"postino history"])
def test_an_interrupted_demo_leaves_nothing_either(bare, number, moment) -> None:
    with bare.open("demo") as process:
        told = b""
        while moment not in told:
            line = process.stdout.readline()
            assert line, (told, process.stderr.read())
            told += line
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=20)
    # Python itself ends by SIGINT when the interruption met it in an exec(), as imports of the MCP SDK run some
    assert process.returncode in (130, -signal.SIGINT)
    assert err == b""
    assert nothing_left(re.search(rb"/tmp/postino-\w+", told).group().decode())
