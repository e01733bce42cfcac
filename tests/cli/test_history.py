"""The command line's `history`: what became of each message, page by page."""

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
