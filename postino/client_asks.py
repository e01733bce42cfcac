"""The calls of a client that wait for a reply."""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable

    from postino.json_text import Json

LONGEST_WAIT = 60.0  # s of one request


class AskCalls:
    """The part of a client that asks; `_call` and `consumer` are the client's."""

    _call: Callable[..., Json]
    consumer: str

    def ask(
        self,
        to: str | None,
        body: str,
        *,
        seconds: float,
        sender: str,
        id: str | None = None,
        thread: str | None = None,
    ) -> Json:
        """Send a message and wait up to `seconds` for its `reply`, leased to this client; null if none came.

        The wait goes on over daemons that come and go. Acknowledge the reply with `ack`, for the agent it is `to`.
        """
        asked = {
            "to": to,
            "body": body,
            "from": sender,
            "thread": thread,
            "id": os.urandom(16).hex() if id is None else id,
        }
        asked |= {"ack": "lease", "consumer": self.consumer}
        until = time.monotonic() + seconds
        while True:
            wait = min(max(until - time.monotonic(), 0.001), LONGEST_WAIT)
            answer = self._call("POST", "messages", body=asked, wait=wait, waits_in="wait_reply")
            if answer["reply"] is not None or time.monotonic() >= until:
                return answer
