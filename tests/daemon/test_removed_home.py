"""A home that was removed, moved or replaced under its daemon: nothing is accepted into files that nobody will find."""

from __future__ import annotations

import shutil
import signal

import pytest

from postino.daemon import process
from tests.waiting import PATIENCE_S


@pytest.mark.parametrize("removed", [".", "data"])
def test_the_daemon_and_its_server_end_with_their_files(daemon, gone, removed) -> None:
    valkey = daemon.valkey_pid()
    shutil.rmtree(daemon.home.root / removed)

    assert daemon.process.wait(timeout=PATIENCE_S) == 0
    assert gone(valkey)
    assert not daemon.home.data.exists(), "nothing was made anew by who leaves"


def test_the_daemon_of_the_new_home_keeps_what_is_its(daemon, gone) -> None:
    old, valkey = daemon.process, daemon.valkey_pid()
    old.send_signal(signal.SIGSTOP)
    shutil.rmtree(daemon.home.root)
    daemon.home.root.mkdir(mode=0o700)
    daemon.start()
    daemon.posted("messages", {"to": "bob", "body": "to the new one"})

    old.send_signal(signal.SIGCONT)
    assert old.wait(timeout=PATIENCE_S) == 0
    assert gone(valkey)

    assert daemon.asked("messages/bob")["items"][0]["body"] == "to the new one"
    assert process.read_info(daemon.home).pid == daemon.process.pid


def test_a_home_that_was_moved_comes_back_with_all_its_mail(daemon, gone) -> None:
    daemon.posted("messages", {"to": "bob", "body": "accepted"})
    valkey = daemon.valkey_pid()
    moved = daemon.home.root.rename(f"{daemon.home.root}-moved")
    assert daemon.process.wait(timeout=PATIENCE_S) == 0
    assert gone(valkey)

    moved.rename(daemon.home.root)
    daemon.start()

    assert daemon.asked("messages/bob")["items"][0]["body"] == "accepted"


def test_a_lock_alone_that_was_removed_ends_the_daemon_and_keeps_the_server(daemon) -> None:
    valkey = daemon.valkey_pid()
    daemon.home.lock.unlink()

    assert daemon.process.wait(timeout=PATIENCE_S) == 0
    daemon.start()
    assert daemon.valkey_pid() == valkey, "the next one adopts it"
