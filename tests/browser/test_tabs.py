"""Many tabs of one browser: one reads the events for all, and no event is missed when that tab goes away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.page import live

TABS = 8  # a browser opens six connections to one server
# counts the event streams of this page: the open ones, and all that it ever opened
COUNT = """
globalThis.streams = 0;
globalThis.opened = 0;
const { fetch } = globalThis;
globalThis.fetch = async (path, options) => {
  if (path !== "/api/events") return fetch(path, options);
  streams++;
  opened++;
  options.signal.addEventListener("abort", () => streams--);
  return fetch(path, options);
};
"""


def shows(page: Any, text: str) -> None:
    page.locator(".prose", has_text=text).wait_for()


@pytest.fixture
def tabs(visit: Callable[..., Any], served: Any, name: str) -> Callable[..., list[Any]]:
    """Open tabs of one browser on the mail of one agent: `tabs(3)`. `script` runs before the scripts of each page."""

    def open_tabs(number: int, script: str = "", **how: Any) -> list[Any]:
        first = visit(f"#/agents/{name}", **how)
        first.context.add_init_script(COUNT + script)
        first.reload()
        pages = [first]
        live(first)
        for _ in range(number - 1):
            page = first.context.new_page()
            page.set_default_timeout(8_000)
            page.goto(f"{served.url}/#/agents/{name}")
            live(page)
            pages.append(page)
        return pages

    return open_tabs


@pytest.fixture
def reader(until: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    """Wait until exactly one page reads the events, and return it."""

    def find(pages: list[Any]) -> Any:
        found: list[Any] = until(lambda: _alone(_reading(pages)), "one tab reads for all")
        return found[0]

    return find


def _reading(pages: list[Any]) -> list[Any]:
    return [page for page in pages if page.evaluate("streams")]


def _alone(pages: list[Any]) -> list[Any]:
    return pages if len(pages) == 1 else []


def test_eight_tabs_of_one_browser_are_live(tabs, reader, name) -> None:
    pages = tabs(TABS)
    reader(pages)

    form = pages[3].get_by_role("textbox", name="Write a message")
    form.fill("from the fourth tab")
    form.press("Control+Enter")

    for page in pages:
        shows(page, "from the fourth tab")
        live(page)
        expect(page.locator("article.message")).to_have_count(1)


def test_the_others_stay_live_when_the_reading_tab_is_closed(tabs, reader, served, name) -> None:
    pages = tabs(TABS)
    for round in range(3):
        closed = reader(pages)
        pages.remove(closed)
        served.send(name, f"just before, {round}")
        closed.close()
        served.send(name, f"just after, {round}")

        for page in pages:
            shows(page, f"just before, {round}")
            shows(page, f"just after, {round}")
            live(page)
    reader(pages)


def test_a_frozen_tab_lets_another_one_read_and_catches_up(tabs, reader, served, name) -> None:
    pages = tabs(3)
    frozen = reader(pages)
    others = [page for page in pages if page is not frozen]
    debugger = frozen.context.new_cdp_session(frozen)
    debugger.send("Page.setWebLifecycleState", {"state": "frozen"})
    served.send(name, "while it was frozen")
    for page in others:
        shows(page, "while it was frozen")

    debugger.send("Page.setWebLifecycleState", {"state": "active"})

    shows(frozen, "while it was frozen")
    reader(pages)


def test_a_tab_that_reads_but_posts_nothing_is_replaced(tabs, reader, served, name) -> None:
    """As a frozen one does: it holds the lock and posts nothing."""
    pages = tabs(2, clock=True)
    for page in pages:
        page.evaluate("location.hash = '#/activity'")  # the mail view also loads soon after the start, without an event
    silent = reader(pages)
    (other,) = [page for page in pages if page is not silent]
    silent.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    served.send(name, "not posted")
    shows_events(silent, name, 1)
    shows_events(other, name, 0)
    before = other.evaluate("opened")

    other.clock.fast_forward(51_000)

    shows_events(other, name, 1)
    assert other.evaluate("opened") == before + 1  # the silent one may miss an event meanwhile, and take its turn again
    reader(pages)


def test_a_tab_that_missed_an_event_notices_it(tabs, reader, served, name) -> None:
    pages = tabs(2)
    for page in pages:
        page.evaluate("location.hash = '#/activity'")
    first = reader(pages)
    (other,) = [page for page in pages if page is not first]
    served.send(name)
    shows_events(other, name, 1)

    first.evaluate("void (globalThis.post = BroadcastChannel.prototype.postMessage)")
    first.evaluate("BroadcastChannel.prototype.postMessage = () => {}")
    served.send(name)
    shows_events(first, name, 2)
    shows_events(other, name, 1)
    first.evaluate("void (BroadcastChannel.prototype.postMessage = post)")
    served.send(name)

    for page in pages:
        shows_events(page, name, 3)


def shows_events(page: Any, name: str, times: int) -> None:
    """Wait until the activity shows that many messages to `name`."""
    expect(page.locator(".event", has_text=f"tester wrote to {name}")).to_have_count(times)


def test_a_gap_of_a_new_tab_does_not_concern_the_others(tabs, reader, served, name) -> None:
    pages = tabs(1)
    pages[0].evaluate("location.hash = '#/activity'")
    for _ in range(4):
        served.send(name)
    shows_events(pages[0], name, 4)
    with served.valkey() as valkey:
        valkey.xtrim("{po}:history", maxlen=3, approximate=False)  # a new tab asks for ten minutes

    newer = pages[0].context.new_page()
    newer.goto(f"{served.url}/#/activity")
    shows_events(newer, name, 3)
    served.send(name)

    shows_events(newer, name, 4)
    shows_events(pages[0], name, 5)


def test_tabs_that_cannot_share_read_one_stream_each(tabs, served, name) -> None:
    """As on plain HTTP from another machine."""
    pages = tabs(3, script="Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });")
    served.send(name, "to each")

    for page in pages:
        shows(page, "to each")
    assert [page.evaluate("streams") for page in pages] == [1, 1, 1]
