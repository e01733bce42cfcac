"""A real session asks a person, and is woken by the click of the person in a real browser."""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.hooks.machine import TOOL, Machine

ROUNDS = 3
FLAGS = ["--no-sandbox", "--disable-gpu"]


@pytest.fixture
async def sign_in(machine: Machine) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """Open the inbox of the person, as `postino open` does: `page = await sign_in()`."""
    api = pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    path = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    if path is None:
        pytest.skip("there is no chromium on this machine (apt install chromium-headless-shell)")
    async with api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)

        async def open_page() -> Any:
            page = await browser.new_page()
            await page.goto(machine.data("open", "--print")["url"])
            await page.wait_for_function("sessionStorage.getItem('postino.proof')")
            await page.evaluate("location.hash = '#/inbox'")
            return page

        yield open_page
        await browser.close()


async def test_a_session_asks_a_person_by_choices_and_is_woken_by_the_click(
    machine: Machine, open_tab: Any, model: Any, sign_in: Any, record_property: Callable[[str, object], None]
) -> None:
    machine.extra["POSTINO_HUMAN_NAME"] = "robert"
    machine.install()
    machine.serve()
    tab = await open_tab()
    page = await sign_in()
    waited: list[float] = []
    arrived: list[float] = []

    async def told(_: Any) -> str:
        arrived.append(time.perf_counter())
        return "thanks"

    model.script([(f"{TOOL}whoami", {})], "asked")
    await tab.prompt("who is there?")
    assert json.loads(model.answers()[-1])["people"] == ["robert"]

    for number in range(ROUNDS):
        question = {"to": "robert", "body": f"Merge **{number}**?", "choices": ["Merge", "Wait"], "id": f"ask-{number}"}
        model.script([(f"{TOOL}send", question)], "I wait for the answer.")
        await tab.prompt("ask")
        assert "robert" in json.loads(model.answers()[-1])["to"]
        model.script(told)
        button = page.locator(f'[data-message-id="ask-{number}"]').get_by_role("button", name="Merge", exact=True)
        await button.wait_for()
        turns = len(tab.results())

        clicked = time.perf_counter()
        await button.click()
        await tab.until(lambda turns=turns: len(tab.results()) > turns, "the click wakes it")  # type: ignore[misc]

        waited.append(arrived[-1] - clicked)
        prompt = json.dumps(model.requests[-1]["messages"][-1])
        assert f"ask-{number}" in prompt and "Merge" in prompt
        state = machine.state("robert", f"ask-{number}")
        assert (state["state"], state["reader"]) == ("acked", "robert")

    answers = machine.asked(f"history?from=robert&to={tab.agent()}")["items"]
    assert [(each["body"], each["verified"], each["state"]) for each in answers] == [("Merge", True, "acked")] * ROUNDS
    assert machine.asked("people/robert")["items"] == []
    record_property("click to model request, median s", round(statistics.median(waited), 3))
