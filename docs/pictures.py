"""Take the pictures of the page anew: `python docs/pictures.py`, with Playwright and Chromium, in five minutes.

Sessions of the SDK's own client, a script and a person converse on a daemon in a temporary home.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import tempfile
import urllib.request
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from postino.cli.conversation import Agent
from postino.daemon import process
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey

DOCS = Path(__file__).resolve().parent
PROJECT = Path("/tmp/shop")  # the directory of the sessions, which the page shows
SECONDS = 290  # s of traffic before the picture of the activity: its chart shows the last ten minutes
ONLINE = ("planner", "builder", "reviewer", "docs-writer", "bench-east", "bench-west")
SEEN = 0.06  # s: a call within 50 ms of a read acknowledges nothing
CODE = """Both done and pushed. `_place` is parsed once per event, the test waits for the event:

```
async with asyncio.timeout(5):
    while (event := await live.get()).id != wanted:
        pass
```"""


async def post(url: str, path: str, **body: Any) -> Any:
    """Call the REST API as a script or the page does."""

    def call() -> Any:
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{url}/api/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    return await asyncio.to_thread(call)


async def converse(url: str, agents: dict[str, Agent]) -> None:
    """Leave mail in each state: acknowledged, leased again, queued, dead, and for one who was never seen."""
    planner, builder, reviewer = (agents[name] for name in ("planner", "builder", "reviewer"))
    review = {"thread": "flaky-sse"}
    await planner.call("msg_send", to="reviewer", body="Please review `fix-sse-order` before noon.", **review)
    await builder.call("msg_send", to="reviewer", body="It is 40 lines; begin with `events.py`.", **review)
    await reviewer.call("msg_read")
    await asyncio.sleep(SEEN)
    await reviewer.call("msg_send", to="builder", body="Two remarks: parse once, and do not sleep.", **review)
    await builder.call("msg_read")
    await asyncio.sleep(SEEN)
    sent = await builder.call("msg_send", to="reviewer", body=CODE, **review)
    await post(url, "messages/reviewer/read", consumer="script")  # and gives it back: a second delivery
    await post(url, "messages/reviewer/nack", ids=[sent["id"]], consumer="script")
    await reviewer.call("msg_read")
    await post(url, "messages", to="tests-on-arm", body="Run the suite on main, please.", **{"from": "release-bot"})
    for body in ("Migrate the first table.", "Migrate the second table."):
        await kill_letter(url, "migrator", body)
    await post(url, "messages", to="migrator", body="The third one runs.", **{"from": "release-bot"})
    await planner.call("msg_broadcast", body="Code freeze from noon on: no merges, please.")
    await post(url, "broadcasts", body="0.1.0 is tagged.", **{"from": "release-bot"})
    for agent in (reviewer, builder):
        await agent.call("msg_broadcasts")


async def kill_letter(url: str, to: str, body: str) -> None:
    """Make a dead letter: deliver it five times without acknowledgement."""
    id = (await post(url, "messages", to=to, body=body, **{"from": "release-bot"}))["id"]
    for _ in range(5):
        await post(url, f"messages/{to}/read", consumer="script")
        await post(url, f"messages/{to}/nack", ids=[id], consumer="script")


async def chat(one: Agent, other: Agent, seconds: float) -> None:
    """Let two sessions write to each other, for the chart."""
    chance = random.Random(1)
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        for writer, reader in ((one, other), (other, one)):
            for _ in range(chance.randrange(4)):
                await writer.call("msg_send", to=reader.name, body="Round done, next one.")
            await asyncio.sleep(chance.random() * 4)
            await reader.call("msg_read")
            await asyncio.sleep(SEEN)
            await reader.call("msg_check")


async def ask_from_page(page: Page, url: str, reviewer: Agent) -> None:
    """Write a message on the page; the reviewer answers it, unread."""
    await page.goto(f"{url}/#/agents/reviewer")
    wording = "Could you look at the wording of the error when the inbox is full? I would say how many it holds."
    await page.get_by_role("textbox", name="Write a message").fill(wording)
    await page.keyboard.press("Control+Enter")
    await page.locator("article.message", has_text="I would say how many").wait_for()
    asked = (await post(url, "messages/reviewer/read", consumer="script"))["items"][-1]["id"]
    await post(url, "messages/reviewer/nack", ids=[asked], consumer="script")
    body = "Will do after fix-sse-order. My proposal: “reviewer already holds 1000 unacknowledged messages”."
    await reviewer.call("msg_send", to="luca", body=body, reply_to=asked)
    await page.locator("article.message", has_text="Will do after").wait_for()


async def ask_a_person(url: str, agents: dict[str, Agent]) -> None:
    """Fill the inbox of the person: a choice, a question to all people, and one that somebody else has opened."""
    builder, planner, writer = (agents[name] for name in ("builder", "planner", "docs-writer"))
    table = "| job | time |\n|-|-:|\n| linux | 4 min |\n| arm | 9 min |"
    green = f"`fix-sse-order` is green:\n\n{table}\n\nMerge now, or wait?"
    await builder.call("msg_send", to="luca", body=green, choices=["Merge", "Wait for reviewer"], thread="flaky-sse")
    await planner.call("msg_send", to="human", body="Which branch is the base of the release?", thread="rel-1.4")
    asked = await writer.call("msg_send", to="human", body="Who owns the words on the start page?")
    await post(url, "people/ada")
    await post(url, "people/ada/seen", ids=[asked["id"]])


async def take(browser: Any, url: str, agents: dict[str, Agent]) -> None:
    """Write the five pictures."""
    activity = await open_page(browser, "dark", 1280, 800, 1.5)
    await activity.goto(f"{url}/#/activity")
    await converse(url, agents)
    await chat(agents["bench-east"], agents["bench-west"], SECONDS)
    light = await open_page(browser, "light", 1280, 800, 1.5)
    await ask_from_page(light, url, agents["reviewer"])
    await ask_a_person(url, agents)
    inbox = await open_page(browser, "light", 1280, 800, 1.5)
    await inbox.goto(f"{url}/#/inbox")
    await inbox.bring_to_front()
    await inbox.locator(".message-state", has_text="by luca").first.wait_for()
    phone = await open_page(browser, "light", 390, 780, 1.5)
    dark = await open_page(browser, "dark", 1280, 800, 1.5)
    await phone.goto(f"{url}/#/inbox")
    await phone.locator(".choice").first.wait_for()
    await dark.goto(f"{url}/#/agents/reviewer")
    await dark.locator("article.message", has_text="Will do after").wait_for()
    for name, page in (("light", light), ("dark", dark), ("phone", phone), ("activity", activity), ("inbox", inbox)):
        await page.wait_for_timeout(500)  # animations
        await page.screenshot(path=DOCS / f"page-{name}.png")


async def open_page(browser: Any, scheme: str, width: int, height: int, scale: float) -> Page:
    context = await browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, device_scale_factor=scale
    )
    await context.add_init_script("localStorage.setItem('postino.person', 'luca')")
    page: Page = await context.new_page()
    return page


async def run(environ: dict[str, str], url: str) -> None:
    async with AsyncExitStack() as stack:
        agents = {name: await stack.enter_async_context(Agent(name, environ)) for name in ONLINE}
        playwright = await stack.enter_async_context(async_playwright())
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        await take(browser, url, agents)
        await browser.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="postino-", dir="/tmp") as folder:
        home = Home(Path(folder, "home"))
        environ = {name: text for name, text in os.environ.items() if not name.startswith(("POSTINO_", "CLAUDE"))}
        environ |= {"POSTINO_HOME": str(home.root), "POSTINO_WEB_PORT": "0", "POSTINO_MESSAGE_LEASE": "3600"}
        environ |= {"POSTINO_HUMAN_NAME": "luca", "POSTINO_PAIR_RATE": "0"}
        PROJECT.mkdir(exist_ok=True)
        os.chdir(PROJECT)
        try:
            url = process.start(environ, home).url
            assert url is not None
            asyncio.run(run(environ, url))
        finally:
            process.stop(home)
            asyncio.run(EmbeddedValkey(home).stop())
            PROJECT.rmdir()


if __name__ == "__main__":
    main()
