"""`postino export` and `postino import`, as a person or a backup script runs them."""

from __future__ import annotations

import io
import json
import socket
import stat
import threading
from pathlib import Path

import pytest

from postino.cli import transfer
from postino.client import Client
from postino.errors import Unreachable
from tests.cli.conftest import Postino


@pytest.fixture
def source(bare: Postino) -> Postino:
    """A home with some mail in it."""
    bare.serve()
    bare.ok("send", "bob", "one", "--from", "ci", "--id", "m1")
    bare.ok("send", "bob", "two\nlines", "--from", "ci")
    bare.ok("broadcast", "hear", "--from", "ci")
    return bare


def emptied(source: Postino) -> Postino:
    """The same home with another, empty mailroom in its store."""
    source.ok("down")
    other = Postino(source.home, {"POSTINO_KEY_PREFIX": "other:"})
    assert other.run("up", "--switch-store").code == 0
    return other


def test_a_mailroom_goes_through_a_file_into_an_empty_one(source: Postino, tmp_path: Path) -> None:
    file = tmp_path / "mail.ndjson"

    told = source.ok("export", str(file))

    assert told == f"exported 2 agents, 2 messages, 0 dead letters, 1 broadcast, 1 remembered id to {file}\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["mail.ndjson"]
    assert "m1" not in source.no(3, "import", str(file)) + source.no(3, "import", str(file), "--json")
    other = emptied(source)
    assert other.ok("import", str(file), "--check").startswith(
        "holds 2 agents, 2 messages, 0 dead letters, 1 broadcast"
    )
    assert other.json("check", "bob")["unreadMessages"] == 0
    assert other.ok("import", str(file)).startswith("imported 2 agents, 2 messages, 0 dead letters, 1 broadcast")
    assert "two\n    lines" in other.ok("read", "bob")
    assert other.json("send", "bob", "one", "--from", "ci", "--id", "m1")["created"] is False


def test_standard_output_and_input_do_as_well(source: Postino, tmp_path: Path) -> None:
    done = source.run("export")
    assert (done.code, done.err) == (0, "exported 2 agents, 2 messages, 0 dead letters, 1 broadcast, 1 remembered id\n")
    other = emptied(source)

    answer = other.json("import", stdin=done.out.encode())  # a pipe: it cannot be read twice

    assert answer["counts"]["message"] == 2
    assert answer["stored"] == sum(answer["counts"].values()) - 1
    assert other.run("export", "-", "--json").out.splitlines()[1:] == done.out.splitlines()[1:]


def test_a_file_is_replaced_only_when_asked(source: Postino, tmp_path: Path) -> None:
    file = tmp_path / "mail.ndjson"
    file.write_text("precious")

    assert "exists" in source.no(2, "export", str(file))
    assert file.read_text() == "precious"
    assert source.json("export", str(file), "--force")["counts"]["message"] == 2
    assert json.loads(file.read_text().splitlines()[0])["format"] == 1


@pytest.mark.parametrize("cut", [1, 100, 1_000])
def test_a_file_that_was_cut_off_changes_nothing(source: Postino, tmp_path: Path, cut: int) -> None:
    file = tmp_path / "mail.ndjson"
    source.ok("export", str(file))
    file.write_bytes(file.read_bytes()[: -cut - 1])
    other = emptied(source)

    assert other.no(2, "import", str(file)).startswith("line ")

    assert "bob" not in [each["name"] for each in other.json("agents")["items"]]
    assert other.json("send", "bob", "x", "--from", "ci")["created"] is True


def test_what_is_wrong_is_said_in_one_sentence(source: Postino, tmp_path: Path) -> None:
    assert source.no(3, "import", str(tmp_path / "none")) == f"{tmp_path}/none: No such file or directory"
    assert source.no(3, "export", str(tmp_path / "no" / "where")) == f"{tmp_path}/no/where: No such file or directory"
    assert source.no(2, "import", stdin=b"\x1b[2J\xff") == "line 1: this is not the first line of an export of postino"
    assert source.no(2, "import", stdin=b"").startswith("line 1: ")
    assert "neither" in source.no(2, "import", "x", "--abandon")
    assert source.ok("import", "--abandon") == "no import was interrupted\n"


def test_an_import_whose_connection_breaks_says_what_to_do(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "daemon.sock"))
        server.listen()
        threading.Thread(target=lambda: server.accept()[0].close()).start()

        with Client(tmp_path / "daemon.sock") as client, pytest.raises(Unreachable) as refused:
            transfer._upload("imported", io.BytesIO(b"{}\n"), client.import_)

    assert refused.value.message.endswith("; run the same command again: it adds what is missing")
    assert refused.value.detail["outcome"] == "unknown"
