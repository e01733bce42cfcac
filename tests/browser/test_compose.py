"""The form for a message: what it keeps, refuses and suggests."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.page import live, write


def test_a_lost_answer_keeps_the_text_and_a_retry_is_stored_once(visit, served, name) -> None:
    page = visit(f"#/agents/{name}")
    live(page)

    def swallow(route: Any) -> None:
        route.fetch()  # it is accepted, but the answer is lost
        route.abort()

    page.route("**/api/messages", swallow)
    write(page, "once only")
    page.get_by_role("alert").get_by_text("it will not arrive twice").wait_for()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("once only")
    page.unroute("**/api/messages")
    page.get_by_role("button", name="Send").click()

    page.get_by_text("it was not stored twice").wait_for()
    assert [each["body"] for each in served.history(name)] == ["once only"]
    page.locator("article.message").wait_for()
    expect(page.locator("article.message")).to_have_count(1)


def test_a_refusal_of_the_api_is_shown_in_the_form(visit, name) -> None:
    page = visit(f"#/agents/{name}")
    text = "left \u202e right"
    write(page, text)

    page.get_by_role("alert").get_by_text("U+202E at position 5").wait_for()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value(text)


def test_a_full_inbox_is_shown_in_the_form(visit, name) -> None:
    page = visit(f"#/agents/{name}")
    full = {"ok": False, "code": "inbox_full", "error": "the inbox is full", "retryable": True}
    page.route("**/api/messages", lambda route: route.fulfill(status=429, json=full))
    write(page, "kept")

    page.get_by_role("alert").get_by_text("the inbox is full. Your text is kept").wait_for()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("kept")


def test_a_malformed_name_is_refused(visit, name) -> None:
    page = visit(f"#/agents/{name}")
    expect(page.locator(".mail-summary")).to_have_text("Not seen yet; mail to this name waits")

    page.evaluate("location.hash = '#/agents/bad%20name'")

    page.get_by_role("heading", name="bad name").wait_for()
    page.get_by_text("agent must be 1 to 64 of").wait_for()
    expect(page.locator(".mail-summary")).to_be_empty()


def test_similar_names_are_shown_for_an_unknown_recipient(visit, served, until, name) -> None:
    served.call("POST", f"agents/reviewer-{name}/heartbeat")
    until(lambda: served.call("POST", "messages", {"to": f"reviewer-{name}x", "body": "x"})["names"], "it is known")
    page = visit("#/mail")
    page.get_by_label("To", exact=True).fill(f"reviewe-{name}")
    write(page, "hello?")

    page.get_by_text(f"Did you mean reviewer-{name}?").wait_for()


def test_an_accepted_name_is_kept_in_the_browser(visit, name) -> None:
    page = visit(f"#/agents/{name}")
    page.get_by_role("textbox", name="From", exact=True).fill("luca")
    write(page, "hello")
    page.locator("article.message").wait_for()
    expect(page.locator(".compose-status")).not_to_be_empty()
    page.reload()
    expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("luca")

    page.get_by_role("textbox", name="From", exact=True).fill("")
    write(page, "nobody in particular")
    page.locator("article.message").nth(1).wait_for()
    page.reload()
    expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("")


def test_a_refused_name_stays_in_its_own_form(visit, name) -> None:
    page = visit(f"#/agents/{name}", name="luca")
    page.get_by_role("textbox", name="From", exact=True).fill("human")
    write(page, "hello")
    page.get_by_role("alert").get_by_text("reserved").wait_for()
    page.get_by_role("textbox", name="From", exact=True).blur()

    page.get_by_role("link", name="All mail").click()
    expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("luca")
    page.get_by_role("link", name="Broadcasts").click()
    expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("luca")
    page.evaluate("(name) => { location.hash = `#/agents/${name}`; }", name)
    expect(page.get_by_role("textbox", name="From", exact=True)).to_have_value("human")


def test_a_draft_is_kept_while_another_view_is_shown(visit, served, name) -> None:
    served.send(name)
    page = visit(f"#/agents/{name}")
    page.get_by_role("textbox", name="Write a message").fill("half a sen")
    page.get_by_role("link", name="All mail").click()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("")

    page.go_back()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("half a sen")
