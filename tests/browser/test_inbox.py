"""The inbox of a person: choices, answers, what was seen, who has taken it, and the keyboard."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from postino.client import Client
from tests.browser.page import go, row

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def ann(served: Any, run_daemon: Any) -> Iterator[Any]:
    """The daemon of another person on the same Valkey."""
    url = f"unix://{served.home.valkey_socket}"
    with run_daemon(POSTINO_VALKEY_URL=url, POSTINO_HUMAN_NAME="ann-elsewhere") as other:
        yield other


@pytest.fixture
def inbox(visit: Any, person: str) -> Any:
    """Open the inbox as that person: `inbox(width=390)`."""

    def open_it(**how: Any) -> Any:
        page = visit("#/inbox", person=person, **how)
        page.locator(".name-line strong", has_text=person).wait_for()
        return page

    return open_it


def opened_by(served: Any, person: str, id: str) -> str | None:
    items = served.call("GET", f"people/{person}")["items"]
    found: str | None = next(each["opened_by"] for each in items if each["id"] == id)
    return found


def test_a_click_on_a_choice_answers_and_ends_the_message(inbox: Any, served: Any, person: str, name: str) -> None:
    page = inbox()
    id = served.send(person, "Merge **now**?", choices=["Merge", "Wait"], thread="rel-1.4", **{"from": name})
    row(page, id).locator("strong", has_text="now").wait_for()

    row(page, id).get_by_role("button", name="Merge", exact=True).dblclick()

    row(page, id).wait_for(state="detached")
    (answer,) = served.call("GET", f"messages/{name}")["items"]
    assert {each: answer[each] for each in ("from", "to", "body", "reply_to", "thread", "via")} == {
        "from": person,
        "to": name,
        "body": "Merge",
        "reply_to": id,
        "thread": "rel-1.4",
        "via": "web",
    }
    assert served.call("GET", f"messages/{person}/{id}")["reader"] == person


def test_who_answers_what_another_person_has_answered_is_told(inbox: Any, served: Any, person: str, name: str) -> None:
    served.call("POST", f"people/{name}-lea")
    id = served.send("human", "Who is on call?", **{"from": f"{name}-ann"})
    page = inbox()
    row(page, id).get_by_role("button", name="Open it", exact=True).click()
    row(page, id).get_by_role("button", name="Reply").click()
    served.send(f"{name}-ann", "I am", reply_to=id, id=f"{name}-r1", **{"from": f"{name}-lea"})
    page.keyboard.type("Me")
    page.keyboard.press("Control+Enter")

    note = f"A further answer: {name}-lea has answered {id} before, by {name}-r1."
    expect(page.locator(".inbox .compose-status")).to_contain_text(note)


def test_a_message_that_was_visible_counts_as_seen_and_stays_until_it_is_done(
    inbox: Any, served: Any, person: str, until: Any
) -> None:
    told = {"to": [person, f"{person}-b"], "body": "For your information", "from": "ci"}
    id = served.call("POST", "messages", told)["id"]
    page = inbox()
    expect(row(page, id).locator(".from-to .recipients a")).to_have_text([person, f"{person}-b"])
    tab = page.locator(".tab", has_text="Inbox")
    until(lambda: opened_by(served, person, id) == person, "it is reported as seen")
    assert tab.locator(".tab-count").inner_text().startswith("1")
    until(lambda: page.title().startswith("(1) "), "the title counts it")
    assert page.locator(".strip-you").inner_text() == "1 for you"

    row(page, id).get_by_role("button", name="Done").click()

    row(page, id).wait_for(state="detached")
    until(lambda: not page.title().startswith("("), "the title counts nothing")
    page.get_by_text("Nothing waits for you", exact=True).wait_for()
    page.get_by_text(f"Agents write to you as {person}, or to human.").wait_for()
    assert tab.locator(".tab-count").is_hidden()


def test_a_message_to_all_people_is_closed_until_somebody_opens_it(
    inbox: Any, served: Any, person: str, until: Any
) -> None:
    other = f"person-{secrets.token_hex(4)}"
    served.call("POST", f"people/{other}")
    first, second = served.send("human", "Who?"), served.send("human", "Who else?")
    page = inbox()
    row(page, first).get_by_text("who opens it takes it").wait_for()
    assert row(page, first).locator(".body").is_hidden()
    expect(row(page, first).get_by_role("button")).to_have_text(["Open it"])
    row(page, first).focus()
    for key in "ery1":
        page.keyboard.press(key)
        page.locator(".toast", has_text="Open the message first.").wait_for()
        page.locator("#toasts").evaluate("(all) => all.replaceChildren()")
    assert opened_by(served, person, first) is None

    row(page, first).get_by_role("button", name="Open it").click()
    row(page, first).get_by_text("Who?").wait_for()
    served.call("POST", f"people/{other}/seen", {"ids": [second]})

    row(page, second).locator(".message-state", has_text=f"by {other}").wait_for()
    assert opened_by(served, other, first) == person
    until(lambda: page.title().startswith("(1) "), "what another has taken does not count")
    served.call("POST", f"people/{other}/done", {"ids": [first, second]})


def test_everything_can_be_done_with_keys(inbox: Any, served: Any, person: str, name: str, until: Any) -> None:
    first = served.send(person, "One of them?", choices=["this", "that"], **{"from": name})
    second = served.send(person, "What do you think?", **{"from": name})
    third = served.send(person, "Done?", **{"from": name})
    page = inbox()
    row(page, third).wait_for()
    page.evaluate("document.activeElement.blur()")

    go(page, "m", "#/", until)
    go(page, "i", "#/inbox", until)
    row(page, third).wait_for()
    page.keyboard.press("j")
    page.wait_for_function("id => document.activeElement.dataset.messageId === id", arg=first)
    page.keyboard.press("2")
    row(page, first).wait_for(state="detached")
    page.wait_for_function("id => document.activeElement.dataset.messageId === id", arg=second)
    page.keyboard.press("r")
    page.keyboard.type("A lot")
    page.keyboard.press("Control+Enter")
    row(page, second).wait_for(state="detached")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("e")
    row(page, third).wait_for(state="detached")

    answers = {each["reply_to"]: each["body"] for each in served.history(name) if each["from"] == person}
    assert answers == {first: "that", second: "A lot"}
    page.keyboard.press("?")
    assert page.locator("dialog").get_by_text("mark the message of the inbox as done").is_visible()


def test_the_name_can_be_changed_and_asks_for_nothing(visit: Any, served: Any, until: Any) -> None:
    here = next(each["name"] for each in served.call("GET", "people")["items"] if each["here"])
    page = visit("#/inbox", width=320)
    line = page.locator(".name-line")
    line.get_by_text(f"Agents reach you as {here}").wait_for()
    assert [each.inner_text() for each in line.get_by_role("button").all()] == ["Change"]
    assert line.bounding_box()["height"] < 40  # one line
    other = f"person-{secrets.token_hex(4)}"

    line.get_by_role("button", name="Change").click()
    line.get_by_label("Your name").fill(other)
    page.keyboard.press("Enter")

    line.locator("strong", has_text=other).wait_for()
    assert served.call("GET", f"agents/{other}")["kind"] == "human"
    assert page.locator("form.compose input[name=from]").input_value() == other
    until(lambda: served.call("GET", f"agents/{other}")["online"], "the person is online")


def test_a_name_that_an_agent_has_is_refused_in_words(visit: Any, mcp_client: Any, name: str) -> None:
    mcp_client(name).call("msg_whoami")
    page = visit("#/inbox")
    line = page.locator(".name-line")

    line.get_by_role("button", name="Change").click()
    line.get_by_label("Your name").fill(name)
    page.keyboard.press("Enter")

    line.get_by_text(f"{name} is an agent that is online").wait_for()
    assert name not in line.locator("strong").inner_text()


def test_two_people_on_one_valkey_see_who_has_opened_a_message(
    visit: Any, visit_other: Any, served: Any, ann: Any, person: str
) -> None:
    id = served.send("human", "Which branch is the base?")
    hers = visit_other(ann.url).open("#/inbox")
    his = visit("#/inbox", person=person)
    row(his, id).get_by_text("who opens it takes it").wait_for()

    row(hers, id).press("Enter")

    row(hers, id).get_by_text("Which branch is the base?").wait_for()
    row(his, id).locator(".message-state", has_text="by ann-elsewhere").wait_for()
    row(his, id).get_by_text("Which branch is the base?").wait_for()
    served.call("POST", f"people/{person}/done", {"ids": [id]})


def test_on_a_phone_nothing_is_cut_off_and_choices_are_large(inbox: Any, served: Any, person: str) -> None:
    id = served.send(person, "x" * 400, choices=["w" * 40, "W" * 40, "1", "2", "漢" * 40])
    page = inbox(**PHONE)
    row(page, id).wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    heights = page.eval_on_selector_all(".choice", "all => all.map((each) => each.getBoundingClientRect().height)")
    assert min(heights) >= 44
    assert page.locator(".tab").count() == 5
    assert page.get_by_placeholder("Write a message", exact=True).is_visible()  # a phone has no key r to press


def test_a_command_to_copy_is_whole_on_a_phone(visit: Any) -> None:
    command = visit("#/agents/nobody-yet", **PHONE).get_by_role("group", name="command")

    expect(command).to_be_in_viewport()
    right_end = """(box) => {
        const text = document.createRange();
        text.selectNodeContents(box);
        return Math.max(...[...text.getClientRects()].map((each) => each.right));
    }"""
    assert command.evaluate(right_end) <= PHONE["width"]


def test_hostile_choices_and_names_are_text(inbox: Any, served: Any, person: str) -> None:
    evil = "<img src=x onerror=alert(1)>"
    id = served.send(person, "?", choices=[evil, "javascript:alert(1)"])
    page = inbox()

    assert row(page, id).get_by_role("button", name=evil).inner_text() == evil
    assert page.locator(".inbox-rows img").count() == 0


def test_what_a_signed_in_page_sends_is_verified(visit_other: Any, served: Any, name: str) -> None:
    with Client(served.home.socket, via="cli") as client:
        url = client.signin_code()["url"]
    page = visit_other(url.partition("#")[0].rstrip("/")).open(f"#{url.partition('#')[2]}")
    page.wait_for_function("sessionStorage.getItem('postino.proof')")
    here = page.evaluate("localStorage.getItem('postino.person')")
    id = served.send(here, "Verified?", choices=["yes"], **{"from": name})
    page.evaluate("location.hash = '#/inbox'")

    row(page, id).get_by_role("button", name="yes").click()

    row(page, id).wait_for(state="detached")
    assert [(each["from"], each["verified"]) for each in served.history(name) if each["body"] == "yes"] == [
        (here, True)
    ]
    assert re.fullmatch(rf"{here}:\d+:[0-9a-f]+", page.evaluate("sessionStorage.getItem('postino.proof')"))
    kept = json.loads(page.evaluate("JSON.stringify(Object.keys(localStorage))"))
    assert sorted(kept) == ["postino.last-person", "postino.person"]  # never a proof
