"""Refusals of what is no such record: in words that a person knows, none of a library's."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize("data", [rb'["\ud800"]', rb'[{"a":"\ud800"}]', rb'"\ud800"', b"[1]", b"7"])
async def test_what_is_no_object_is_called_so_whatever_it_holds(api: Any, data: bytes) -> None:
    assert (await api.post("messages", data=data)).json["error"] == "the body must be one JSON object"


WRONG_TYPES = [
    ("messages/bob/read", {"wait": "1"}, "wait: must be a number, not text"),
    ("messages/bob/read", {"resume": "yes"}, "resume: must be true or false, not text"),
    ("messages/bob/read?resume=yes", {}, "resume: must be true or false, not text"),
    ("messages/bob/read", {"limit": []}, "limit: must be a whole number, not a list"),
    ("messages/bob/read", {"ack": 1}, "ack: must be text, not a whole number"),
    ("messages/bob/read", {"consumer": {}}, "consumer: must be text, not an object"),
    ("messages/bob/nack", {"ids": "m1"}, "ids: must be a list, not text"),
    ("messages/bob/nack", {"ids": ["m1"], "delay_ms": True}, "delay_ms: must be a whole number, not true or false"),
    ("dead/bob/requeue", {"ids": 1}, "ids: must be a list, not a whole number"),
    ("messages", {"to": "bob", "body": None}, "body: must be text, not null"),
]


@pytest.mark.parametrize(("path", "body", "sentence"), WRONG_TYPES)
async def test_a_wrong_type_is_told_in_words(api: Any, path: str, body: Any, sentence: str) -> None:
    assert (await api.post(path, body)).json["error"] == sentence
