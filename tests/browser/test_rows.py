"""Rows, bodies, threads, search, attention and what can be done from the page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.page import live, message

BODY = """# Title

**bold** [site](https://evil.example/x) and `code`

| a | b |
|---|---|
| 1 | 2 |

- [x] done

```diff
-old
+new
```
"""


def test_twelve_messages_of_one_line_fit_a_usual_screen(visit, served, name) -> None:
    for number in range(20):
        served.send(f"{name}-{number % 2}", f"one line {number}", **{"from": name})
    page = visit(f"#/agents/{name}", width=1440, height=900)
    page.locator("article.message").nth(19).wait_for()
    box = page.locator(".scroller").bounding_box()

    inside = [
        each
        for each in (item.bounding_box() for item in page.locator("article.message").all())
        if each["y"] >= box["y"] and each["y"] + each["height"] <= box["y"] + box["height"]
    ]

    assert len(inside) >= 12


def test_a_body_is_rendered_and_shown_as_written_on_request(visit, served, name) -> None:
    id = served.send(name, BODY)
    page = visit(f"#/agents/{name}")
    body = message(page, id).locator(".body")

    expect(body.locator("h4")).to_have_text("Title")
    expect(body.locator("strong")).to_have_text("bold")
    expect(body.locator("td").last).to_have_text("2")
    expect(body.locator(".t-gi")).to_have_text("+new")
    expect(body.get_by_role("img", name="done")).to_be_visible()
    expect(body.locator(".to-host")).to_have_text("site (evil.example)")
    assert body.locator("a").get_attribute("rel") == "noopener noreferrer nofollow"
    page.keyboard.press("j")
    page.keyboard.press("v")
    expect(body).to_have_text(BODY, use_inner_text=False)
    page.keyboard.press("v")
    expect(body.locator("h4")).to_be_visible()


def test_titles_of_links_are_shown_and_numbered_tasks_drawn(visit, served, name) -> None:
    id = served.send(name, "[site](https://evil.example 'hidden words')\n\n1. [x] one\n5. [ ] five")
    body = message(visit(f"#/agents/{name}"), id).locator(".body")

    expect(body.locator(".to-host")).to_have_text("site (evil.example) “hidden words”")
    expect(body.locator("li").last).to_have_text("☐ five")
    assert body.locator("li").last.get_attribute("value") == "5"


def test_a_message_has_an_address_of_its_own_however_old_it_is(visit, served, name) -> None:
    first = served.send(name, "the very first")
    for number in range(60):
        served.send(name, f"later {number}")
    page = visit(f"#/agents/{name}?message={first}")

    message(page, first).wait_for()
    expect(message(page, first)).to_be_focused()


def test_the_first_message_is_read_with_few_keys(visit, served, name) -> None:
    id = served.send("tester", "read me", **{"from": name})
    page = visit("#/mail")
    message(page, id).wait_for()

    page.keyboard.press("k")

    expect(page.locator("article.message:focus")).to_have_count(1)


def test_a_reply_by_the_keyboard_goes_to_the_selected_message(visit, served, name) -> None:
    served.send(name, "a question")
    page = visit(f"#/agents/{name}", name="luca")
    page.locator("article.message").wait_for()
    page.keyboard.press("j")
    page.keyboard.press("r")
    page.get_by_text("Reply to tester").wait_for()
    page.keyboard.type("an answer")
    page.keyboard.press("Control+Enter")

    page.locator(".compose-status", has_text="tester").wait_for()
    assert [each["body"] for each in served.history("tester") if each["from"] == "luca"] == ["an answer"]


def test_a_thread_is_shown_whole_over_all_agents(visit, served, name) -> None:
    thread = f"t-{name}"
    asked = served.send(name, "asked", thread=thread)
    served.send("tester", "answered", thread=thread, reply_to=asked, **{"from": name})
    served.send(name, "elsewhere")
    page = visit("#/")
    live(page)
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.locator(f'li[data-thread="{thread}"]').click()

    page.get_by_role("heading", name=thread).wait_for()
    expect(page.locator("article.message")).to_have_count(2)
    expect(page.locator(".mail-summary")).to_have_text(f"2 messages · tester, {name}")
    expect(page.locator(".quote .link")).to_have_text("asked")


def test_filters_narrow_a_search_on_the_server(visit, served, name) -> None:
    served.send(name, "a green apple", **{"from": "ada"})
    read = served.send(name, "a red apple", **{"from": "bob"})
    served.settle("ack", name, served.read(name))
    waiting = served.send(name, "a blue apple", **{"from": "bob"})
    page = visit(f"#/agents/{name}?q=apple+from:bob+is:waiting")

    message(page, waiting).wait_for()
    page.get_by_text("1 message found").wait_for()
    expect(page.locator("article.message")).to_have_count(1)
    assert page.evaluate("CSS.highlights.get('found').size") == 1
    page.get_by_label("Search this mail").fill("is:read from:bob after:2h")
    message(page, read).wait_for()
    page.get_by_label("Search this mail").fill("is:lost")
    page.get_by_text("is: takes waiting, read or dead, not lost").wait_for()


def test_trouble_stands_in_the_strip_as_a_link(visit, served, name) -> None:
    served.send(name, "nobody wants this")
    for _ in range(5):
        served.settle("nack", name, served.read(name))
    page = visit("#/activity")
    live(page)
    chip = page.get_by_role("region", name="Needs attention").get_by_role("link", name=f"{name}: 1 dead letter")
    chip.click()

    page.get_by_text("1 dead letter:").wait_for()
    page.locator(".vital-dead").wait_for()


def test_mail_that_waits_for_long_is_stuck(visit, served, name) -> None:
    with served.valkey() as valkey:  # mail of the tests before would be stuck as long, and the strip names five
        valkey.flushall()
    served.send(name, "old")
    page = visit(f"#/agents/{name}", clock=True)
    live(page)
    expect(page.locator(f'li[data-agent="{name}"] .age')).to_have_class("age")

    page.clock.fast_forward(3_700_000)  # ms

    page.get_by_role("region", name="Needs attention").get_by_text(f"{name}: 1 unread · oldest 1 h").wait_for()
    expect(page.locator(f'li[data-agent="{name}"] .age')).to_have_class("age old")


def test_notifications_that_fail_stand_in_the_strip(visit) -> None:
    def failing(route) -> None:
        report = route.fetch().json()
        notify = {"service": "ntfy", "error": "ntfy: it cannot be reached", "since": "2026-11-30T09:00:00.000Z"}
        route.fulfill(json=report | {"notify": notify})

    page = visit("#/activity", clock=True)
    live(page)
    page.route("**/api/health", failing)
    page.clock.fast_forward(61_000)  # ms, after which the page asks again

    chip = page.get_by_role("region", name="Needs attention").get_by_text("ntfy: notification failing")
    chip.wait_for()
    assert "ntfy: it cannot be reached" in chip.get_attribute("title")


def test_an_agent_is_renamed_and_forgotten_from_the_page(visit, served, name) -> None:
    served.send(name, "an acknowledgement makes its reader known")
    served.settle("ack", name, served.read(name))
    page = visit(f"#/agents/{name}")
    page.get_by_role("button", name="Rename this agent").click()
    page.get_by_label("New name").fill(f"new-{name}")
    page.get_by_role("button", name="Rename", exact=True).click()
    page.wait_for_url(f"**/#/agents/new-{name}")
    page.get_by_role("button", name="Forget this agent").click()
    page.get_by_role("button", name="Forget", exact=True).click()

    page.locator(f'li[data-agent="new-{name}"]').wait_for(state="detached")


@pytest.mark.parametrize("width", [1280, 320])
def test_a_made_up_mailroom_asks_no_daemon(browser, served, width) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{served.url}/?demo=1#/agents/reviewer")
    live(page)
    page.locator("article.message", has_text="nightly run").wait_for()
    page.get_by_role("region", name="Needs attention").get_by_text("migrator: 1 dead letter").wait_for()
    page.get_by_role("textbox", name="Write a message").fill("hello demo")
    page.keyboard.press("Control+Enter")
    page.locator("article.message", has_text="hello demo").wait_for()

    assert [each for each in asked if "/api/" in each] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
    context.close()


def test_the_language_of_a_code_block_covers_none_of_the_code(served: Any, visit: Any) -> None:
    served.send("lang-bob", f"```python\n{'x = 1; ' * 60}\n```", **{"from": "lang-ada"})
    page = visit("#/agents/lang-bob", width=390)
    label, code = (page.locator(f".message {each}").bounding_box() for each in (".code-lang", "pre code"))
    assert label["y"] + label["height"] <= code["y"]
