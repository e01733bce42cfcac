"""A daemon that takes the relay's connection and says nothing."""

from __future__ import annotations

import socket
import time

from postino.paths import Home
from postino.relay.daemon_link import WELCOME_S, DaemonLink
from postino.relay.lines import WriteBuffer


def test_a_daemon_that_does_not_say_welcome_is_left_and_dialled_again(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(home.socket))
        silent.listen()
        link, now = DaemonLink(str(home.root), WriteBuffer()), time.monotonic()
        try:
            for seconds, connected in (
                (0.0, True),
                (WELCOME_S - 0.1, True),
                (WELCOME_S, False),
                (WELCOME_S + 60, True),
            ):
                link.tick(now + seconds)
                assert (link.fileno() >= 0) is connected, seconds
        finally:
            link.close()
