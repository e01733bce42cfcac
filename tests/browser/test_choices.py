"""Choices as buttons: on a slow or dead daemon, pressed twice, and answered elsewhere meanwhile."""

from __future__ import annotations

import re
import secrets
from typing import Any

from playwright.sync_api import expect

from tests.browser.page import live, row

SENDS = re.compile(r"/api/messages$")


def ask(served: Any, to: Any, sender: str) -> Any:
    """Ask for a choice; return its id."""
    return served.call("POST", "messages", {"to": to, "body": "Merge?", "from": sender, "choices": ["Merge", "Wait"]})[
        "id"
    ]


def choice(page: Any, id: str, word: str) -> Any:
    return row(page, id).get_by_role("button", name=word, exact=True)


def answers(served: Any, name: str) -> list[tuple[str, str]]:
    return [(each["from"], each["body"]) for each in served.call("GET", f"messages/{name}")["items"]]


def test_while_an_answer_is_on_its_way_no_other_is_sent(visit, served, person, name) -> None:
    id = ask(served, person, name)
    page = visit("#/inbox", person=person)
    sends: list[Any] = []
    page.route(SENDS, lambda route: sends.append(route))  # the daemon is slow: none is passed on yet
    choice(page, id, "Merge").click()
    expect(choice(page, id, "Merge")).to_have_attribute("aria-disabled", "true")

    choice(page, id, "Wait").click(force=True)
    row(page, id).focus()
    page.keyboard.press("2")
    page.keyboard.press("1")
    (only,) = sends
    only.continue_()

    row(page, id).wait_for(state="detached")
    assert answers(served, name) == [(person, "Merge")]
    assert len(sends) == 1


def test_each_of_several_people_who_were_asked_at_once_can_answer(visit, served, person, name) -> None:
    other = f"person-{secrets.token_hex(4)}"
    served.call("POST", f"people/{other}")
    id = ask(served, [person, other], name)
    his, hers = visit("#/inbox", person=person), visit("#/inbox", person=other)

    choice(his, id, "Merge").click()
    row(his, id).wait_for(state="detached")
    choice(hers, id, "Wait").click()
    row(hers, id).wait_for(state="detached")

    assert sorted(answers(served, name)) == sorted([(person, "Merge"), (other, "Wait")])


def test_what_another_page_has_answered_is_answered_once(visit, served, person, name) -> None:
    id = ask(served, person, name)
    page, late = visit("#/inbox", person=person), visit("#/inbox", person=person)
    choice(late, id, "Wait").wait_for()
    late.route(re.compile(rf"/api/people/{person}\?"), lambda route: route.abort())  # it does not learn of the answer
    choice(page, id, "Merge").click()
    row(page, id).wait_for(state="detached")

    choice(late, id, "Wait").click()

    late.get_by_text("This question has been answered already.").wait_for()
    row(late, id).wait_for(state="detached")
    assert answers(served, name) == [(person, "Merge")]


def test_an_answer_whose_outcome_is_unknown_can_be_repeated(visit, served, person, name) -> None:
    id = ask(served, person, name)
    page = visit("#/inbox", person=person)
    live(page)
    choice(page, id, "Merge").wait_for()
    page.route(SENDS, lambda route: route.abort())  # as when the daemon has gone
    choice(page, id, "Merge").click()
    row(page, id).get_by_text("It is not known whether your answer has arrived.").wait_for()
    assert answers(served, name) == []
    page.unroute(SENDS)

    choice(page, id, "Merge").click()

    row(page, id).wait_for(state="detached")
    assert answers(served, name) == [(person, "Merge")]


def test_an_answer_that_arrived_unheard_ends_the_message(visit, served, person, name) -> None:
    id = ask(served, person, name)
    page = visit("#/inbox", person=person)

    def lose(route: Any) -> None:
        route.fetch()
        route.abort()

    choice(page, id, "Merge").wait_for()
    page.route(SENDS, lose)
    choice(page, id, "Merge").click()

    row(page, id).wait_for(state="detached")
    assert answers(served, name) == [(person, "Merge")]


def test_an_answer_that_is_refused_says_why_where_it_was_chosen(visit, served, person, name) -> None:
    id = ask(served, person, name)
    page = visit("#/inbox", person=person)
    refusal = {"ok": False, "code": "inbox_full", "error": "it holds 1000 messages", "retryable": True}
    choice(page, id, "Merge").wait_for()
    page.route(SENDS, lambda route: route.fulfill(status=429, json=refusal))

    choice(page, id, "Merge").click()

    row(page, id).get_by_text("Not sent: it holds 1000 messages").wait_for()
    expect(choice(page, id, "Merge")).not_to_have_attribute("aria-disabled", "true")


def test_in_the_mail_of_all_the_choices_are_words(visit, served, person, name) -> None:
    ask(served, person, name)
    page = visit(f"#/agents/{person}")

    page.get_by_text("Choices: Merge · Wait").wait_for()
    assert page.get_by_role("button", name="Merge", exact=True).count() == 0


def test_what_is_asked_of_all_people_is_answered_after_it_was_opened(visit, served, person, name) -> None:
    id = ask(served, "human", name)
    page = visit("#/inbox", person=person)
    row(page, id).get_by_text("who opens it takes it").wait_for()
    expect(choice(page, id, "Merge")).to_be_hidden()
    row(page, id).focus()
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    choice(page, id, "Merge").wait_for()
    assert answers(served, name) == []

    page.keyboard.press("1")

    row(page, id).wait_for(state="detached")
    assert answers(served, name) == [(person, "Merge")]
