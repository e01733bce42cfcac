"""Bodies as trees: for a preview, and beside the bodies of a list where the caller asks for them."""

from __future__ import annotations

import asyncio

import pytest

from postino.rest.app import STATE

TREE = [["p", "a ", ["strong", "b"]]]
SLOW = "[\n" * 16_000  # uses up its time on any machine, as it would take 400 ms, and is shown as written


async def test_a_body_is_rendered_for_a_preview(api) -> None:
    answer = await api.post("render", {"body": "a **b**"})

    assert (answer.status, answer.json) == (200, {"ok": True, "tree": TREE})


async def test_a_body_that_is_too_much_is_shown_as_written(api) -> None:
    answer = await api.post("render", {"body": SLOW})

    assert (answer.status, answer.json["tree"]) == (200, None)


@pytest.mark.parametrize("body", ["", "a\x1bb", "a" * 32_769])
async def test_a_preview_of_what_could_not_be_sent_is_refused(api, body) -> None:
    answer = await api.post("render", {"body": body})

    assert (answer.status, answer.json["code"], answer.json["field"]) == (400, "bad_field", "body")


async def test_lists_have_trees_only_on_request(api) -> None:
    await api.send("bob", "a **b**")
    await api.post("broadcasts", {"body": "a **b**"})
    for path in ("history?", "messages/bob?", "broadcasts?"):
        with_trees = (await api.get(f"{path}render=1")).json["items"]
        without = (await api.get(path)).json["items"]

        assert with_trees and all(each["tree"] == TREE and each["body"] == "a **b**" for each in with_trees)
        assert not any("tree" in each for each in without)


async def test_a_list_of_slow_bodies_answers_in_time_without_some_trees(api) -> None:
    for number in range(12):
        await api.send("bob", f"{number}\n\n{SLOW}")

    first = (await api.get("messages/bob?render=1")).json["items"]
    for _ in range(11):  # each answer renders at least one more
        last = (await api.get("messages/bob?render=1")).json["items"]

    assert first[0]["tree"] is None
    assert "tree" not in first[-1], "its turn did not come within the time of one answer"
    assert all("tree" in each for each in last), "what was rendered once is kept"


async def test_what_waits_for_its_rendering_when_the_daemon_stops_is_answered_as_written(api, until) -> None:
    await api.send("bob", "a **b**")
    renderer = api.client.app[STATE].renderer
    asked = [asyncio.create_task(api.post("render", {"body": f"{number}\n\n{SLOW}"})) for number in range(8)]
    await until(lambda: renderer.size, "the first body is rendered, and others wait")

    renderer.close()  # as at the stop of the daemon, which lets calls in progress answer

    assert [(each.status, each.json["tree"]) for each in await asyncio.gather(*asked)] == [(200, None)] * 8
    assert (await api.post("render", {"body": "later"})).json == {"ok": True, "tree": None}
    assert "tree" not in (await api.get("messages/bob?render=1")).json["items"][0]


async def test_a_preview_that_is_asked_for_without_end_is_slowed_and_what_is_known_is_not(
    api, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("postino.rest.last_minute.monotonic", lambda: now)
    for number in range(300):
        api.client.app[STATE].renderings.count(300)
        now += 0.01 if number else 0

    refused = await api.post("render", {"body": "one too many"})

    assert (refused.status, refused.json["code"], refused.json["retryable"]) == (429, "rate_limited", True)
    assert refused.headers["Retry-After"] == str(refused.json["retry_after_s"]) == "58"
    now += 58
    assert (await api.post("render", {"body": "a **b**"})).json["tree"] == TREE
    for _ in range(400):
        assert (await api.post("render", {"body": "a **b**"})).status == 200
