"""What tests of several files do on the page."""

from __future__ import annotations

from typing import Any


def message(page: Any, id: str) -> Any:
    return page.locator(f'[data-message-id="{id}"]')


def row(page: Any, id: str) -> Any:
    """Return the row of a message in the inbox."""
    return page.locator(f'.inbox-rows [data-message-id="{id}"]')


def becomes(page: Any, id: str, state: str) -> None:
    page.locator(f'[data-message-id="{id}"][data-state="{state}"]').wait_for()


def write(page: Any, text: str) -> None:
    page.get_by_role("textbox", name="Write a message").fill(text)
    page.get_by_role("button", name="Send").click()


def live(page: Any) -> None:
    page.locator('.connection[data-state="live"]').wait_for()


def go(page: Any, key: str, place: str, until: Any) -> None:
    """Press g and `key`; again if the machine was so busy that they were no sequence."""

    def pressed() -> bool:
        page.keyboard.press("g")
        page.keyboard.press(key)
        return bool(page.evaluate("location.hash") == place)

    until(pressed, f"g {key} leads to {place}")
