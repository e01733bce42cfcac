"""The live connection: its state is shown, it recovers from a killed daemon, no event is lost or shown twice."""

from __future__ import annotations

import os
import signal
import urllib.error
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.page import write
from tests.nodes import free_port


@pytest.fixture(scope="module")
def mortal_daemon(run_daemon: Any) -> Iterator[Any]:
    """A daemon that tests may kill. Its port is fixed, so that a page finds it again."""
    with run_daemon(POSTINO_WEB_PORT=str(free_port())) as served:
        yield served


@pytest.fixture
def daemon(mortal_daemon: Any) -> Any:
    """That daemon, running, with an empty store."""
    mortal_daemon.start()
    with mortal_daemon.valkey() as valkey:
        valkey.flushall()
    return mortal_daemon


@pytest.fixture
def visitor(daemon: Any, visit_other: Any) -> Any:
    """A browser on that daemon."""
    return visit_other(daemon.url)


def state(page: Any, name: str) -> None:
    page.locator(f'.connection[data-state="{name}"]').wait_for()


FITS = """() => {
    const box = (selector) => document.querySelector(selector).getBoundingClientRect();
    const [last, send, state] = [box(".tool:last-child"), box(".compose .send"), box(".connection")];
    return [document.documentElement.scrollWidth, last.right, send.right].every((each) => each <= innerWidth)
        && box(".views").right <= state.left && state.height < 40;
}"""


def test_the_header_and_the_send_button_have_room_on_every_screen(visitor, daemon) -> None:
    daemon.send("bob", "hello")
    page = visitor.open("#/")
    page.get_by_role("button", name="Send", exact=True).wait_for()
    for name in ("live", "waiting"):
        if name == "waiting":
            daemon.kill()
        state(page, name)
        for width in (740, 820, 900, 1030, 1100, 1200, 1280):
            page.set_viewport_size({"width": width, "height": 700})
            assert page.evaluate(FITS), (name, width)


def test_a_page_recovers_from_a_killed_daemon_without_a_reload(visitor, daemon) -> None:
    page = visitor.open("#/agents/bob")
    activity = visitor.open("#/activity")
    state(page, "live")
    state(activity, "live")
    page.evaluate("globalThis.same = true")
    before = [daemon.send("bob", f"before {number}") for number in range(3)]
    page.get_by_text("before 2", exact=True).wait_for()

    daemon.kill()
    state(page, "waiting")
    page.get_by_text("Offline, trying again").wait_for()
    page.get_by_role("textbox", name="Write a message").fill("written while it was away")
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").get_by_text("Your text is kept").wait_for()
    daemon.start()
    after = [daemon.send("bob", f"after {number}") for number in range(3)]

    page.get_by_text("after 2", exact=True).wait_for()
    state(page, "live")
    page.get_by_role("button", name="Send").click()
    page.locator(".prose", has_text="written while it was away").wait_for()
    assert page.evaluate("globalThis.same") is True
    shown = [each.get_attribute("data-message-id") for each in page.locator("article.message").all()]
    assert shown[:6] == before + after
    assert len(shown) == 7
    state(activity, "live")
    activity.locator('.event[data-type="msg_send"]').nth(6).wait_for()
    ids = [each.get_attribute("data-event-id") for each in activity.locator(".event").all()]
    assert len(ids) == len(set(ids))
    expect(activity.locator('.event[data-type="msg_send"]')).to_have_count(7)


@pytest.mark.parametrize("look", ["#/agents/bob", "#/broadcasts"], ids=["seen", "unseen"])
def test_the_status_that_the_daemon_does_not_answer_goes_when_it_answers(visitor, daemon, look) -> None:
    page = visitor.open("#/agents/bob")
    state(page, "live")
    daemon.kill()
    state(page, "waiting")
    page.get_by_role("textbox", name="Write a message").fill("kept")
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").get_by_text("postino does not answer").wait_for()

    page.evaluate("(place) => { location.hash = place; }", look)
    daemon.start()
    state(page, "live")
    page.evaluate("location.hash = '#/agents/bob'")

    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("kept")


def test_that_status_goes_in_the_inbox_too(visitor, daemon) -> None:
    page = visitor.open("#/inbox")
    state(page, "live")
    daemon.kill()
    state(page, "waiting")
    page.get_by_label("To", exact=True).fill("bob")
    page.get_by_role("textbox", name="Write an answer").fill("kept")
    page.keyboard.press("Control+Enter")
    page.get_by_role("alert").get_by_text("postino does not answer").wait_for()

    daemon.start()
    state(page, "live")

    expect(page.get_by_role("alert")).to_be_empty()
    expect(page.get_by_role("textbox", name="Write an answer")).to_have_value("kept")


