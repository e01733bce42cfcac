"""The command line's `history` and `threads`: what became of each message, page by page."""

from __future__ import annotations

import asyncio
import json
import shlex

from postino.paths import Home
from postino.store.store import Store
from postino.store.valkey.embedded import EmbeddedValkey
from tests.filling import fill


def test_history_tells_what_became_of_each_and_pages(postino) -> None:
    for number in range(3):
        postino.ok("send", "m19-bob", f"entry {number}", "--from", "m19-ada")
    postino.ok("read", "--agent", "m19-bob", "--limit", "1")
    text = postino.ok("history", "--agent", "m19-ada", "--with", "m19-bob")
    assert [line.strip() for line in text.splitlines() if line.startswith("    ")] == ["entry 0", "entry 1", "entry 2"]
    assert text.count("  queued  ") == 2
    assert text.count("  acked  ") == 1
    page = postino.json("history", "--agent", "m19-ada", "--limit", "2")
    assert page["more"]
    rest = postino.json("history", "--agent", "m19-ada", "--limit", "2", "--before", page["before"])
    assert [item["body"] for item in rest["items"]] == ["entry 0"]
    found = postino.json("history", "--agent", "m19-ada", "--search", "ENTRY 1")["items"]
    assert [item["body"] for item in found] == ["entry 1"]


def test_the_hint_of_history_asks_the_same_question_further_back(postino) -> None:
    for number in range(3):
        postino.ok("send", "m25-bob", f"-x entry's {number}", "--from", "m25-ada")
    asked = ["--agent", "m25-ada", "--with", "m25-bob", "--search=-x entry's", "--limit", "2"]
    command = postino.ok("history", *asked).splitlines()[0].removeprefix("For older ones: ")
    older = postino.ok(*shlex.split(command)[1:])
    assert [line.strip() for line in older.splitlines() if line.startswith("    ")] == ["-x entry's 0"]
    assert "Older" not in older


def test_threads_lists_the_conversations_with_the_newest_last(postino) -> None:
    postino.ok("send", "m44-bob", "first", "--from", "m44-ada", "--thread", "m44 one", "--id", "m44-1")
    postino.ok("send", "m44-bob", "other", "--from", "m44-ada", "--thread", "m44-two")
    postino.ok("reply", "m44-1", "second", "--from", "m44-bob")
    postino.ok("read", "m44-bob", "--limit", "1")
    lines = postino.ok("threads", "--agent", "m44-ada").splitlines()
    assert [line.split("  ")[0] for line in lines] == ["THREAD", "m44-two", "m44 one", "", lines[-1]]
    assert lines[2].startswith("m44 one  2, 1 waiting  m44-ada, m44-bob  ")
    found = postino.json("threads", "--agent", "m44-ada")["items"]
    assert [(each["thread"], each["messages"], each["waiting"]) for each in found] == [
        ("m44 one", 2, 1),
        ("m44-two", 1, 1),
    ]
    assert postino.ok("threads", "--agent", "m44-nobody").startswith("No threads. ")


def test_threads_prints_one_as_history_does(postino) -> None:
    postino.ok("send", "m42-bob", "first", "--from", "m42-ada", "--thread", "-m42 / 100%")
    postino.ok("send", "m42-bob", "no part of it", "--from", "m42-ada")
    postino.ok("send", "m42-ada", "second", "--from", "m42-bob", "--thread", "-m42 / 100%")
    for asked in (("threads", "--", "-m42 / 100%"), ("history", "--thread=-m42 / 100%")):
        text = postino.ok(*asked)
        assert [line.strip() for line in text.splitlines() if line.startswith("    ")] == ["first", "second"]
    assert [each["body"] for each in postino.json("history", "--thread=-m42 / 100%", "--agent", "m42-bob")["items"]]
    assert postino.ok("threads", "m42-none") == "No messages or broadcasts match.\n"
    assert "`postino history` takes both" in postino.no(2, "threads", "m42", "--agent", "m42-ada")


def test_the_hints_of_threads_ask_the_same_question_further_back(postino) -> None:
    for number in (1, 2, 3):
        postino.ok("send", "m43-bob", f"entry {number}", "--from", "m43-ada", "--thread=-m43")
    postino.ok("send", "m43-bob", "other", "--from", "m43-ada", "--thread", "m43-two")
    first, *_, line, _, _ = postino.ok("threads", "--agent", "m43-ada", "--limit", "1").splitlines()
    assert line.startswith("m43-two  ") and line.split("  ")[1] == "1+, 1 waiting"
    older = postino.ok(*shlex.split(first.removeprefix("For older ones: "))[1:])
    assert older.splitlines()[1].startswith("-m43  ")
    hint = postino.ok("threads", "--limit", "2", "--", "-m43").splitlines()[0]
    older = postino.ok(*shlex.split(hint.removeprefix("For older ones: "))[1:])
    assert [line.strip() for line in older.splitlines() if line.startswith("    ")] == ["entry 1"]


def test_a_message_that_the_index_has_forgotten_is_no_longer_tracked(postino) -> None:
    async def forget() -> None:
        store = Store(f"unix://{await EmbeddedValkey(Home(postino.home)).start()}", "po:")
        store.open()
        await store.call("DEL", store.keys.of("index", "m32-bob"))
        await store.close()

    postino.ok("send", "m32-bob", "an old one", "--from", "m32-ada", "--id", "m32-1")
    postino.ok("send", "m32-bob,m32-eve", "to both", "--from", "m32-ada", "--id", "m32-2")
    postino.ok("read", "m32-bob")
    assert postino.ok("history", "--search", "m32-1").count("acked") == 1
    asyncio.run(forget())

    assert postino.json("history", "--search", "m32-1")["items"][0]["state"] is None
    for command in (("history", "--search"), ("show",)):
        head = postino.ok(*command, "m32-1").splitlines()[0]
        assert "  no longer tracked  " in head and "  message  " not in head
    assert "m32-bob: no longer tracked" in postino.ok("show", "m32-2")


def test_history_goes_on_until_something_fits(postino) -> None:
    async def fill_history() -> None:
        store = Store(f"unix://{await EmbeddedValkey(Home(postino.home)).start()}", "po:")
        store.open()
        await fill(store, 20)
        await store.close()

    id = json.loads(postino.ok("send", "m31-bob", "the needle", "--from", "m31-ada", "--json"))["id"]
    asyncio.run(fill_history())

    for asked in (["--agent", "m31-bob"], ["--search", id], ["--search", "needle"]):
        assert [item["body"] for item in postino.json("history", *asked)["items"]] == ["the needle"]
    assert postino.json("history", "--search", "needle")["looked"] > 20_000
    assert postino.ok("history", "--search", "no such word") == "No messages or broadcasts match.\n"


def test_history_into_a_closed_pipe_is_quiet(postino) -> None:
    for _ in range(4):
        postino.ok("send", "m20-bob", "w" * 30_000)
    with postino.open("history") as process:
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == b""
