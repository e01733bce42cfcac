"""The daemon as the terminal inbox sees it: calls in a thread, one at a time, and events from another one."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

from postino.client import Client, every
from postino.errors import PostinoError, StoreAway, Unreachable
from postino.json_text import Json
from postino.values import MAX_PAGE

T = TypeVar("T")

PAGE = 40  # messages of one page
LOOKS = 5  # calls that look for the newest thread, each into a bounded part of the history
MOST_AGENTS = 1000
PRESENT = "X-Postino-As"  # who is online while a stream of events with it is open
RECONNECT_S = 1.0
LIVE, AWAY, LOST = "live", "Valkey is away", "not connected"  # states of the stream of events, as they are shown
STATES = {"store_away": AWAY, "store_back": LIVE}  # by the events after which they begin


class InboxClient(Client):
    """What only the terminal inbox asks for. Once it `ends`, what only looks is not tried again."""

    ends = False

    def _once(self, method: str, *asked: Any) -> Any:
        if self.ends and method == "GET":
            raise PostinoError("the terminal inbox ends")
        return super()._once(method, *asked)

    def page_of_history(self, **asked: Any) -> Json:
        """Return a page of the history, newest first, rendered."""
        return self._call("GET", "history", query=asked | {"limit": PAGE, "render": "true"})

    def newest_threads(self) -> Json:
        """Return threads, the one with the newest message first; looks on while there is none, so far as it may."""
        answer: Json = {"before": None}
        for _ in range(LOOKS):
            answer = self.threads(limit=MAX_PAGE, before=answer["before"])
            if answer["items"] or not answer["more"]:
                break
        return answer

    def all_agents(self) -> list[Json]:
        """Return the agents, at most MOST_AGENTS of them."""
        return list(islice(every(self.agents), MOST_AGENTS))

    def rendered_broadcasts(self, skipped: int) -> tuple[list[Json], bool]:
        """Return a page of broadcasts, rendered, newest first, without the newest `skipped`; and if there are more."""
        end = int(self.broadcasts(limit=1)["total"]) - skipped
        start = max(0, end - PAGE)
        if end <= 0:
            return [], False
        query = {"limit": end - start, "offset": start, "render": "true"}
        return self._call("GET", "broadcasts", query=query)["items"][::-1], start > 0

    def rendered_inbox(self, name: str, wanted: int, before: str | None) -> Json:
        """Return as much of a person's inbox as is `wanted`, before an entry, rendered, newest first."""
        page = self.inbox(name, limit=min(wanted, MAX_PAGE), before=before, render=True)
        items = page["items"]
        while page["more"] and len(items) < wanted:
            page = self.inbox(name, limit=min(wanted - len(items), MAX_PAGE), before=page["before"], render=True)
            items += page["items"]
        return page | {"items": items}

    def be(self, name: str | None) -> None:
        """Be online as `name`, or as nobody, in the stream of events that another thread has or will have."""
        if self._headers.get(PRESENT) != name:
            self._headers.pop(PRESENT, None)
            self._headers |= {PRESENT: name} if name is not None else {}
            self._transport.end_events()  # it is resumed at once, with the other header


class Mailroom:
    """One daemon. `make` makes a client; `headers` are further ones."""

    def __init__(self, make: Callable[[dict[str, str]], InboxClient]) -> None:
        self._make = make
        self._client = make({})
        self._one = asyncio.Lock()  # a client is not thread-safe
        self._closed = threading.Event()
        self._follower: InboxClient | None = None
        self._present: str | None = None
        self._away = False
        self._changes: set[asyncio.Task[Any]] = set()

    async def call(self, ask: Callable[[InboxClient], T]) -> T:
        """Make one call in a thread; errors are those of the client. One that is cancelled is made all the same."""
        return await asyncio.shield(self._call(ask))

    def change(self, ask: Callable[[InboxClient], T]) -> asyncio.Task[T]:
        """Begin a call that changes something. It is made, in its turn, also if nobody waits or the inbox ends."""
        change = asyncio.create_task(self._call(ask, changes=True))
        self._changes.add(change)
        change.add_done_callback(self._changes.discard)
        return change

    async def _call(self, ask: Callable[[InboxClient], T], *, changes: bool = False) -> T:
        async with self._one:
            if self._closed.is_set() and not changes:
                raise Unreachable("the terminal inbox ends")
            return await asyncio.to_thread(ask, self._client)

    def follow(self, name: str | None, on_event: Callable[[Json], object], on_state: Callable[[str], object]) -> None:
        """Call `on_event` in the loop with each event, until `close`; `name` is online meanwhile.

        `on_state` is called with LIVE, AWAY or LOST, which may be the one that it has got before.

        The thread is a daemon: a stream that says nothing is not waited for at the end.
        """
        loop = asyncio.get_running_loop()
        self._present = name

        def tell(function: Callable[[Any], object], what: object) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(function, what)

        def work() -> None:
            since: str | None = None
            while not self._closed.is_set():
                try:
                    self._follower = client = self._make({})
                    with client:
                        client.be(None if self._away else self._present)
                        state = LIVE
                        for event in client.events(since=since, patience=0):
                            if self._closed.is_set():
                                return
                            since = event["event_id"] or since
                            state = STATES.get(event["type"], state)
                            tell(on_state, state)
                            tell(on_event, event)
                except PostinoError as error:
                    tell(on_state, AWAY if isinstance(error, StoreAway) else LOST)
                self._closed.wait(RECONNECT_S)

        threading.Thread(target=work, name="events", daemon=True).start()

    def be(self, *, away: bool) -> None:
        """Be away, or online again as who follows."""
        self._away = away
        if self._follower is not None:
            self._follower.be(None if away else self._present)

    async def close(self) -> None:
        """Stop following and close the connection, after the call that is under way: it would open another.

        Calls that change something are made first. While Valkey is away they are still tried, as they would be lost.
        """
        self._closed.set()
        self._client.ends = True
        await asyncio.gather(*self._changes, return_exceptions=True)
        async with self._one:
            self._client.close()