@pytest.mark.parametrize("typed", ["", "more"], ids=["alone", "mixed"])
def test_the_status_of_a_hidden_draft_is_true_when_it_is_shown_again(visitor, daemon, until, typed) -> None:
    page = visitor.open("#/agents/bob")
    state(page, "live")
    sent: list[Any] = []
    page.route("**/api/messages", lambda route: sent.append(route))
    page.get_by_role("textbox", name="Write a message").fill("kept")
    page.keyboard.press("Control+Enter")
    page.keyboard.type(typed)
    until(lambda: page.evaluate("location.hash = '#/agents/eve'") and sent, "it is sent")
    sent[0].abort()
    page.locator('.toast[data-kind="bad"]', has_text="bob: postino does not answer").wait_for()

    daemon.kill()
    state(page, "waiting")
    daemon.start()
    state(page, "live")
    page.evaluate("location.hash = '#/agents/bob'")

    doubt = "Your text was put before what you typed since. It may have arrived already."
    expect(page.get_by_role("alert")).to_have_text(doubt if typed else "")
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("kept\nmore" if typed else "kept")


def test_every_tab_recovers_from_a_killed_daemon(visitor, daemon) -> None:
    first = visitor.open("#/agents/bob")
    pages = [first, first.context.new_page(), first.context.new_page()]
    for page in pages[1:]:
        page.goto(f"{daemon.url}/#/agents/bob")
    for page in pages:
        state(page, "live")

    daemon.kill()
    for page in pages:
        state(page, "waiting")
    daemon.start()
    daemon.send("bob", "after")

    for page in pages:
        page.get_by_text("after", exact=True).wait_for()
        state(page, "live")


def test_a_page_that_is_loaded_while_valkey_is_away_does_not_take_the_person_for_nobody(visitor, daemon) -> None:
    def sender(page):
        return page.get_by_role("textbox", name="From", exact=True)

    here = next(each["name"] for each in daemon.call("GET", "people")["items"] if each["here"])
    known = visitor.open("#/agents/bob")
    expect(sender(known)).to_have_value(here)

    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        known.reload()
        expect(sender(known)).to_have_value(here)
        new = visitor.open("#/agents/bob")
        expect(sender(new)).to_have_value("")
        expect(sender(new)).to_have_attribute("placeholder", "not known yet")
        write(new, "too early")
        new.get_by_role("alert").get_by_text("Your name is not known yet").wait_for()
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)

    expect(sender(new)).to_have_value(here)
    expect(sender(new)).to_have_attribute("placeholder", "anonymous")
    expect(new.get_by_role("textbox", name="Write a message")).to_have_value("too early")
    expect(sender(known)).to_have_value(here)


def test_a_page_that_is_loaded_while_valkey_is_away_tells_no_figures_and_says_why(visitor, daemon) -> None:
    daemon.send("bob", "hello")
    why = "Valkey cannot be used right now"

    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        page = visitor.open("#/inbox")
        page.locator(".inbox .empty", has_text=why).wait_for()
        page.get_by_role("link", name="Messages").click()
        page.locator(".mail .empty", has_text=why).wait_for()
        expect(page.locator(".mail-summary")).to_have_text("")
        expect(page.locator(".agent-all .agent-status")).to_have_text("")
        page.get_by_role("link", name="Activity").click()
        expect(page.locator(".counts dd")).to_have_text(["–"] * 5)
        expect(page.get_by_text("No events in the last ten minutes")).to_be_hidden()
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)

    expect(page.locator(".counts dd")).to_have_text(["1", "1", "1", "0", "0"])
    page.get_by_role("link", name="Messages").click()
    expect(page.locator(".agent-all .agent-status")).to_have_text("1 online · 1 unread")
    page.get_by_role("link", name="Inbox").click()
    page.get_by_text("Nothing waits for you").wait_for()


def test_every_tab_says_that_valkey_is_away_while_the_daemon_serves(visitor, daemon) -> None:
    first = visitor.open("#/agents/bob")
    pages = [first, first.context.new_page()]
    pages[1].goto(f"{daemon.url}/#/agents/bob")
    for page in pages:
        state(page, "live")

    os.kill(daemon.valkey_pid(), signal.SIGSTOP)
    try:
        for page in pages:
            state(page, "away")
            page.get_by_text("Valkey is away", exact=True).wait_for()
            page.locator(".banner", has_text="Valkey").wait_for()
        pages.append(first.context.new_page())
        pages[2].goto(f"{daemon.url}/#/agents/bob")
        state(pages[2], "away")
    finally:
        os.kill(daemon.valkey_pid(), signal.SIGCONT)
    daemon.send("bob", "after")

    for page in pages:
        state(page, "live")
        page.get_by_text("after", exact=True).wait_for()
        expect(page.locator(".banner")).to_be_hidden()


