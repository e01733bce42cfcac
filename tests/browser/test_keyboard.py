"""By keyboard alone, and for those who do not see the page: names, focus, and axe-core's findings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

PLACES = {"list": "#/", "mail": "#/mail", "agent": "#/agents/{}", "empty": "#/agents/nobody", "feed": "#/broadcasts"}
PLACES |= {"activity": "#/activity"}


def live(page: Any) -> None:
    page.locator('.connection[data-state="live"]').wait_for()


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText"))


def test_an_agent_is_found_and_written_to_by_keys_alone(visit, served, name) -> None:
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


def test_views_are_reached_by_number(visit) -> None:
    page = visit("#/")
    for key, place in (("2", "broadcasts"), ("3", "activity"), ("1", "")):
        page.keyboard.press(key)
        page.wait_for_url(f"**/#/{place}")


def test_help_opens_and_closes_and_gives_the_focus_back(visit) -> None:
    page = visit("#/")
    page.get_by_role("button", name="Help").focus()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Help").wait_for()
    page.keyboard.press("Escape")

    page.get_by_role("dialog", name="Help").wait_for(state="detached")
    assert focused(page) == "Help"


def test_single_keys_can_be_turned_off(visit) -> None:
    page = visit("#/")
    page.keyboard.press("?")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.keyboard.press("?")

    assert page.get_by_role("dialog").count() == 0
    assert not page.url.endswith("activity")


def test_the_focus_goes_along_to_the_pane_that_is_left(visit, served, name) -> None:
    served.send(name)
    page = visit("#/", width=360)
    page.locator(f'li[data-agent="{name}"] a').press("Enter")
    page.wait_for_url(f"**/#/agents/{name}")

    page.locator("#main:focus").wait_for()  # the address is there before the page has heard of it


def test_nobody_is_notified_unasked(visit) -> None:
    page = visit("#/")
    live(page)
    assert page.get_by_role("button", name="Desktop notifications").get_attribute("aria-pressed") == "false"
    page.get_by_role("button", name="Desktop notifications").click()  # a headless browser says no

    page.get_by_text("This browser does not allow notifications").wait_for()


def test_the_content_is_one_step_away(visit) -> None:
    page = visit("#/activity")
    live(page)
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to content"
    page.keyboard.press("Enter")

    assert page.evaluate("document.activeElement.id") == "main"
    assert page.url.endswith("#/activity")


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core; `.ci/run` fetches it from npm and names it in AXE_CORE."""
    path = os.environ.get("AXE_CORE")
    if not path:
        pytest.skip("AXE_CORE does not name axe-core's axe.min.js (npm install axe-core)")
    return Path(path).read_text()


@pytest.fixture
def peopled(served, name) -> str:
    """An agent with mail in every state, so that every colour is looked at."""
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
    page.evaluate(axe)  # through the debugger: the page's own policy stays as it is
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


def test_axe_would_find_something_serious(visit, axe) -> None:
    page = visit("#/")
    live(page)
    page.evaluate(axe)
    page.evaluate("document.querySelector('.mail-summary').style.color = '#bbb'")

    with pytest.raises(AssertionError, match="color-contrast"):
        findings(page, "broken on purpose")


def findings(page: Any, where: str) -> None:
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    told = [
        f"{each['impact']} {each['id']}: {node['html'][:160]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in ("serious", "critical")
    ]
    assert told == [], where
