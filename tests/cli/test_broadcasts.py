"""broadcast, broadcasts, watch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess

import pytest


def test_a_broadcast_is_seen_once_by_each_and_listed_for_all(postino) -> None:
    said = postino.ok("broadcast", "freeze at noon", "--from", "f1-ada")
    assert said.startswith("broadcast, id ")
    for name in ("f1-bob", "f1-eve"):
        assert "    freeze at noon\n" in postino.ok("broadcasts", "--agent", name)
        assert postino.ok("broadcasts", "--agent", name) == f"No unseen broadcasts of {name}.\n"
    assert "    freeze at noon\n" in postino.ok("broadcasts")
    assert "    freeze at noon\n" in postino.ok("broadcasts", "--agent", "f1-bob", "--all")


def test_who_has_seen_a_broadcast_is_told(postino) -> None:
    for name in ("f8-bob", "f8-eve"):
        postino.ok("send", name, "hello")
        postino.ok("read", name)
    said = postino.json("broadcast", "for you two", "--from", "f8-ada")
    postino.ok("broadcasts", "--agent", "f8-bob")
    line = next(each for each in reversed(postino.ok("broadcasts").splitlines()) if "seen by" in each)

    seen, unseen = line.removeprefix("    seen by ").split("; not yet by ")
    assert seen.endswith(": f8-bob") and seen.startswith("1 of ")
    assert "f8-eve" in unseen
    assert line.strip() in postino.ok("show", said["id"])
    assert "seen by" not in postino.ok("broadcasts", "--agent", "f8-eve")


def test_broadcasts_whose_output_was_lost_come_again_labelled(postino) -> None:
    postino.ok("broadcast", "w" * 30_000, "--from", "f9-ada")
    full = os.open("/dev/full", os.O_WRONLY)
    with postino.open("broadcasts", "--agent", "f9-bob", stdout=full) as process:
        assert process.wait(30) != 0
    os.close(full)

    shown = postino.ok("broadcasts", "--agent", "f9-bob")
    assert "w" * 30_000 in shown
    assert "  redelivered  " in shown
    assert postino.ok("broadcasts", "--agent", "f9-bob") == "No unseen broadcasts of f9-bob.\n"


def test_the_json_of_broadcasts(postino) -> None:
    said = postino.json("broadcast", "-", "--id", "f2", "--from", "f2-ada", stdin=b"one\n")
    assert said["ok"] and said["created"] and said["id"] == "f2"
    assert not postino.json("broadcast", "one\n", "--id", "f2", "--from", "f2-ada")["created"]
    assert "was already broadcast" in postino.ok("broadcast", "one\n", "--id", "f2", "--from", "f2-ada")
    listed = postino.json("broadcasts")
    assert listed["total"] == len(listed["items"])
    assert listed["items"][-1].items() >= {"id": "f2", "from": "f2-ada", "body": "one\n", "via": "cli"}.items()
    read = postino.json("broadcasts", "--agent", "f2-bob", "--limit", "1")
    assert (len(read["items"]), read["missed"], read["agent"]) == (1, 0, "f2-bob")


def test_listing_moves_no_cursor(postino) -> None:
    postino.ok("broadcast", "still new")
    before = postino.json("check", "--agent", "f3-bob")["unseenBroadcasts"]
    assert before > 0
    postino.ok("broadcasts", "--all", POSTINO_AGENT_NAME="f3-bob")
    assert postino.json("check", "--agent", "f3-bob")["unseenBroadcasts"] == before
    postino.ok("broadcasts", POSTINO_AGENT_NAME="f3-bob")
    assert postino.json("check", "--agent", "f3-bob")["unseenBroadcasts"] == 0


@pytest.mark.parametrize(
    "args",
    [
        ["broadcast"],
        ["broadcast", ""],
        ["broadcast", "x" * 32_769],
        ["broadcast", "hi", "--from", "all"],
        ["broadcast", "hi", "--id", ""],
        ["broadcasts", "--limit", "0"],
        ["broadcasts", "--agent", "a b"],
        ["watch", "--agent", "a b"],
        ["watch", "--since", "yesterday"],
        ["watch", "--type", "nonsense"],
        ["watch", "--type", "msg_send", "--type", "msg_sned"],
    ],
)
def test_bad_input_is_exit_2(postino, args) -> None:
    postino.no(2, *args)


def lines_of(process: subprocess.Popen[bytes], count: int) -> list[dict[str, object]]:
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_watch_tells_what_happens_as_it_happens(postino) -> None:
    with postino.open("watch", "--agent", "f5-bob", "--json") as process:
        assert lines_of(process, 1)[0]["type"] == "connected"
        postino.ok("send", "f5-bob", "hello", "--from", "f5-ada", "--id", "f5")
        postino.ok("read", "--agent", "f5-bob")
        sent, read, acked = lines_of(process, 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
    assert sent.items() >= {"type": "msg_send", "id": "f5", "from": "f5-ada", "to": "f5-bob"}.items()
    assert [read["type"], acked["type"]] == ["msg_read", "msg_ack"]
    assert "body" not in sent


def test_watch_since_replays_and_filters_by_type(postino) -> None:
    with postino.open("watch", "--agent", "f6-bob", "--json") as process:
        lines_of(process, 1)
        postino.ok("send", "f6-bob", "one")
        first = lines_of(process, 1)[0]["event_id"]
        process.kill()
    postino.ok("read", "--agent", "f6-bob")
    postino.ok("send", "f6-bob", "two", "--id", "f6-2")
    with postino.open("watch", "--agent", "f6-bob", "--since", first, "--type", "msg_send", "--json") as process:
        found = [each for each in lines_of(process, 2) if each["type"] != "connected"]
        process.kill()
    assert [each["id"] for each in found] == ["f6-2"]


def test_watch_in_words_is_one_line_per_event(postino) -> None:
    with postino.open("watch", "--agent", "f7-bob") as process:
        assert re.match(rb"\d\d:\d\d:\d\d  connected ", process.stdout.readline())
        postino.ok("send", "f7-bob", "hello", "--from", "f7-ada")
        assert b"msg_send         f7-ada \xe2\x86\x92 f7-bob  id " in process.stdout.readline()
        process.kill()


def test_watch_into_a_closed_pipe_is_quiet(postino) -> None:
    read_end, write_end = os.pipe()
    with postino.open("watch", "--agent", "f8-bob", stdout=write_end) as process:
        os.close(write_end)
        os.read(read_end, 10)
        os.close(read_end)
        postino.ok("send", "f8-bob", "hello")
        assert process.wait(10) == 0
        assert process.stderr.read() == b""
