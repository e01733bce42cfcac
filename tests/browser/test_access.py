"""A daemon with a token: the user enters it once, or signs in by a code; no address and no cookie contains it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.page import live

TOKEN = "a-token-of-this-test"


@pytest.fixture(scope="module")
def guarded(run_daemon: Any) -> Iterator[Any]:
    """A daemon with a token."""
    with run_daemon(POSTINO_API_TOKEN=TOKEN) as served:
        yield served


@pytest.fixture
def url(guarded: Any) -> str:
    """The address of that daemon, as `postino open` writes it."""
    return str(guarded.url.replace("127.0.0.1", "localhost"))


@pytest.fixture
def visitor(url: str, visit_other: Any) -> Any:
    """A browser on that daemon."""
    return visit_other(url)


def sign_in(page: Any, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def test_the_token_is_entered_once_per_tab(visitor) -> None:
    addresses: list[str] = []
    page = visitor.open("#/agents/bob")
    page.on("request", lambda request: addresses.append(request.url))
    sign_in(page, "wrong")
    page.get_by_text("That token was refused").wait_for()
    sign_in(page, TOKEN)
    live(page)
    page.reload()
    live(page)

    assert page.get_by_role("dialog").count() == 0
    assert page.context.cookies() == []
    assert not any(TOKEN in address for address in addresses)
    assert "Authorization: Bearer $POSTINO_API_TOKEN" in page.locator(".empty pre").inner_text()


def fragment_of_open(served: Any) -> str:
    """Return what `postino open` puts after the # of the address."""
    command = [sys.executable, "-m", "postino", "open", "--print", "--json"]
    printed = subprocess.run(command, env=served.env, capture_output=True, check=True, timeout=20).stdout
    return str(json.loads(printed)["url"].partition("/#")[2])


def test_postino_open_opens_the_page_signed_in(visitor, guarded) -> None:
    fragment = fragment_of_open(guarded)
    page = visitor.open(f"#{fragment}")
    live(page)

    assert page.get_by_role("dialog").count() == 0
    assert "code=" not in page.url
    assert page.evaluate("history.length") <= 2
    page.get_by_role("heading", name="All mail").wait_for()

    other = visitor.open(f"#{fragment}")  # the same code again
    other.get_by_text("The sign-in code has been used or has expired").wait_for()
    other.get_by_role("dialog", name="Sign in").wait_for()


@pytest.fixture(scope="module")
def empty(run_daemon: Any) -> Iterator[Any]:
    """A daemon of which nobody has asked anything."""
    with run_daemon() as served:
        yield served


def test_postino_open_shows_the_inbox_first_if_something_waits_there(empty, visit_other) -> None:
    visitor = visit_other(empty.url)
    page = visitor.open(f"#{fragment_of_open(empty)}")
    page.get_by_role("heading", name="All mail").wait_for()
    empty.send(next(each["name"] for each in empty.call("GET", "people")["items"] if each["here"]), "which branch?")

    page = visitor.open(f"#{fragment_of_open(empty)}")
    page.locator(".tab[aria-current=page]", has_text="Inbox").wait_for()
    page.get_by_text("which branch?").wait_for()
    assert page.evaluate("location.hash") == "#/inbox"
    assert page.evaluate("history.length") <= 2

    visitor.open("").get_by_role("heading", name="All mail").wait_for()  # an address without a code


def test_the_address_of_postino_open_signs_in_an_open_page(visitor, guarded) -> None:
    page = visitor.open("#/agents/bob")
    page.get_by_label("Token").fill("half a tok")

    page.goto(f"{visitor.url}/#{fragment_of_open(guarded)}")  # only the fragment changes: the browser loads nothing

    live(page)
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_url("**/#/agents/bob")
    page.get_by_role("heading", name="bob", exact=True).wait_for()
    page.evaluate("location.hash = '#code=used-up'")
    page.get_by_text("The sign-in code has been used or has expired").wait_for()
    page.wait_for_url("**/#/agents/bob")


def test_the_page_works_in_a_browser_that_blocks_site_data(url, open_blocked) -> None:
    with open_blocked(f"{url}/#/agents/bob") as page:
        sign_in(page, TOKEN)
        live(page)
        assert "Authorization: Bearer $POSTINO_API_TOKEN" in page.locator(".empty pre").inner_text()
        page.get_by_role("textbox", name="Write a message").fill("not kept")
        page.keyboard.press("Control+Enter")
        page.locator(".prose", has_text="not kept").wait_for()

        with pytest.raises(Exception, match="SecurityError"):
            page.evaluate("sessionStorage.length")


def test_a_token_that_is_not_needed_any_more_is_forgotten(visit) -> None:
    page = visit("#/agents/bob")
    live(page)
    page.evaluate("sessionStorage.setItem('postino.token', 'of-an-earlier-daemon')")
    page.reload()
    live(page)

    assert page.get_by_role("dialog").count() == 0
    assert page.evaluate("sessionStorage.getItem('postino.token')") is None
