"""Titles of threads in bodies, headers, queries and paths; replies over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest

from postino.broker import history, threads

TITLES = ["Red build: who?", "a/b", "100%", "a?b#c&d=e", "Übersicht é 日本", "%2e", "v1.2", "'\"<b>", "x" * 120]


@pytest.mark.parametrize("title", TITLES)
async def test_a_title_is_found_by_its_path_and_by_its_query(api: Any, title: str) -> None:
    await api.send(thread=title, **{"from": "ann"})
    await api.send(thread="another")

    page = (await api.get(f"threads/{quote(title, safe='')}")).json
    found = (await api.get(f"history?thread={quote(title, safe='')}")).json

    assert [each["thread"] for each in page["items"]] == [title]
    assert [each["thread"] for each in found["items"]] == [title]
    assert title in [each["thread"] for each in (await api.get("threads")).json["items"]]


async def test_a_title_in_a_header_may_have_any_letter(api: Any) -> None:
    headers = {"Content-Type": "text/plain", "X-Postino-From": "ci", "X-Postino-Thread": "Bau 7: rot, schön"}
    assert (await api.call("POST", "messages/bob", data=b"log", headers=headers)).status == 200
    assert (await api.read())[0]["thread"] == "Bau 7: rot, schön"


@pytest.mark.parametrize("path", ["%20a", "x" * 129, "a%0Ab", "%00"])
async def test_what_is_no_title_is_refused_by_name(api: Any, path: str) -> None:
    answer = await api.get(f"threads/{path}")
    assert (answer.status, answer.json["field"]) == (400, "thread")


async def test_an_old_title_of_128_characters_is_still_found(api: Any) -> None:
    assert (await api.get(f"threads/{'x' * 128}")).json["items"] == []


async def test_a_reply_over_http_names_who_answers(api: Any) -> None:
    await api.send("bob", "a question", id="q1", thread="Red build: who?", **{"from": "ann"})

    sent = (await api.post("messages", {"reply_to": "q1", "from": "bob", "body": "me", "expects": "none"})).json

    await api.send("ann", "me again", reply_to="q1", **{"from": "bob"})

    got, again = await api.read("ann")
    assert again["thread"] == "Red build: who?"
    assert (sent["to"], got["from"], got["thread"], got["reply_to"]) == ("ann", "bob", "Red build: who?", "q1")
    assert got["expects"] == "none"
    conversation = (await api.get("threads/Red%20build%3A%20who%3F")).json["items"]
    assert [each["body"] for each in conversation] == ["a question", "me", "me again"]


@pytest.mark.parametrize(
    ("asked", "status", "code", "field"),
    [
        ({"body": "x"}, 400, "bad_field", "to"),
        ({"body": "x", "reply_to": "q1"}, 400, "bad_field", "from"),
        ({"body": "x", "reply_to": "none", "from": "bob"}, 404, "unknown_message", "reply_to"),
        ({"body": "x", "reply_to": "q1", "from": "eve"}, 404, "unknown_message", "reply_to"),
        ({"body": "x", "reply_to": "q0", "from": "bob"}, 400, "bad_field", "reply_to"),
    ],
)
async def test_a_reply_that_leads_nowhere_is_refused(
    api: Any, asked: dict[str, str], status: int, code: str, field: str
) -> None:
    await api.send("bob", "a question", id="q1", **{"from": "ann"})
    await api.send("bob", "from nobody", id="q0")

    answer = await api.post("messages", asked)

    assert (answer.status, answer.json["code"], answer.json["field"]) == (status, code, field)
    assert answer.json["error"].endswith("`to`") or "to is missing" in answer.json["error"]
    assert (await api.get("messages/ann")).json["total"] == 0


@pytest.fixture
async def long_history(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """220 messages, of which one call looks at 50 or a few more: 20 of `old` in the oldest, 3 of `both` far apart."""
    for module in (history, threads):
        monkeypatch.setattr(module, "MAX_LOOKED", 50)
    for number in range(220):
        thread = "both" if number in (5, 90, 95) else "old" if number < 21 else None
        await api.send(f"a{number % 3}", thread=thread, **{"from": f"b{number}"})


async def pages(api: Any, query: str = "") -> list[Any]:
    found: list[Any] = []
    while not found or found[-1]["more"]:
        before = f"&before={found[-1]['before']}" if found else ""
        found.append((await api.get(f"threads?{query}{before}")).json)
    return found


@pytest.mark.usefixtures("long_history")
async def test_no_thread_is_missed_and_counts_are_said_to_be_partial_until_they_are_not(api: Any) -> None:
    found = await pages(api)
    counts: Counter[str] = Counter()
    for page in found:
        counts.update({each["thread"]: each["messages"] for each in page["items"]})

    assert (found[0]["items"], found[0]["more"], found[0]["looked"]) == ([], True, 50)  # says how far it is empty
    assert counts == {"both": 3, "old": 20}
    assert sum(page["looked"] for page in found) == 220
    assert not any(each["complete"] for page in found for each in page["items"])


async def test_a_history_that_is_looked_through_at_once_has_complete_counts(api: Any) -> None:
    for number in range(3):
        await api.send(thread="both", **{"from": f"b{number}"})

    (thread,) = (await api.get("threads")).json["items"]
    whole, part = [(await api.get(f"threads/both?limit={limit}")).json["about"] for limit in (50, 2)]

    assert (thread["messages"], thread["complete"]) == (3, True)
    assert (whole["messages"], whole["complete"], part["messages"], part["complete"]) == (3, True, 2, False)


async def test_a_page_ends_where_one_thread_more_begins(api: Any) -> None:
    for thread in ("one", "two", "one", "three", "two", "three"):
        await api.send(thread=thread)

    found = await pages(api, "limit=2")

    assert [[(each["thread"], each["messages"]) for each in page["items"]] for page in found] == [
        [("three", 2), ("two", 1)],
        [("one", 2), ("two", 1)],
    ]
