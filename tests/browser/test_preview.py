"""The preview of a text while it is being written."""

from __future__ import annotations

from typing import Any


def test_a_preview_shows_the_text_as_it_will_be_rendered(visit: Any) -> None:
    page = visit("#/")
    form = page.locator("form.compose")
    box = form.get_by_role("textbox", name="Write a message")
    pane = form.get_by_role("region", name="Preview")
    box.fill("is **done**\n\n- [x] it\n\n<img src=x onerror=alert(1)>")
    assert pane.is_hidden()
    room = box.bounding_box()["width"]

    form.get_by_role("button", name="Preview").click()

    pane.locator("strong", has_text="done").wait_for()
    assert pane.locator("img").count() == 0
    assert box.bounding_box()["width"] == room, "the preview stands above the form, not beside it"
    box.fill("and `more`")
    pane.locator("code", has_text="more").wait_for()
    box.fill("")
    pane.get_by_text("Nothing to show yet").wait_for()
    form.get_by_role("button", name="Preview").click()
    pane.wait_for(state="hidden")
