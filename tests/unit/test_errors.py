"""The table of errors: one code, one meaning, one answer everywhere."""

from __future__ import annotations

import json
import re

import pytest

import postino.rest.app  # noqa: F401 - whatever the daemon adds to the table
from postino.cli.command import sentence
from postino.errors import ERRORS, PostinoError, StoreAway, naming, partly_done
from postino.store.pipeline import store_away


def every(root: type[PostinoError]) -> list[type[PostinoError]]:
    return [root] + [each for child in root.__subclasses__() for each in every(child)]


CLASSES = every(PostinoError)
each_class = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)


def test_every_class_has_its_own_code_and_stands_in_the_table() -> None:
    codes = [kind.code for kind in CLASSES]

    assert len(set(codes)) == len(codes)
    assert {kind.code: kind for kind in CLASSES} == ERRORS


@each_class
def test_every_class_says_what_it_means(kind: type[PostinoError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", kind.code)
    assert "meaning" in vars(kind), "a meaning is not inherited"
    assert len(kind.meaning) > 10
    assert not kind.meaning.endswith(".")


@each_class
def test_http_status_and_exit_code_fit_each_other(kind: type[PostinoError]) -> None:
    assert kind.http in {400, 401, 403, 404, 405, 409, 413, 415, 421, 429, 500, 503}
    assert kind.exit in {2, 3, 4}
    assert (kind.exit == 2) <= (400 <= kind.http < 500)
    assert kind.retryable == (kind.http in {429, 503})


def test_a_refusal_is_one_json_object_with_its_detail() -> None:
    refusal = StoreAway("it is away", outcome="unknown")

    assert json.loads(json.dumps(refusal.body())) == {
        "ok": False,
        "code": "store_away",
        "error": "it is away",
        "retryable": True,
        "outcome": "unknown",
    }
    assert str(refusal) == "it is away"


def test_calls_that_share_a_failure_are_given_the_ids_of_their_own() -> None:
    shared = StoreAway("the connection broke", outcome="unknown")
    found = []
    for id in ("m1", "m2"):
        with pytest.raises(StoreAway) as refusal, naming(id):
            raise shared
        found.append(refusal.value.detail)

    assert found == [{"outcome": "unknown", "id": "m1"}, {"outcome": "unknown", "id": "m2"}]
    assert shared.detail == {"outcome": "unknown"}


@pytest.mark.parametrize(("done", "outcome"), [(False, "none"), (True, "unknown")])
def test_a_later_step_that_did_nothing_does_not_speak_for_the_first(done: bool, outcome: str) -> None:
    with pytest.raises(StoreAway) as refusal, partly_done(done):
        raise StoreAway("not sent", outcome="none")

    assert refusal.value.detail == {"outcome": outcome}


@pytest.mark.parametrize(
    ("detail", "end"),
    [
        ({"outcome": "none"}, "; nothing was changed, try again"),
        ({"outcome": "unknown"}, "; it is unknown whether it was carried out"),
        ({"outcome": "unknown", "id": "m1"}, "; repeat it with --id m1, which cannot store it twice"),
        ({}, ""),
    ],
)
def test_a_command_says_what_is_known_of_its_outcome(detail: dict[str, str], end: str) -> None:
    assert sentence(StoreAway("it is away", **detail)) == f"it is away{end}"


def test_a_valkey_that_does_not_answer_is_told_in_words() -> None:
    refusal = store_away(TimeoutError(), outcome="none")

    assert str(refusal) == "Valkey cannot be used right now (no answer in time)"
