"""When a request is repeated, and what the client hears in the end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from postino.relay.lines import WriteBuffer, patience, refusal
from postino.relay.requests import (
    AWAY_S,
    MAX_PAUSE_S,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    REPEAT_S,
    WAIT_S,
    Request,
    Requests,
)


def refused(code: str = "store_away", **more: Any) -> dict[str, Any]:
    text = json.dumps({"ok": False, "code": code, "error": "x", **more})
    return {"jsonrpc": "2.0", "id": 1, "result": {"isError": True, "content": [{"type": "text", "text": text}]}}


DONE = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "{}"}]}}


class Told:
    """Requests, and what the client was told by them."""

    def __init__(self) -> None:
        self.out = WriteBuffer()
        self.requests = Requests(self.out)

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line)["error"] for line in self.out.data.splitlines()]

    def send(self, key: str | None = None, *, repeatable: bool = True, at: float = 0.0) -> Request:
        request = Request(b"line", repeatable, key)
        self.requests.sent(1, request, at)
        return request


@pytest.mark.parametrize(
    ("answer", "code", "outcome"),
    [
        (refused(outcome="none"), "store_away", "none"),
        (refused(outcome="unknown"), "store_away", "unknown"),
        (refused("store_full", outcome="none"), "store_full", "none"),
        (
            {"error": {"code": -32603, "message": "x", "data": {"code": "store_away", "outcome": "none"}}},
            "store_away",
            "none",
        ),
        (refused("inbox_full"), "inbox_full", None),
        (DONE, None, None),
        ({"error": {"code": -32603, "message": "x"}}, None, None),
        ({"result": {"isError": True, "content": []}}, None, None),
        ({"result": {"isError": True, "content": [{"type": "text", "text": "[]"}]}}, None, None),
        ({"result": []}, None, None),
    ],
)
def test_only_a_refusal_is_known_as_one(answer, code, outcome):
    assert refusal(answer) == (code, outcome)


def test_a_send_is_repeated_while_the_store_is_away_with_growing_pauses_and_then_tells_the_last_refusal():
    told, now, times = Told(), 0.0, []
    request = told.send("k")
    while not told.requests.answered(1, refused(outcome="none"), now):
        assert told.requests.take_due(request.due - 0.01) == {}
        now = request.due
        assert told.requests.take_due(now) == {1: request}
        times.append(now)
        told.requests.sent(1, request, now)
    assert times[:4] == pytest.approx([0.05, 0.15, 0.35, 0.75])
    assert REPEAT_S - 6 < now < REPEAT_S - MAX_PAUSE_S and told.errors == []


def test_another_call_is_repeated_only_as_long_as_a_restart_of_the_store_takes():
    told = Told()
    told.send()
    assert not told.requests.answered(1, refused(outcome="unknown"), 0.1)
    told.requests.sent(1, told.requests.take_due(1.0)[1], 0.2)
    assert told.requests.answered(1, refused(outcome="unknown"), AWAY_S)
    assert told.errors == []


@pytest.mark.parametrize("key", ["k", None])
@pytest.mark.parametrize(("code", "at"), [("store_full", 0.2), ("store_away", REPEAT_S - 1)])
def test_a_call_that_may_have_been_carried_out_is_never_refused_as_surely_not(key, code, at):
    told = Told()
    told.send(key)
    assert not told.requests.answered(1, refused(outcome="unknown"), 0.1)
    told.requests.sent(1, told.requests.take_due(1.0)[1], 0.2)
    assert not told.requests.answered(1, refused(code, outcome="none"), at)
    (error,) = told.errors
    assert error["data"] == {"outcome": "unknown", "id": key} and not told.requests


def test_a_full_store_is_told_at_once_to_a_call_that_was_sent_only_once():
    told = Told()
    told.send("k")
    assert told.requests.answered(1, refused("store_full", outcome="none"), 0.1)
    assert told.errors == []


def test_what_was_lost_with_a_daemon_waits_for_the_next_and_in_the_end_is_unknown():
    told = Told()
    told.send("k")
    told.requests.daemon_lost(1.0)
    assert told.requests.expire(REPEAT_S - 0.01, "no daemon; nothing was done") == [] and not told.errors
    told.requests.expire(REPEAT_S, "no daemon; nothing was done")
    (error,) = told.errors
    assert error["data"] == {"outcome": "unknown", "id": "k"}


def test_what_was_never_sent_ends_sooner_and_says_that_nothing_was_done():
    told = Told()
    told.requests.wait(1, Request(b"line", True, "k"), 0.0)
    told.requests.expire(WAIT_S, "no daemon; nothing was done")
    assert [error["message"] for error in told.errors] == ["no daemon; nothing was done"]


@pytest.mark.parametrize(("count", "size"), [(MAX_WAITING, 1), (2, MAX_WAITING_BYTES)])
def test_beyond_the_most_that_can_wait_a_request_is_told_that_nothing_was_done(count, size):
    told = Told()
    for number in range(count):
        told.requests.wait(number, Request(b"x" * size, True, None), 0.0)
    assert told.errors == []

    told.requests.wait(count, Request(b"x", True, None), 0.0)

    (error,) = told.errors
    assert "Too many requests" in error["message"] and "nothing was done" in error["message"]
    assert len(told.requests) == count


def test_a_daemon_that_does_not_answer_in_time_is_named_so_that_the_call_can_be_cancelled():
    told = Told()
    told.send(repeatable=False)
    assert told.requests.expire(REPEAT_S, "") == [1]
    assert told.errors[0]["data"]["outcome"] == "unknown"
    assert not told.requests.answered(1, DONE, REPEAT_S + 1)


def test_the_daemon_hears_of_a_cancel_unless_it_never_had_the_request():
    told = Told()
    told.requests.wait(1, Request(b"line", True, None), 0.0)
    assert told.requests.cancel(1)
    told.send("k")
    assert not told.requests.answered(1, refused(outcome="none"), 0.0)
    assert not told.requests.cancel(1) and not told.requests


def test_a_call_that_waits_has_that_time_besides_each_time_it_is_sent():
    told = Told()
    request = Request(b"line", True, "q1", patience=100.0)
    told.requests.sent(1, request, 0.0)
    assert request.deadline == REPEAT_S + 100
    told.requests.daemon_lost(90.0)
    assert told.requests.waiting[1].deadline == 90 + WAIT_S
    told.requests.sent(1, told.requests.take_due(91.0)[1], 91.0)
    assert request.deadline == 91 + REPEAT_S + 100
    assert told.errors == []


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [({}, 50), ({"timeout": 7}, 7), ({"timeout": "90"}, 90), ({"timeout": None}, 50), ({"timeout": 1e9}, 600)]
    + [(wrong, 50) for wrong in ({"timeout": "soon"}, {"timeout": []}, None, [])]
    + [({"timeout": -5}, 0)],
)
def test_an_ask_says_itself_how_long_it_waits(arguments, seconds):
    message = {"params": {"name": "msg_ask", "arguments": arguments}}
    assert patience(message) == seconds
    assert patience({"params": {"name": "msg_send", "arguments": arguments}}) == 0
