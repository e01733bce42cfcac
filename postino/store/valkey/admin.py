"""What the embedded Valkey is asked: who it is, to take our settings, to end.

hiredis speaks the protocol here, on a connection of its own each time: `postino down` need not import redis (200 ms).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import hiredis
import structlog
from hiredis import pack_command

from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.settings import SETTINGS, differing

LOOK_SECONDS = 1.0  # for one answer; appendfsync always makes a slow disk delay it
ANSWER_SECONDS = 10.0  # for CONFIG SET and SHUTDOWN
REWRITE_SECONDS = 600.0  # until all data is in a new append-only file; some GB

Reply = str | int | None | list["Reply"] | Exception

_MORE: Any = object()  # what hiredis gives while a reply is incomplete

log = structlog.get_logger("postino.store")


class Refused(Exception):
    """An error reply."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What was found at the socket; `pid` only of our own server."""

    state: Literal["ready", "loading", "absent", "silent", "stranger"]
    pid: int | None = None
    detail: str = ""


def away(sentence: str) -> StoreAway:
    """Return the refusal of an operation that was not even tried."""
    return StoreAway(sentence, outcome="none")


async def look(home: Home) -> Sight:
    """Ask whoever listens at our socket who it is: only a server of our data directory is ours. Takes 1 s at most."""
    questions = (("CONFIG", "GET", "dir"), ("INFO", "server"), ("INFO", "persistence"))
    try:
        config, about, persistence = await ask(home.valkey_socket, *questions, seconds=LOOK_SECONDS)
    except (FileNotFoundError, ConnectionRefusedError):
        return Sight("absent")
    except (OSError, EOFError, ValueError):  # TimeoutError is an OSError
        return Sight("silent")
    return _sight(home, config, fields(about), fields(persistence))


def _sight(home: Home, config: Reply, about: dict[str, str], persistence: dict[str, str]) -> Sight:
    if isinstance(config, Refused):
        busy = str(config).startswith(("BUSY", "LOADING"))
        return Sight("silent" if busy else "stranger", detail=str(config))
    where = pairs(config).get("dir", "")
    if not _same_directory(where, home):
        return Sight("stranger", detail=f"its data is in {where!r}")
    pid = int(about["process_id"])
    if persistence.get("loading", "0") != "0":
        return Sight("loading", pid, persistence.get("loading_loaded_perc", ""))
    return Sight("ready", pid)


def _same_directory(where: str, home: Home) -> bool:
    try:
        return Path(where).samefile(home.data)
    except OSError:
        return False


async def shut_down(home: Home) -> bool:
    """Ask our server to end; return False when it does not listen."""
    if (await look(home)).pid is None:
        return False
    with contextlib.suppress(OSError, EOFError):  # it closes the connection instead of answering
        await ask(home.valkey_socket, ("SHUTDOWN", "NOSAVE"), seconds=LOOK_SECONDS)
    return True


async def correct(home: Home) -> None:
    """Bring a server to our settings, wherever it was started.

    Raises:
        StoreAway: some settings can only be given at its start; or it stopped answering.
    """
    wrong = differing(await _settings(home))
    if not wrong:
        return
    await _answers(home, *(("CONFIG", "SET", name, value) for name, value in wrong.items()))
    have = await _settings(home)
    still = ", ".join(f"{name} {have.get(name)}" for name in differing(have))
    if still:
        raise away(
            f"The embedded Valkey of {home.root} runs with {still}; only a restart changes that: "
            "`postino down`, then `postino up`"
        )
    log.warning("valkey_settings_corrected", settings=wrong)
    if "appendonly" in wrong:
        await _rewritten(home)


async def _settings(home: Home) -> dict[str, str]:
    return pairs((await _answers(home, ("CONFIG", "GET", *SETTINGS)))[0])


async def _rewritten(home: Home) -> None:
    """Wait until a server whose append-only file was just switched on has all its data there."""
    deadline = time.monotonic() + REWRITE_SECONDS
    busy = True
    while busy and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        state = fields((await _answers(home, ("INFO", "persistence")))[0])
        busy = "1" in (state.get("aof_rewrite_in_progress"), state.get("aof_rewrite_scheduled"))
    if busy or state.get("aof_last_bgrewrite_status") != "ok":
        raise away(f"The embedded Valkey of {home.root} cannot write its append-only file; see {home.data}/valkey.log")


async def _answers(home: Home, *commands: tuple[str, ...]) -> list[Reply]:
    try:
        return await ask(home.valkey_socket, *commands, seconds=ANSWER_SECONDS)
    except (OSError, EOFError) as error:
        raise away(f"The embedded Valkey of {home.root} stopped answering") from error


async def ask(path: Path, *commands: tuple[str, ...], seconds: float) -> list[Reply]:
    """Send all `commands` at once over the unix socket `path` and return their replies in order.

    An error reply is returned in its place, as `Refused`, so that the other replies of a batch can be read.

    Raises:
        OSError: nothing listens there, or the connection broke.
        EOFError: the server closed the connection instead of answering.
        TimeoutError: not everything was answered within `seconds`.
    """
    replies = hiredis.Reader(encoding="utf-8", errors="surrogateescape", replyError=Refused, notEnoughData=_MORE)
    found: list[Reply] = []
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"".join(pack_command(tuple(map(os.fsencode, command))) for command in commands))  # type: ignore[arg-type]
            while len(found) < len(commands):
                chunk = await reader.read(1 << 16)
                if not chunk:
                    raise EOFError
                replies.feed(chunk)
                while (reply := _next(replies)) is not _MORE:
                    found.append(reply)
        finally:
            writer.transport.abort()
    return found


def _next(replies: hiredis.Reader) -> Any:
    try:
        return replies.gets()
    except hiredis.ProtocolError as error:
        raise ConnectionError(f"no RESP: {error}") from None


def pairs(reply: Reply) -> dict[str, str]:
    """Return what CONFIG GET answered as a dictionary; empty when it was refused."""
    flat = [str(item) for item in reply] if isinstance(reply, list) else []
    return dict(zip(flat[::2], flat[1::2], strict=True))


def fields(reply: Reply) -> dict[str, str]:
    """Return the lines of an INFO answer as a dictionary; empty when it was refused."""
    lines = reply.splitlines() if isinstance(reply, str) else []
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
