"""The activity: live, filtered, paused, counted; ten thousand events and five hundred agents stay smooth."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from playwright.sync_api import expect

# the longest pause between two frames since `watch` began: what a person feels as a stutter
WATCH_FRAMES = """() => {
  globalThis.longest = 0;
  let last = performance.now();
  const frame = (now) => {
    globalThis.longest = Math.max(globalThis.longest, now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""
STUTTER_MS = 1_000  # on a shared two-core machine with a headless renderer; 100 to 200 are measured there when idle


@pytest.fixture
def valkey(served) -> Any:
    """The daemon's own Valkey, for what no API lets in."""
    client = redis.Redis(unix_socket_path=str(served.home.valkey_socket), decode_responses=True)
    yield client
    client.close()


def test_what_happens_stands_there_as_a_sentence(visit, served, name) -> None:
    page = visit("#/activity")
    page.locator('.connection[data-state="live"]').wait_for()
    served.send(name)
    served.settle("ack", name, served.read(name))

    page.get_by_text(f"tester wrote to {name} · no. 1 via http").wait_for()
    page.get_by_text(f"{name} leased 1 message").wait_for()
    page.get_by_text(f"{name} acknowledged 1 message").wait_for()


def test_what_happened_before_is_there_too(visit, served, name) -> None:
    served.send(name)
    page = visit("#/activity")

    page.get_by_text(f"tester wrote to {name}").wait_for()
    page.get_by_role("img", name="The last ten minutes:").wait_for()


def test_it_is_filtered_by_word_and_kind(visit, served, name) -> None:
    served.send(f"{name}-a")
    served.send(f"{name}-b")
    page = visit("#/activity")
    page.get_by_text(f"wrote to {name}-b").wait_for()

    page.keyboard.press("/")
    page.keyboard.type(f"{name}-A")
    page.get_by_text(f"wrote to {name}-b").wait_for(state="detached")
    expect(page.locator(".event")).to_have_count(1)
    page.get_by_label("Mail", exact=True).uncheck(force=True)
    page.locator(".event").wait_for(state="detached")


def test_a_pause_holds_it_still_and_tells_what_is_missed(visit, served, name) -> None:
    page = visit("#/activity")
    page.locator('.connection[data-state="live"]').wait_for()
    page.keyboard.press("p")
    served.send(name)
    page.get_by_text("Paused · 1 event since").wait_for()
    assert page.get_by_text(f"wrote to {name}").count() == 0

    page.get_by_role("button", name="Resume").click()

    page.get_by_text(f"wrote to {name}").wait_for()


def test_ten_thousand_events_stay_smooth(visit, valkey, name) -> None:
    page = visit("#/activity")
    page.locator('.connection[data-state="live"]').wait_for()
    page.evaluate(WATCH_FRAMES)

    for start in range(0, 10_000, 500):
        with valkey.pipeline(transaction=False) as pipe:
            for number in range(start, start + 500):
                fields = {"type": "msg_notified", "ids": '["x"]', "to": f"{name}-{number % 500}", "how": "hook"}
                pipe.xadd("{po}:events", fields, maxlen=10_000, approximate=True)
            pipe.execute()
    page.get_by_text(f"{name}-499 was notified of 1 message").first.wait_for(timeout=30_000)

    expect(page.locator(".event")).to_have_count(200)
    assert page.get_by_role("button", name="Show 200 more of").is_visible()
    assert page.evaluate("longest") < STUTTER_MS
    page.get_by_role("button", name="Show 200 more of").click()
    page.locator(".event").nth(399).wait_for()


def test_five_hundred_agents_stay_smooth(visit, valkey, name) -> None:
    with valkey.pipeline(transaction=False) as pipe:
        for number in range(500):
            record = f'{{"since":1700000000000,"seen":{1700000000000 + number},"sessions":[],"aliases":[]}}'
            pipe.hset("{po}:agents", f"{name}-{number:03}", record)
        pipe.execute()
    page = visit("#/")
    page.get_by_role("button", name="Show 100 more of").wait_for()
    assert page.locator("a.agent").count() <= 101
    page.evaluate(WATCH_FRAMES)

    page.keyboard.press("/")
    began = time.monotonic()
    page.keyboard.type(f"{name}-487")
    page.locator(f'li[data-agent="{name}-487"]').wait_for()
    expect(page.locator("li[data-agent]")).to_have_count(1)
    assert time.monotonic() - began < 2
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/#/agents/{name}-487")
    page.get_by_label("Filter agents").fill("")
    for _ in range(4):
        page.locator(".agents .more").click()

    assert page.locator("li[data-agent]").count() >= 500
    assert page.evaluate("longest") < STUTTER_MS
