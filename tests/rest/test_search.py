"""The search of the history on the server, and the threads."""

from __future__ import annotations

import pytest


@pytest.fixture
async def mail(api) -> dict[str, str]:
    """Messages of each kind: name -> id."""
    ids = {}
    for name, more in {
        "plain": {"to": "bob", "from": "ada", "body": "queue.py leaks a Connection"},
        "threaded": {"to": "bob", "from": "ada", "body": "in a thread", "thread": "fix-42"},
        "answer": {"to": "ada", "from": "bob", "body": "an answer", "thread": "fix-42"},
        "other": {"to": "ci", "from": "bob", "body": "elsewhere", "thread": "rel-1"},
    }.items():
        ids[name] = (await api.send(**more))["id"]
    (got,) = await api.read("ci", "c1")
    await api.post("messages/ci/ack", {"ids": [got["id"]], "consumer": "c1"})
    await api.post("broadcasts", {"body": "to all", "from": "ada"})
    return ids


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("from=ada", ["broadcast", "threaded", "plain"]),
        ("from=ada&to=bob", ["threaded", "plain"]),
        ("to=ada", ["answer"]),
        ("thread=fix-42", ["answer", "threaded"]),
        ("thread=fix-42&to=ada", ["answer"]),
        ("state=waiting", ["answer", "threaded", "plain"]),
        ("state=queued&limit=2", ["answer", "threaded"]),
        ("state=read", ["other"]),
        ("state=acked&from=bob", ["other"]),
        ("state=dead", []),
        ("q=CONNECTION", ["plain"]),
        ("q=a&from=bob&state=waiting", ["answer"]),
        ("agent=bob&with=ada&from=ada", ["threaded", "plain"]),
        ("id=never-sent", []),
    ],
)
async def test_a_search_finds_what_fits_all_its_filters(api, mail, query, found) -> None:
    names = {id: name for name, id in mail.items()}
    answer = await api.get(f"history?{query}")

    assert [names.get(each["id"], each["kind"]) for each in answer.json["items"]] == found


async def test_an_id_finds_its_message_and_nothing_that_names_it(api, mail) -> None:
    await api.send(**{"to": "bob", "from": "ada", "body": f"about {mail['plain']}"})

    found = [(await api.get(f"history?id={mail['plain']}{more}")).json["items"] for more in ("", "&to=bob", "&to=ada")]

    assert [[each["id"] for each in items] for items in found] == [[mail["plain"]], [mail["plain"]], []]


async def test_a_search_is_paged_without_gap_and_repeat(api, mail) -> None:
    seen: list[str] = []
    before = ""
    for _ in range(10):
        page = (await api.get(f"history?from=ada&limit=1{before}")).json
        seen += [each["body"] for each in page["items"]]
        if not page["more"]:
            break
        before = f"&before={page['before']}"

    assert seen == ["to all", "in a thread", "queue.py leaks a Connection"]


async def test_a_search_ends_at_its_after(api, mail) -> None:
    everything = (await api.get("history")).json["items"]
    third = everything[2]["entry"]

    page = (await api.get(f"history?after={third}")).json

    assert [each["entry"] for each in page["items"]] == [each["entry"] for each in everything[:2]]
    assert page["more"] is False


@pytest.mark.parametrize("query", ["state=lost", "thread=%20a", "after=7", "from=a%20b", "to=%00", "id=a%20b"])
async def test_a_filter_that_means_nothing_is_refused_by_name(api, query) -> None:
    answer = await api.get(f"history?{query}")

    assert answer.status == 400
    assert answer.json["field"] == query.partition("=")[0]


async def test_threads_are_listed_with_their_last_message(api, mail) -> None:
    threads = (await api.get("threads")).json["items"]

    assert [each["thread"] for each in threads] == ["rel-1", "fix-42"]
    fix = threads[1]
    assert (fix["participants"], fix["messages"], fix["waiting"], fix["dead"]) == (["ada", "bob"], 2, 2, 0)
    assert (fix["last_from"], fix["last_to"], fix["text"]) == ("bob", "ada", "an answer")
    assert threads[0]["waiting"] == 0
    assert [each["thread"] for each in (await api.get("threads?agent=ada")).json["items"]] == ["fix-42"]


async def test_a_thread_is_read_oldest_first(api, mail) -> None:
    page = (await api.get("threads/fix-42?render=1")).json

    assert [each["body"] for each in page["items"]] == ["in a thread", "an answer"]
    assert page["items"][0]["tree"] == [["p", "in a thread"]]
    about = page["about"]
    assert (about["participants"], about["messages"], about["last_from"]) == (["ada", "bob"], 2, "bob")
    nothing = (await api.get("threads/none")).json
    assert (nothing["items"], nothing["about"]) == ([], None)


async def test_an_agent_tells_since_when_its_mail_waits(api, mail) -> None:
    agents = {each["name"]: each for each in (await api.get("agents")).json["items"]}
    first = (await api.get("messages/bob")).json["items"][0]

    assert agents["bob"]["oldestUnread"][:19] == first["timestamp"][:19]
    assert agents["ci"]["oldestUnread"] is None
