"""With a token: asked once, or brought by a code; never in an address, never in a cookie."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

TOKEN = "a-token-of-this-test"


@pytest.fixture
def url(daemon: Any) -> str:
    """The address of a daemon that wants a token."""
    daemon.stop()
    daemon.start(POSTINO_API_TOKEN=TOKEN)
    return str(daemon.url.replace("127.0.0.1", "localhost"))


@pytest.fixture
def visitor(url: str, open_chromium: Any) -> Any:
    """A browser before that daemon."""
    with open_chromium(url) as made:
        yield made


def sign_in(page: Any, token: str) -> None:
    page.get_by_label("Token").fill(token)
    page.get_by_role("button", name="Sign in").click()


def live(page: Any) -> None:
    page.locator('.connection[data-state="live"]').wait_for()


def test_the_token_is_asked_once_and_kept_for_the_tab(visitor) -> None:
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


def fragment_of_open(daemon: Any) -> str:
    """What `postino open` puts behind the # of the address."""
    command = [sys.executable, "-m", "postino", "open", "--print", "--json"]
    said = subprocess.run(command, env=daemon.env, capture_output=True, check=True, timeout=20).stdout
    return str(json.loads(said)["url"].partition("/#")[2])


def test_postino_open_brings_it_signed_in(visitor, daemon) -> None:
    fragment = fragment_of_open(daemon)
    page = visitor.open(f"#{fragment}")
    live(page)

    assert page.get_by_role("dialog").count() == 0
    assert "code=" not in page.url
    assert page.evaluate("history.length") <= 2
    page.get_by_role("heading", name="All mail").wait_for()

    other = visitor.open(f"#{fragment}")  # the same code again
    other.get_by_text("The sign-in code has been used or has expired").wait_for()
    other.get_by_role("dialog", name="Sign in").wait_for()


def test_the_address_of_postino_open_signs_an_open_page_in(visitor, daemon) -> None:
    page = visitor.open("#/agents/bob")
    page.get_by_label("Token").fill("half a tok")

    page.goto(f"{visitor.url}/#{fragment_of_open(daemon)}")  # only what is behind # changes: nothing is loaded

    live(page)
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_url("**/#/agents/bob")
    page.get_by_role("heading", name="bob", exact=True).wait_for()
    page.evaluate("location.hash = '#code=used-up'")
    page.get_by_text("The sign-in code has been used or has expired").wait_for()
    page.wait_for_url("**/#/agents/bob")


def test_a_browser_that_blocks_site_data_shows_it_all_the_same(url, open_blocked) -> None:
    with open_blocked(f"{url}/#/agents/bob") as page:
        sign_in(page, TOKEN)
        live(page)
        assert "Authorization: Bearer $POSTINO_API_TOKEN" in page.locator(".empty pre").inner_text()
        page.get_by_role("textbox", name="Write a message").fill("kept nowhere")
        page.keyboard.press("Control+Enter")
        page.locator(".prose", has_text="kept nowhere").wait_for()

        with pytest.raises(Exception, match="SecurityError"):
            page.evaluate("sessionStorage.length")
