"""The embedded server's files after a crash or a damage: mended and told where it is safe, refused elsewhere."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from postino.broker import Broker
from postino.config import Settings
from postino.errors import PostinoError, StoreAway
from postino.model import Draft, Sender
from postino.paths import Home
from postino.store.valkey.embedded import EmbeddedValkey
from tests.homes import kill_servers, scratch
from tests.waiting import eventually, until

CI = Sender(name="ci", via="http")


@pytest.fixture
async def mail(home: Home) -> AsyncIterator[Path]:
    """A stopped embedded store with the messages m0 to m9 for bob; the path of its last file."""
    async with opened(home) as broker:
        for number in range(10):
            await broker.mail.send(Draft(id=f"m{number}", to="bob", body=f"body of m{number}"), CI)
    assert await EmbeddedValkey(home).stop()
    (file,) = (home.data / "appendonlydir").glob("*.incr.aof")
    yield file


def read(file: Path) -> bytes:
    return file.read_bytes()


def write(file: Path, content: bytes) -> None:
    file.write_bytes(content)


def mount(*words: object) -> bool:
    return not subprocess.run(["mount", *map(str, words)], capture_output=True, check=False).returncode


def run(line: str) -> None:
    subprocess.run(line, shell=True, check=True)


class opened:
    """An open broker on the embedded store of a home."""

    def __init__(self, home: Home) -> None:
        self.home = home

    async def __aenter__(self) -> Broker:
        self.broker = await Broker.open(Settings(home=self.home))
        return self.broker

    async def __aexit__(self, *_: object) -> None:
        await self.broker.close()


async def ids(broker: Broker) -> list[str]:
    return [each.id for each in (await broker.mail.peek("bob", 50, 0))[0]]


TORN = b"*3\r\n$3\r\nSET\r\n$4\r\nto"


@pytest.mark.parametrize(
    "damage",
    [
        TORN,
        b"\0" * 4096,
        TORN + b"\0" * 4096,
        b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nx\r\n",
        b"*",
        b"*3\r\n$3",
    ],
    ids=["torn", "zeroed", "torn and zeroed", "half a transaction", "a byte", "half a header"],
)
async def test_a_damaged_end_is_cut_kept_and_told(home: Home, mail: Path, damage: bytes) -> None:
    whole = read(mail)
    write(mail, whole + damage)

    async with opened(home) as broker:
        assert await ids(broker) == [f"m{number}" for number in range(10)]
        (warning,) = (await broker.health()).warnings

    (kept,) = home.data.glob("cut-*")
    assert kept.read_bytes() == damage
    assert f"{len(damage)} bytes after its last whole command were cut and are in {kept}" in warning
    assert str(mail) in warning


async def test_a_cut_within_the_last_message_costs_only_that(home: Home, mail: Path) -> None:
    whole = read(mail)
    at = whole.rindex(b"*1\r\n$5\r\nMULTI")
    write(mail, whole[: at + 40] + b"\0" * (len(whole) - at - 40))

    async with opened(home) as broker:
        assert len(await ids(broker)) >= 9


async def test_a_damage_in_the_middle_is_refused_and_changes_nothing(home: Home, mail: Path) -> None:
    whole = read(mail)
    middle = whole.rindex(b"$", 0, whole.index(b"body of m5"))  # the length of the message
    damaged = whole[:middle] + b"\0" * 16 + whole[middle + 16 :]
    write(mail, damaged)

    with pytest.raises(StoreAway, match="died at its start: ") as refused:
        await EmbeddedValkey(home).start()

    assert read(mail) == damaged
    assert "valkey-check-aof" not in refused.value.message, "it is not shipped"
    _, _, advice = refused.value.message.partition("then run `")
    run(advice.rstrip("`"))
    async with opened(home) as broker:
        assert await ids(broker) == [f"m{number}" for number in range(5)]
    assert not list(home.data.glob("cut-*"))


async def test_a_length_that_reaches_past_the_end_is_refused_and_cuts_nothing(home: Home, mail: Path) -> None:
    whole = read(mail)
    at = whole.rindex(b"$", 0, whole.index(b"body of m5"))
    damaged = whole[: at + 1] + b"99999999" + whole[at + 3 :]
    write(mail, damaged)

    with pytest.raises(StoreAway, match=r"died at its start: .* is damaged \d+ bytes from its beginning"):
        await EmbeddedValkey(home).start()

    assert read(mail) == damaged
    assert not list(home.data.glob("cut-*"))


async def test_a_missing_list_of_files_is_written_again_and_told(home: Home, mail: Path) -> None:
    manifest = mail.with_name("appendonly.aof.manifest")
    before = manifest.read_text()
    manifest.unlink()

    async with opened(home) as broker:
        assert await ids(broker) == [f"m{number}" for number in range(10)]
        (warning,) = (await broker.health()).warnings

    assert manifest.read_text().splitlines() == before.splitlines()
    assert f"{manifest}, the list of the files that hold the mail, was missing and was written again" in warning


async def test_a_missing_list_of_uncertain_files_is_refused_and_nothing_is_started_empty(
    home: Home, mail: Path
) -> None:
    mail.with_name("appendonly.aof.manifest").unlink()
    mail.with_name("appendonly.aof.2.base.rdb").write_bytes(b"")
    before = sorted(mail.parent.iterdir())

    with pytest.raises(StoreAway, match=r"is missing, and which of .* belong together is not certain"):
        await EmbeddedValkey(home).start()

    assert sorted(mail.parent.iterdir()) == before


@pytest.fixture
async def base(home: Home, mail: Path) -> Path:
    """The first file of that store, which was rewritten since and holds its messages; m10 came later."""
    async with opened(home) as broker:
        with redis.Redis(unix_socket_path=str(home.valkey_socket)) as valkey:
            valkey.bgrewriteaof()

            async def rewritten() -> bool:
                state = valkey.info("persistence")
                return not state["aof_rewrite_in_progress"] and not state["aof_rewrite_scheduled"]

            await eventually(rewritten, "the files are rewritten")
        await broker.mail.send(Draft(id="m10", to="bob", body="body of m10"), CI)
    assert await EmbeddedValkey(home).stop()
    (file,) = mail.parent.glob("*.base.rdb")
    return file


@pytest.mark.parametrize("damage", ["head", "cut", "zeroed", "one byte", "missing"])
async def test_a_damaged_first_file_is_named_and_nothing_is_changed(home: Home, base: Path, damage: str) -> None:
    whole = read(base)
    half = len(whole) // 2
    damaged = {
        "head": b"garbage" + whole[7:],
        "cut": whole[:half],
        "zeroed": whole[:half] + b"\0" * (len(whole) - half),
        "one byte": whole[:half] + bytes([whole[half] ^ 255]) + whole[half + 1 :],
    }
    if damage == "missing":
        run(f"rm {base}")
    else:
        write(base, damaged[damage])
    before = {each: read(each) for each in base.parent.iterdir()}

    state = "is missing" if damage == "missing" else "is damaged"
    with pytest.raises(StoreAway, match=f"{base}, which holds all mail but the latest, {state}") as refused:
        await EmbeddedValkey(home).start()

    assert f"Restore the folder {home.data} from a backup" in refused.value.message
    assert "valkey-check-aof" not in refused.value.message, "it is not shipped"
    assert {each: read(each) for each in base.parent.iterdir()} == before


async def test_an_empty_first_file_is_refused_and_not_taken_for_an_empty_store(home: Home, base: Path) -> None:
    write(base, b"")

    with pytest.raises(StoreAway, match=f"{base}, which held all mail but the latest, is empty") as refused:
        await EmbeddedValkey(home).start()
    assert f"delete the line with {base.name} in " in refused.value.message

    manifest = base.with_name("appendonly.aof.manifest")
    manifest.write_text("".join(line for line in manifest.read_text().splitlines(True) if base.name not in line))
    async with opened(home) as broker:
        assert await ids(broker) == ["m10"]


@pytest.fixture
def small_disk() -> Iterator[Home]:
    """A home on a disk of 6 MB."""
    place = scratch()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", place], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    home = Home(place)
    place.chmod(0o700)
    yield home
    kill_servers(home)
    subprocess.run(["umount", "-l", place], check=True)
    place.rmdir()


async def test_a_full_disk_is_called_a_full_disk_and_loses_nothing(small_disk: Home) -> None:
    accepted: list[str] = []

    async def send(broker: Broker, number: int) -> PostinoError | None:
        try:
            await broker.mail.send(Draft(id=f"m{number}", to="bob", body="x" * 20_000), CI)
        except PostinoError as error:
            return error
        accepted.append(f"m{number}")
        return None

    async with opened(small_disk) as broker:
        refused = None
        for number in range(1000):
            refused = refused or await send(broker, number)
            if refused:
                break

        async def told() -> Any:
            error = await send(broker, 2000)
            health = await broker.health()
            return error and "is full" in error.message and not health.ok and "is full" in str(health.error)

        await eventually(told, "the full disk is named")
        assert mount("-o", "remount,size=60m", small_disk.root)

        async def again() -> bool:
            return await send(broker, 3000) is None

        await eventually(again, "it takes mail again")
        found: list[str] = []
        while page := (await broker.mail.peek("bob", 50, len(found)))[0]:
            found += [each.id for each in page]
        assert set(accepted) <= set(found)


async def test_the_server_is_told_apart_from_one_that_was_killed(home: Home, mail: Path) -> None:
    async with opened(home) as broker:
        pid = int((home.data / "valkey.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        until(lambda: not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text())

        async def back() -> bool:
            return (await broker.health()).ok

        await eventually(back, "it is back")
        assert (await broker.health()).warnings == []
