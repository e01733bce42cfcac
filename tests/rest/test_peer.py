"""Which user a TCP connection of this machine belongs to."""

from __future__ import annotations

import os
import socket

from postino.rest import peer


def test_the_user_behind_a_connection_is_found_and_only_while_it_lives() -> None:
    for family, host in (
        (socket.AF_INET, "127.0.0.1"),
        (socket.AF_INET6, "::1"),
        (socket.AF_INET6, "::ffff:127.0.0.1"),
    ):
        bound = host.removeprefix("::ffff:")
        with socket.create_server((bound, 0), family=socket.AF_INET6 if ":" in bound else socket.AF_INET) as server:
            client = socket.socket(family)
            client.connect((host, server.getsockname()[1]))
            ours, theirs = server.accept()
            places = theirs[:2], ours.getsockname()[:2]
            assert peer.of_tcp(*places) == os.getuid()
            assert (
                peer._from_proc(*places)
                == peer._from_netlink(*places)
                == (os.getuid(), os.fstat(client.fileno()).st_ino)
            )
            client.close()
            assert peer.of_tcp(*places) is None  # the kernel shows uid 0 and no inode: that is not root
            ours.close()


def test_a_connection_nobody_has_is_nobodys() -> None:
    assert peer.of_tcp(("127.0.0.1", 1), ("127.0.0.1", 2)) is None
    assert peer.of_tcp(("::1", 1), ("::1", 2)) is None
