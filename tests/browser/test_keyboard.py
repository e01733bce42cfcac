"""The keyboard and screen readers: shortcuts, focus, names, and the findings of axe-core."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.page import live

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


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; `.ci/run` installs it from npm and sets AXE_CORE to its path."""
    path = os.environ.get("AXE_CORE")
    if not path:
        pytest.skip("AXE_CORE does not name axe-core's axe.min.js (npm install axe-core)")
    return Path(path).read_text()


@pytest.fixture
def peopled(served, name) -> str:
    """An agent with mail in every state, so that every colour is checked."""
    for state in ("dead", "acked", "leased", "queued"):
        served.send(
            name, f"a message that is {state} with `code`, https://a.example/\n\n```sh\nls -l\n```", thread="t-1"
        )
        if state == "dead":
            for _ in range(5):
                served.settle("nack", name, served.read(name))
        elif state == "acked":
            served.settle("nack", name, served.read(name))
            served.settle("ack", name, served.read(name))
        elif state == "leased":
            served.read(name)
    served.call("POST", "broadcasts", {"body": "to all", "from": name})
    served.call("POST", f"agents/{name}/heartbeat")
    return str(name)


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, axe, peopled, scheme, width) -> None:
    page = visit("#/", scheme=scheme, width=width, name=peopled)
    live(page)
    page.evaluate(axe)  # evaluated by the debugger: the page's policy is unchanged
    for place in PLACES.values():
        page.evaluate(f"location.hash = '{place.format(peopled)}'")
        page.locator(".message, .event, .empty, .agent").locator("visible=true").first.wait_for()
        findings(page, f"{place} {scheme} {width}")
    page.evaluate(f"location.hash = '#/agents/{peopled}'")
    page.get_by_role("button", name="Show", exact=True).click()
    page.locator("[data-dead-id]").wait_for()
    findings(page, f"dead letters {scheme} {width}")
    page.get_by_role("button", name="Clear all").click()
    findings(page, f"question {scheme} {width}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Help").click()
    findings(page, f"help {scheme} {width}")


def test_axe_finds_a_bad_contrast(visit, axe) -> None:
    page = visit("#/")
    live(page)
    page.evaluate(axe)
    page.evaluate("document.querySelector('.mail-summary').style.color = '#bbb'")

    with pytest.raises(AssertionError, match="color-contrast"):
        findings(page, "broken on purpose")


def findings(page: Any, where: str) -> None:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    serious = [
        f"{each['impact']} {each['id']}: {node['html'][:160]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == [], where
