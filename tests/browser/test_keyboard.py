"""The keyboard and screen readers: shortcuts, focus and names."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from tests.browser.page import go, live

PLACES = {"list": "#/", "mail": "#/mail", "agent": "#/agents/{}", "empty": "#/agents/nobody"}
PLACES |= {"broadcasts": "#/broadcasts", "activity": "#/activity"}


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"))


def test_an_agent_is_found_and_written_to_with_the_keyboard(visit, served, name) -> None:
    served.send(name)
    page = visit("#/")
    page.locator(f'li[data-agent="{name}"]').wait_for()
    page.keyboard.press("/")
    page.keyboard.type(name)
    page.keyboard.press("ArrowDown")
    assert name in focused(page)
    page.keyboard.press("Enter")
    page.locator(f'li[data-agent="{name}"] [aria-current=page]').wait_for()
    page.keyboard.press("w")
    page.keyboard.type("typed /?w123")
    page.keyboard.press("Control+Enter")

    page.locator(".prose", has_text="typed /?w123").wait_for()


def test_ctrl_enter_sends_from_every_field_of_the_form(visit, served, name) -> None:
    page = visit("#/")
    page.get_by_role("textbox", name="Write a message").fill("begun with the text")
    page.get_by_label("To", exact=True).fill(name)
    page.keyboard.press("Control+Enter")

    page.locator(".prose", has_text="begun with the text").wait_for()
    expect(page.get_by_role("textbox", name="Write a message")).to_have_value("")


def test_the_first_message_is_three_keys_from_the_start(visit, served, until) -> None:
    person = next(each["name"] for each in served.call("GET", "people")["items"] if each["here"])
    id = served.send(person, "first")
    page = visit("#/")
    live(page)
    go(page, "i", "#/inbox", until)
    page.locator(f'.inbox-rows [data-message-id="{id}"]').wait_for()
    page.keyboard.press("j")

    assert page.evaluate("document.activeElement.dataset.messageId") == id
    served.call("POST", f"people/{person}/done", {"ids": [id]})


def test_number_keys_switch_the_view(visit) -> None:
    page = visit("#/")
    for key, place in (("2", "broadcasts"), ("3", "activity"), ("1", "")):
        page.keyboard.press(key)
        page.wait_for_url(f"**/#/{place}")


def test_closing_the_help_returns_the_focus(visit) -> None:
    page = visit("#/")
    page.get_by_role("button", name="Help").focus()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Help").wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("dialog", name="Help").wait_for(state="detached")
    assert focused(page) == "Help"


def test_the_help_begins_at_its_beginning_where_the_window_is_low(visit) -> None:
    page = visit("#/", height=400)
    page.keyboard.press("?")
    help = page.get_by_role("dialog", name="Help")

    expect(help.get_by_role("heading", name="Help", exact=True)).to_be_in_viewport()
    assert focused(page) == "Close"
    assert help.evaluate("(box) => box.scrollHeight > box.clientHeight"), "there is something to scroll"


def test_single_key_shortcuts_can_be_turned_off(visit) -> None:
    page = visit("#/")
    page.keyboard.press("?")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.keyboard.press("?")

    assert page.get_by_role("dialog").count() == 0
    assert not page.url.endswith("activity")


def test_the_focus_moves_to_the_pane_that_is_shown(visit, served, name) -> None:
    served.send(name)
    page = visit("#/", width=360)
    page.locator(f'li[data-agent="{name}"] a').press("Enter")
    page.wait_for_url(f"**/#/agents/{name}")

    page.locator("#main:focus").wait_for()  # the address changes before the page handles it


def test_notifications_are_off_until_the_user_turns_them_on(visit) -> None:
    page = visit("#/")
    live(page)
    assert page.get_by_role("button", name="Desktop notifications").get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Desktop notifications").click()  # a headless browser denies the permission

    page.get_by_text("This browser does not allow notifications").wait_for()


def test_the_first_tab_stop_skips_to_the_content(visit) -> None:
    page = visit("#/activity")
    live(page)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#/activity")
