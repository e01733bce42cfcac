"""The list of threads where the history is longer than one look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from postino.client import Client
from tests.daemons import Daemon, environment
from tests.homes import scratch_home


@pytest.fixture(scope="module")
def short_sighted() -> Iterator[str]:
    """The address of a daemon that looks at 50 messages of the history at once, and has 180."""
    constants = {f"postino.broker.{module}.MAX_LOOKED": 50 for module in ("history", "threads")}
    with scratch_home() as home:
        daemon = Daemon(home.prepare(), environment(home), constants=constants).start()
        with Client(home.socket) as client:
            for number in range(180):
                title = {2: "both", 3: "old", 101: "both"}.get(number)
                client.send("bob", "hello", sender="ann", thread=title)
        yield daemon.url.replace("127.0.0.1", "localhost")
        daemon.kill()


def test_it_says_how_far_back_it_looks_and_goes_on_when_asked(short_sighted: str, visit_other: Any) -> None:
    page = visit_other(short_sighted).open("#/threads")
    about = page.locator(".thread-rows .agent-status")
    further = page.get_by_role("button", name="Look further back", exact=True)

    page.get_by_text("Of the newest 100 messages; + counts no older ones.", exact=True).wait_for()
    expect(about).to_have_text(["1+ messages · ann, bob"])
    further.click()
    page.get_by_text("Of the newest 150 messages; + counts no older ones.", exact=True).wait_for()
    further.click()

    expect(about).to_have_text(["2 messages · ann, bob", "1 message · ann, bob"])
    expect(further).to_be_hidden()
