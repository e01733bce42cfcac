"""What people need who do not see the page as it was drawn: axe-core, forced colours, a narrow screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.browser.page import live

PLACES = {"list": "#/", "mail": "#/mail", "agent": "#/agents/{}", "empty": "#/agents/nobody", "inbox": "#/inbox"}
PLACES |= {"broadcasts": "#/broadcasts", "activity": "#/activity", "threads": "#/threads", "thread": "#/threads/t-1"}
PHONE, NARROW = 390, 320
#: what axe-core does not look for of itself: links and buttons are 24 px from one another
OPTIONS = "{resultTypes: ['violations'], rules: {'target-size': {enabled: true}}}"


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
    person = next(each["name"] for each in served.call("GET", "people")["items"] if each["here"])
    served.send(person, "Merge?", choices=["now", "later"], thread="t-1")
    served.send("human", "Who?")
    served.call("POST", "broadcasts", {"body": "to all", "from": name})
    served.call("POST", f"agents/{name}/heartbeat")
    return str(name)


@pytest.mark.parametrize("width", [1280, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit, axe, peopled, scheme, width) -> None:
    page = visit("#/", scheme=scheme, width=width, name=peopled)
    live(page)
    page.evaluate(axe)  # evaluated by the debugger: the page's policy is unchanged
    for place in PLACES.values():
        page.evaluate(f"location.hash = '{place.format(peopled)}'")
        page.locator(".message, .event, .empty, .agent").locator("visible=true").first.wait_for()
        findings(page, f"{place} {scheme} {width}")
    page.get_by_role("button", name="Preview").locator("visible=true").click()
    findings(page, f"preview {scheme} {width}")
    page.evaluate(f"location.hash = '#/agents/{peopled}'")
    page.get_by_role("button", name="Show", exact=True).click()
    page.locator("[data-dead-id]").wait_for()
    findings(page, f"dead letters {scheme} {width}")
    page.get_by_role("button", name="Clear all").click()
    findings(page, f"question {scheme} {width}")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Help").click()
    findings(page, f"help {scheme} {width}")


@pytest.mark.parametrize("width", [1280, NARROW])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_made_up_mailroom(visit, axe, scheme, width) -> None:
    page = visit("?demo=1", scheme=scheme, width=width)
    live(page)
    page.evaluate(axe)
    for place in ("#/", "#/inbox", "#/threads", "#/threads/rel-1.4", "#/agents/reviewer", "#/broadcasts", "#/activity"):
        page.evaluate(f"location.hash = '{place}'")
        page.locator(".message, .event, .agent").locator("visible=true").first.wait_for()
        findings(page, f"demo {place} {scheme} {width}")


def test_axe_finds_a_bad_contrast(visit, axe) -> None:
    page = visit("#/")
    live(page)
    page.evaluate(axe)
    page.evaluate("document.querySelector('.mail-summary').style.color = '#bbb'")

    with pytest.raises(AssertionError, match="color-contrast"):
        findings(page, "broken on purpose")


def findings(page: Any, where: str) -> None:
    found = page.evaluate(f"axe.run(document, {OPTIONS})")["violations"]
    serious = [
        f"{each['impact']} {each['id']}: {node['html'][:160]} {node['failureSummary']}"
        for each in found
        for node in each["nodes"]
        if each["impact"] in ("serious", "critical")
    ]
    assert serious == [], where


FRAMED = """(selector) => [...document.querySelectorAll(selector)]
    .filter((each) => each.getClientRects().length)
    .map((each) => [each.className, getComputedStyle(each)])
    .filter(([, style]) => style.borderTopStyle === "none" || style.borderTopWidth === "0px")
    .map(([name]) => name)"""


def test_in_forced_colours_what_only_a_background_shows_has_a_frame(browser, served, peopled) -> None:
    context = browser.new_context(forced_colors="active", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(f"{served.url}/#/inbox")
    page.locator(".choice").first.wait_for()
    page.locator(".tab-count").wait_for()

    assert page.evaluate("matchMedia('(forced-colors: active)').matches")
    assert page.evaluate(FRAMED, ".choice, .strip-chip, .tab-count, .send, .name-line .plain") == []
    underline = page.evaluate(
        "getComputedStyle(document.querySelector('.tab[aria-current]'), '::after')['background-color']"
    )
    around = page.evaluate("getComputedStyle(document.body)['background-color']")
    assert underline != around, "the current tab is marked"
    page.locator(".choice").first.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    context.close()


def test_at_390_pixels_every_view_fits_and_every_control_can_be_touched(visit, peopled) -> None:
    page = visit("#/", width=PHONE, height=844, name=peopled)
    live(page)
    for place in PLACES.values():
        page.evaluate(f"location.hash = '{place.format(peopled)}'")
        page.locator(".message, .event, .empty, .agent").locator("visible=true").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE, place
        small = page.evaluate(
            """() => [...document.querySelectorAll("button, a, input, textarea")]
                .filter((each) => each.checkVisibility({ opacityProperty: true }))
                .filter((each) => !each.closest("p, .skip, .body, .joined > .message-head"))
                .map((each) => [each.className || each.textContent, each.getBoundingClientRect()])
                .filter(([, box]) => box.bottom > 0 && box.right > 0 && box.width > 0)
                .filter(([, box]) => Math.min(box.width, box.height) < 16)
                .map(([name, { width, height }]) => `${name} ${width} x ${height}`)"""
        )
        assert small == [], place
