"""How long a relay stays whose client sends nothing more."""

from __future__ import annotations

import time

from postino.paths import Home
from postino.relay.main import Relay


def test_an_answer_that_nobody_takes_keeps_a_relay_for_a_limited_time(home: Home) -> None:
    relay = Relay(str(home.root))
    relay.stdin_open = False
    relay.to_client.put(b"an answer")
    relay.exit_at = time.monotonic() + 60
    assert not relay._finished()

    relay.exit_at = time.monotonic()
    assert relay._finished()
