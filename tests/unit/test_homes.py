"""POSTINO_HOME: made private, also when it was there before; the daemon, the relay and commands judge it alike."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from postino.client import Client
from postino.config import load
from postino.errors import BadField, Unreachable
from postino.home import home_of
from postino.paths import Home


def refusal(root: Path) -> str | None:
    """Return why the daemon would not use a home, or None."""
    try:
        Home(root).prepare()
    except BadField as error:
        assert error.detail == {"field": "POSTINO_HOME"}
        return error.message
    return None


def mode(root: Path) -> int:
    return stat.S_IMODE(root.stat().st_mode)


@pytest.fixture
def root(home: Home) -> Path:
    """A directory that was there before, with a path short enough."""
    return home.root


def test_a_home_is_made_for_its_owner_alone(root: Path) -> None:
    assert refusal(root / "a" / "b") is None
    assert home_of(str(root / "c"))[1] is None

    assert mode(root / "a" / "b") == mode(root / "c") == 0o700


@pytest.mark.parametrize("given", [0o700, 0o711, 0o755, 0o750])
def test_a_directory_that_others_may_only_look_into_is_closed_to_them(root: Path, given: int) -> None:
    def of_a_client(root: Path) -> str | None:
        with Client(root / "daemon.sock") as client, pytest.raises(Unreachable):
            client.send("bob", "hello")
        return None

    for judge in (refusal, lambda root: home_of(str(root))[1], of_a_client):
        root.chmod(given)
        assert judge(root) is None
        assert mode(root) == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory to another user")
def test_nothing_is_sent_to_the_socket_of_another_users_home(home: Home) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(home.socket))
        stranger.listen()
        stranger.setblocking(False)
        os.chown(home.root, 65534, 65534)
        try:
            with Client(home.socket) as client, pytest.raises(BadField, match="belongs to uid 65534"):
                client.send("bob", "secret")
            with pytest.raises(BlockingIOError):
                stranger.accept()
        finally:
            os.chown(home.root, 0, 0)


@pytest.mark.parametrize("given", [0o777, 0o775, 0o770, 0o722, 0o1777])
def test_a_directory_that_others_may_write_to_is_refused_with_its_mode(root: Path, given: int) -> None:
    root.chmod(given)

    said = refusal(root)

    assert said is not None
    assert said.startswith(f"POSTINO_HOME {root} has mode {given:04o}, ")
    assert home_of(str(root)) == (str(root), said)
    assert mode(root) == given


def test_a_home_of_nobody_is_refused_in_the_words_of_the_settings() -> None:
    with pytest.raises(BadField) as refused:
        load({"POSTINO_HOME": "~nobody-of-this-name/x"})

    assert home_of("~nobody-of-this-name/x")[1] == refused.value.message


def test_only_a_home_that_is_asked_for_has_to_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", _no_entry)  # a container's uid without an entry and without HOME

    assert load({"POSTINO_HOME": "/x"})[0].home.root == Path("/x")
    with pytest.raises(BadField, match="POSTINO_HOME"):
        load({})


def _no_entry(uid: int) -> None:
    raise KeyError(uid)


def test_what_is_no_directory_is_refused(root: Path) -> None:
    (root / "file").touch()
    said = f"POSTINO_HOME {root}/file is not a directory; choose another path"

    assert refusal(root / "file") == home_of(str(root / "file"))[1] == said
    with Client(root / "file/daemon.sock") as client, pytest.raises(BadField) as refused:
        client.send("bob", "hello")
    assert refused.value.message == said
