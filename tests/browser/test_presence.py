"""A person is online while a page is open as them, and away when all their pages have been hidden for five minutes."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

HIDE = """(hidden) => {
  const state = { hidden, visibilityState: hidden ? "hidden" : "visible" };
  for (const name in state) Object.defineProperty(document, name, { value: state[name], configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


class Watched:
    """Pages of one person whose time the test moves, and what the daemon says of the person."""

    def __init__(self, served: Any, visit: Any, until: Any) -> None:
        self.person = f"person-{secrets.token_hex(4)}"
        self._served, self._visit, self._until = served, visit, until
        self.signs = 0  # of presence that pages have given
        self._unheard = 0  # of them, those that the daemon has not answered
        served.call("POST", f"people/{self.person}")

    def open(self) -> Any:
        page = self._visit("#/inbox", person=self.person, clock=True)
        page.on("request", lambda request: self._on_its_way(request, 1))
        page.on("requestfinished", lambda request: self._on_its_way(request, -1))
        page.on("requestfailed", lambda request: self._on_its_way(request, -1))
        page.locator(".name-line strong", has_text=self.person).wait_for()
        return page

    def hide(self, page: Any, hidden: bool = True) -> None:
        page.evaluate(HIDE, hidden)

    def gone_for_long(self) -> None:
        """Let what the daemon knows of the presence end, as after 30 seconds without a sign."""
        with self._served.valkey() as valkey:
            valkey.zadd("{po}:presence", {f"http:{self.person}": 1})

    def online(self) -> set[bool]:
        """Return what the daemon says in its list of people and in that of agents."""
        people = self._served.call("GET", "people?limit=200")["items"]
        listed = {each["online"] for each in people if each["name"] == self.person}
        return listed | {self._served.call("GET", f"agents/{self.person}")["online"]}

    def _on_its_way(self, request: Any, more: int) -> None:
        if request.url.endswith("/heartbeat"):
            self._unheard += more
            self.signs += max(0, more)

    def answered(self, page: Any) -> None:
        """Wait until the daemon has answered all that pages have sent."""

        def none_left() -> bool:
            page.evaluate("0")  # lets the events of requests arrive
            return self._unheard == 0

        self._until(none_left, "all signs are answered")

    def comes_online(self) -> None:
        self._until(lambda: self.online() == {True}, f"{self.person} is online")


@pytest.fixture
def watched(served: Any, visit: Any, until: Any) -> Watched:
    """A person of this test's own."""
    return Watched(served, visit, until)


def test_a_page_that_is_hidden_for_five_minutes_makes_its_person_away(watched: Watched) -> None:
    page = watched.open()
    watched.comes_online()
    watched.hide(page)
    page.clock.run_for(4 * 60_000)
    watched.answered(page)
    watched.gone_for_long()
    page.clock.run_for(12_000)
    watched.comes_online()  # hidden, but not for five minutes

    page.clock.run_for(61_000)
    watched.answered(page)
    watched.gone_for_long()
    given = watched.signs
    page.clock.run_for(10 * 60_000)
    watched.answered(page)
    assert watched.signs == given
    watched.gone_for_long()  # again: a sign from before may have been under way
    assert watched.online() == {False}

    watched.hide(page, False)
    watched.comes_online()


def test_a_person_with_one_page_in_sight_is_online(watched: Watched) -> None:
    hidden, seen = watched.open(), watched.open()
    watched.hide(hidden)
    hidden.clock.run_for(6 * 60_000)
    seen.clock.run_for(6 * 60_000)
    watched.answered(seen)
    watched.gone_for_long()
    hidden.clock.run_for(60_000)
    assert watched.online() == {False}

    seen.clock.run_for(13_000)
    watched.comes_online()


def test_a_person_whose_store_was_emptied_is_one_again(watched: Watched, served: Any, until: Any) -> None:
    page = watched.open()
    watched.comes_online()
    with served.valkey() as valkey:
        identity = valkey.hgetall("{po}:meta")
        with valkey.pipeline() as emptied:
            emptied.flushall().hset("{po}:meta", mapping=identity).execute()

    page.clock.run_for(13_000)  # it shows that it is there, to a daemon that does not know it
    served.call("POST", f"agents/{watched.person}/heartbeat")
    page.reload()

    until(lambda: served.call("GET", f"agents/{watched.person}")["kind"] == "human", "it is a person's name again")
    page.locator(".name-line strong", has_text=watched.person).wait_for()
