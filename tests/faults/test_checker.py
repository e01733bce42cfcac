"""The checker on histories made by hand: a sound one passes, and each broken promise is found by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest, JSONRPCResponse

from tests.faults.bodies import SHAPES, body_of, parse
from tests.faults.checker import PROMISES, added, figures, judge
from tests.faults.history import Call, Fault, History, Opened, Shown, State, Stuck, Try, Unread
from tests.faults.mcp_traffic import Heard


def tried(number: int, outcome: str = "accepted", to: str = "bob", **more: object) -> Try:
    made = Try(
        face="http",
        end="0",
        sender="w",
        to=to,
        number=number,
        id=f"w-{number}",
        started=float(number),
        ended=number + 0.01,
        outcome=outcome,
        seq=number + 1 if outcome == "accepted" else 0,
    )
    return msgspec.structs.replace(made, **more)


def shown(number: int, at: float | None = None, **more: object) -> Shown:
    made = Shown(
        face="http",
        session="s1",
        inbox="bob",
        answer=int(more.pop("answer", number)),  # type: ignore[call-overload]
        at=number + 0.5 if at is None else at,
        id=f"w-{number}",
        seq=number + 1,
        sender="w",
        number=number,
        sound=True,
    )
    return msgspec.structs.replace(made, **more)


def sound() -> History:
    """Six messages, each delivered once, the second twice and labelled; one broadcast."""
    history = History([Opened(session="s1", inbox="bob", at=0.0)])
    for number in range(6):
        history.note(tried(number))
        history.note(shown(number))
    history.note(shown(1, 7.0, answer=20, delivery=2, redelivered=True))
    history.note(tried(50, to=""))
    history.note(shown(50, inbox="bob", broadcast=True))
    history.note(Unread(reader="bob", missed=0))
    return history


def without(history: History, number: int) -> None:
    history.entries = [e for e in history.entries if not (isinstance(e, Shown) and e.number == number)]


def change(history: History, number: int, **more: object) -> None:
    history.entries = [
        msgspec.structs.replace(e, **more) if isinstance(e, Shown) and e.number == number else e
        for e in history.entries
    ]


def _lost(history: History) -> None:
    without(history, 3)


def _broadcast_lost(history: History) -> None:
    without(history, 50)


def _unseen(history: History) -> None:
    without(history, 3)
    history.note(State(inbox="bob", id="w-3", state="acked"))


def _unseen_although_unknown(history: History) -> None:
    history.note(tried(9, "unknown"))
    history.note(State(inbox="bob", id="w-9", state="acked"))


def _twice(history: History) -> None:
    history.note(shown(3, 8.0, answer=30, seq=77, delivery=2, redelivered=True))


def _one_number(history: History) -> None:
    change(history, 3, seq=5)


def _altered(history: History) -> None:
    change(history, 3, sound=False)


def _invented(history: History) -> None:
    history.note(shown(40, 9.0))


def _misdirected(history: History) -> None:
    history.note(shown(2, 9.0, inbox="carol", answer=31))


def _order(history: History) -> None:
    without(history, 2)
    history.note(shown(2, 9.0, answer=32))


def _order_in_an_answer(history: History) -> None:
    history.note(tried(6))
    history.note(shown(6, 9.0, answer=33))
    history.note(shown(0, 9.0, answer=33, delivery=2, redelivered=True))


def _overtaken(history: History) -> None:
    without(history, 2)
    history.note(shown(2, 9.0, answer=34, delivery=2, redelivered=True, session="s2"))


def _stuck(history: History) -> None:
    history.note(Stuck(inbox="bob", left=2))


def _unlabelled(history: History) -> None:
    history.note(shown(5, 9.0, answer=35, delivery=2))


def _untrue_abandoned(history: History) -> None:
    history.note(tried(6, "none", code="store_away"))
    history.note(shown(6, 9.0))


def _untrue_kept(history: History) -> None:
    history.note(tried(6, "none", code="store_away"))
    history.note(State(inbox="bob", id="w-6", state="queued"))


def _untrue_retried(history: History) -> None:
    history.note(tried(6, "none", code="store_away"))
    history.note(tried(6, created=False))
    history.note(shown(6, 9.0))


def _internal(history: History) -> None:
    history.note(Call(face="http", tool="send", started=0, ended=1, code="internal"))


def _late(history: History) -> None:
    history.note(Call(face="http", tool="send", started=0, ended=2.4, code="store_away"))


BREAKS: list[tuple[str, Callable[[History], None]]] = [
    ("lost", _lost),
    ("lost", _broadcast_lost),
    ("acknowledged unseen", _unseen),
    ("acknowledged unseen", _unseen_although_unknown),
    ("stored twice", _twice),
    ("one number for two", _one_number),
    ("altered", _altered),
    ("invented", _invented),
    ("invented", _misdirected),
    ("order", _order),
    ("order", _order_in_an_answer),
    ("overtaken", _overtaken),
    ("stuck", _stuck),
    ("unlabelled repeats", _unlabelled),
    ("untrue none", _untrue_abandoned),
    ("untrue none", _untrue_kept),
    ("untrue none", _untrue_retried),
    ("internal errors", _internal),
    ("late refusals", _late),
]


def test_a_sound_history_passes() -> None:
    assert judge(sound()) == {}


@pytest.mark.parametrize(("name", "spoil"), BREAKS, ids=[spoil.__name__.strip("_") for _, spoil in BREAKS])
def test_each_broken_promise_is_found_by_its_name(name: str, spoil: Callable[[History], None]) -> None:
    history = sound()
    spoil(history)

    assert name in judge(history)


def test_every_promise_has_a_history_that_breaks_it() -> None:
    assert {name for name, _ in BREAKS} == set(PROMISES)


@pytest.mark.parametrize(("without_number", "place"), [(0, "prefix"), (3, "middle"), (5, "postfix")])
def test_what_is_lost_is_told_by_its_place_among_its_sender_s(without_number: int, place: str) -> None:
    history = sound()
    without(history, without_number)

    assert place in judge(history)["lost"][0]


def test_an_unknown_outcome_is_no_loss_and_none_that_was_not_stored_is_true() -> None:
    history = sound()
    for number, outcome in ((6, "unknown"), (7, "unknown"), (8, "none"), (9, "unsent")):
        history.note(tried(number, outcome))
    history.note(shown(7, 9.0))
    history.note(State(inbox="bob", id="w-6", state="unknown_message"))
    history.note(State(inbox="bob", id="w-8", state="unknown_message"))

    assert judge(history) == {}


def test_a_none_after_an_unknown_outcome_may_be_found_stored() -> None:
    history = sound()
    for entry in (tried(6, "unknown"), tried(6, "none"), tried(6, created=False), shown(6, 9.0)):
        history.note(entry)

    assert judge(history) == {}


def test_a_dead_letter_is_not_lost() -> None:
    history = sound()
    without(history, 3)
    history.note(State(inbox="bob", id="w-3", state="dead"))

    assert judge(history) == {}


def test_an_answer_that_crossed_its_cancel_is_neither_lost_nor_unseen() -> None:
    history = sound()
    change(history, 3, crossed=True)
    history.note(State(inbox="bob", id="w-3", state="acked"))

    assert judge(history) == {}
    assert figures(history)["crossed a cancel"] == 1


def test_a_sender_is_not_given_its_own_broadcasts() -> None:
    history = sound()
    without(history, 50)
    history.note(Unread(reader="w", missed=0))

    assert judge(history)["lost"] == ["broadcast w 50 to bob"]


def test_what_another_session_held_before_may_come_late() -> None:
    history = sound()
    without(history, 2)
    history.entries[0] = Opened(session="s1", inbox="bob", at=2.5)  # after it was sent: an earlier session had it
    history.note(shown(2, 9.0, answer=34, delivery=2, redelivered=True, session="s2"))

    assert judge(history) == {}


def test_figures_of_runs_are_added() -> None:
    history = sound()
    history.note(Fault(kind="kill", started=1, ended=2, recovered=2.5))
    history.note(Fault(kind="stop", started=3, ended=4))
    history.note(Call(face="mcp", tool="msg_send", started=0, ended=1, code="store_away"))

    total = added([figures(history), figures(history)])

    assert total["faults"] == {"kill": 2, "stop": 2}
    assert total["accepted"] == 14
    assert total["recovery"] == {"kill": [0.5, 0.5]}
    assert total["never recovered"] == ["stop", "stop"]
    assert (total["mcp calls"], total["mcp calls failed"]) == (2, 2)
    assert set(total["broken"]) == set(PROMISES)


def test_a_history_survives_its_file(tmp_path: Path) -> None:
    history = sound()
    history.write(tmp_path / "history.jsonl")

    assert History.load(tmp_path / "history.jsonl").entries == history.entries


@pytest.mark.parametrize("shape", SHAPES)
def test_a_body_says_who_sent_it_and_when_it_was_altered(shape: str) -> None:
    body = body_of("ada", 12, shape)

    assert parse(body) == ("ada", 12, True)
    assert parse(body[:-1] + "!") == ("ada", 12, False)
    assert len(body) <= 32_768


@pytest.mark.parametrize("cancelled_first", [True, False], ids=["before its answer", "in the moment of its answer"])
def test_a_client_had_the_answer_to_a_call_that_it_cancelled(cancelled_first: bool) -> None:
    noted: list[list[dict[str, object]]] = []
    heard = Heard(lambda items, **_: noted.append(items))
    content = {"content": [{"type": "text", "text": '{"messages": [{"id": "m1"}]}'}]}
    answer = SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=7, result=content))
    heard.went(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=7, method="tools/call")))

    if cancelled_first:
        heard.cancel()
        heard.came(answer)
    else:
        heard.came(answer)
        heard.cancel()

    assert noted == [[{"id": "m1"}], []]  # messages, broadcasts
    heard.went(SessionMessage(JSONRPCRequest(jsonrpc="2.0", id=8, method="tools/call")))
    heard.cancel()
    assert len(noted) == 2, "no answer came to the next"