def test_a_page_opened_before_its_daemon_answers_becomes_live(visitor, daemon) -> None:
    page = visitor.open("#/agents/bob")
    state(page, "live")
    page.route("**/api/**", lambda route: route.abort())
    page.reload()
    state(page, "waiting")

    page.unroute("**/api/**")

    state(page, "live")
    daemon.send("bob", "here")
    page.get_by_text("here", exact=True).wait_for()


def test_a_hidden_tab_disconnects_and_catches_up(visitor, daemon, until) -> None:
    page = visitor.open("#/agents/bob", clock=True)
    state(page, "live")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => globalThis.away ?? false })")

    page.evaluate("away = true; document.dispatchEvent(new Event('visibilitychange'))")
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/api/events")):
        page.clock.fast_forward(61_000)
    daemon.send("bob", "meanwhile")
    page.clock.fast_forward(31_000)
    page.locator('li[data-agent="bob"] .badge:not(.badge-dead)').wait_for()  # the agents are asked for now and then
    page.evaluate("away = false; document.dispatchEvent(new Event('visibilitychange'))")

    page.get_by_text("meanwhile", exact=True).wait_for()  # the list of agents has it, too, after its sender
    expect(page.locator("article.message")).to_have_count(1)


def test_a_machine_that_slept_during_a_request_does_not_delay_the_next_one(visitor, daemon, until) -> None:
    page = visitor.open("#/agents/bob", clock=True)
    state(page, "live")
    held: list[Any] = []
    page.route("**/api/history*", lambda route: route.continue_() if held else held.append(route))
    daemon.send("bob", "before")
    until(lambda: page.evaluate("true") and held, "it loads")  # Playwright dispatches it during the call
    page.clock.fast_forward(3_600_000)
    held[0].continue_()
    page.get_by_text("before", exact=True).wait_for()

    daemon.send("bob", "after")
    page.get_by_text("after", exact=True).wait_for()


def test_a_page_recovers_from_a_killed_valkey(visitor, daemon, until) -> None:
    page = visitor.open("#/agents/bob")
    state(page, "live")

    os.kill(daemon.valkey_pid(), signal.SIGKILL)

    def accepted() -> bool:
        try:
            return bool(daemon.send("bob", "after the loss"))
        except urllib.error.HTTPError:  # Valkey does not run yet
            return False

    until(accepted, "Valkey runs again")
    page.get_by_text("after the loss", exact=True).wait_for()


def test_events_of_an_emptied_store_are_shown(visitor, daemon) -> None:
    page = visitor.open("#/agents/bob")
    state(page, "live")
    daemon.send("bob", "before")
    page.get_by_text("before", exact=True).wait_for()
    with daemon.valkey() as valkey:
        valkey.flushall()
    daemon.kill()
    daemon.start()
    state(page, "live")
    daemon.send("bob", "after")

    page.get_by_text("after", exact=True).wait_for()


def test_an_unhealthy_daemon_causes_a_warning_until_it_recovers(visitor, daemon) -> None:
    page = visitor.open("#/", clock=True)
    state(page, "live")
    ill = {"ok": False, "valkey": False, "durability": "fsync", "error": "Valkey does not answer"}
    page.route("**/api/health", lambda route: route.fulfill(status=503, json=ill))
    page.clock.fast_forward(16_000)
    page.get_by_text("Valkey does not answer").wait_for()

    page.unroute("**/api/health")
    page.clock.fast_forward(16_000)

    page.get_by_text("Valkey does not answer").wait_for(state="hidden")


def test_a_choice_made_while_the_daemon_is_gone_can_be_made_again(visitor, daemon) -> None:
    daemon.call("POST", "people/ann")
    id = daemon.send("ann", "Merge?", choices=["Merge", "Wait"], **{"from": "builder"})
    page = visitor.open("#/inbox", person="ann")
    state(page, "live")
    asked = page.locator(f'.inbox-rows [data-message-id="{id}"]')
    asked.wait_for()

    daemon.kill()
    asked.get_by_role("button", name="Merge", exact=True).click()
    asked.get_by_text("It is not known whether your answer has arrived.").wait_for()
    daemon.start()
    state(page, "live")
    asked.get_by_role("button", name="Merge", exact=True).click()

    asked.wait_for(state="detached")
    assert [each["body"] for each in daemon.call("GET", "messages/builder")["items"]] == ["Merge"]
