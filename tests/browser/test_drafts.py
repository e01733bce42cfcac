"""Drafts: an answer never deletes typed text, and sent text is not shown in the form again."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect


@pytest.fixture
def held(until: Any) -> Any:
    """Hold the sends of a page: `held(page)` returns a function that waits for the next request and returns it."""

    def hold(page: Any, address: str = "**/api/messages") -> Any:
        requests: list[Any] = []
        page.route(address, lambda route: requests.append(route))

        def next_one() -> Any:
            until(lambda: page.evaluate("true") and requests, "it is sent")  # Playwright dispatches it during the call
            return requests.pop(0)

        return next_one

    return hold


def box(page: Any) -> Any:
    return page.get_by_role("textbox", name="Write a message")


def send(page: Any, text: str) -> None:
    box(page).fill(text)
    box(page).press("Control+Enter")


def at(page: Any, name: str) -> None:
    """Show the mail of `name`, as a click on its row does."""
    page.evaluate("(name) => { location.hash = `#/agents/${name}`; }", name)
    page.locator(".mail-name", has_text=name).wait_for()


def test_text_typed_before_the_answer_stays(visit, served, held, name) -> None:
    page = visit(f"#/agents/{name}")
    sending = held(page)
    send(page, "the first")
    page.keyboard.type("and the second")
    sending().continue_()
    page.locator(".prose", has_text="the first").wait_for()
    expect(page.locator(".compose-status")).not_to_be_empty()

    expect(box(page)).to_have_value("and the second")
    box(page).press("Control+Enter")
    sending().continue_()
    page.locator(".prose", has_text="and the second").wait_for()
    expect(box(page)).to_have_value("")
    assert [each["body"] for each in served.history(name)] == ["and the second", "the first"]


def test_an_answer_does_not_change_the_draft_for_another_agent(visit, held, name) -> None:
    page = visit(f"#/agents/{name}-a")
    sending = held(page)
    send(page, "to a")
    request = sending()
    at(page, f"{name}-b")
    box(page).fill("a draft to b")
    request.continue_()

    page.locator(".toast", has_text=f"{name}-a").wait_for()
    expect(box(page)).to_have_value("a draft to b")
    expect(page.locator(".compose-status")).to_be_empty()
    at(page, f"{name}-a")
    page.locator(".prose", has_text="to a").wait_for()
    expect(box(page)).to_have_value("")
    at(page, f"{name}-b")
    expect(box(page)).to_have_value("a draft to b")


def test_the_text_of_a_failed_send_is_put_back_into_its_draft(visit, held, name) -> None:
    page = visit(f"#/agents/{name}-a")
    sending = held(page)
    send(page, "to a")
    request = sending()
    at(page, f"{name}-b")
    box(page).fill("a draft to b")
    request.abort()

    page.locator('.toast[data-kind="bad"]', has_text=f"{name}-a: postino does not answer").wait_for()
    expect(box(page)).to_have_value("a draft to b")
    at(page, f"{name}-a")
    expect(box(page)).to_have_value("to a")
    page.get_by_role("alert").get_by_text("it will not arrive twice").wait_for()


def test_the_text_of_a_failed_send_is_put_before_text_typed_since(visit, held, name) -> None:
    page = visit(f"#/agents/{name}")
    sending = held(page)
    send(page, "the first")
    page.keyboard.type("and the sec")
    sending().abort()
    page.get_by_role("alert").get_by_text("It may have arrived already").wait_for()
    page.keyboard.type("ond")

    expect(box(page)).to_have_value("the first\nand the second")


def test_a_draft_of_a_reply_keeps_its_context(visit, served, name) -> None:
    id = served.send(name, "a question")
    page = visit(f"#/agents/{name}")
    page.locator(f'[data-message-id="{id}"]').get_by_role("button", name="Reply").click()
    box(page).fill("an answer")
    at(page, f"{name}-b")
    expect(page.locator(".compose-context")).to_be_hidden()

    at(page, name)

    expect(box(page)).to_have_value("an answer")
    page.get_by_text("Reply to tester").wait_for()


def test_the_answer_to_a_broadcast_does_not_change_text_typed_since(visit, served, held) -> None:
    page = visit("#/broadcasts")
    sending = held(page, "**/api/broadcasts")
    form = page.get_by_role("textbox", name="Write to everyone")
    form.fill("hear ye")
    form.press("Control+Enter")
    page.keyboard.type("and more")
    sending().continue_()
    page.locator(".prose", has_text="hear ye").wait_for()

    page.get_by_text("Sent as broadcast no.").wait_for()
    expect(form).to_have_value("and more")
    served.call("DELETE", "broadcasts")


def test_a_draft_follows_a_rename(visit, served, name) -> None:
    served.call("POST", f"agents/{name}/heartbeat")
    page = visit(f"#/agents/{name}")
    page.locator('.connection[data-state="live"]').wait_for()
    box(page).fill("half a sen")

    served.call("POST", f"agents/{name}/rename", {"name": f"new-{name}"})
    page.wait_for_url(f"**/#/agents/new-{name}")

    expect(box(page)).to_have_value("half a sen")
