"""Commands to the embedded Valkey: identify it, correct its settings, shut it down.

Each uses hiredis on a connection of its own, so that `postino down` need not import redis, which takes 200 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import hiredis
import msgspec
import structlog
from hiredis import pack_command

from postino.errors import StoreAway
from postino.paths import Home
from postino.store.valkey.settings import differing

INSPECT_SECONDS = 1.0  # for one answer; with appendfsync always a slow disk delays it
ADMIN_SECONDS = 10.0  # for CONFIG SET and SHUTDOWN
REWRITE_SECONDS = 600.0  # until a new append-only file holds all data, which may be some GB

Reply = str | int | None | list["Reply"] | Exception

_INCOMPLETE: Any = object()  # what hiredis returns until a reply is complete

log = structlog.get_logger("postino.store")


class ErrorReply(Exception):
    """An error reply of the server."""


class Inspection(msgspec.Struct, frozen=True):
    """What answers at the socket; `pid` only of our own server."""

    state: Literal["ready", "loading", "absent", "unresponsive", "foreign"]
    pid: int | None = None
    detail: str = ""


def unavailable(sentence: str) -> StoreAway:
    """Return the StoreAway of an operation that was not attempted."""
    return StoreAway(sentence, outcome="none")


async def inspect(home: Home) -> Inspection:
    """Ask the server at our socket who it is; it is ours if it works in our data directory. Takes 1 s at most."""
    questions = (("CONFIG", "GET", "dir"), ("INFO", "server"), ("INFO", "persistence"))
    try:
        config, server, persistence = await ask(home.valkey_socket, *questions, seconds=INSPECT_SECONDS)
    except (FileNotFoundError, ConnectionRefusedError):
        return Inspection("absent")
    except (OSError, EOFError, ValueError):  # TimeoutError is an OSError
        return Inspection("unresponsive")
    return _inspection(home, config, parse_info(server), parse_info(persistence))


def _inspection(home: Home, config: Reply, server: dict[str, str], persistence: dict[str, str]) -> Inspection:
    if isinstance(config, ErrorReply):
        busy = str(config).startswith(("BUSY", "LOADING"))
        return Inspection("unresponsive" if busy else "foreign", detail=str(config))
    directory = parse_config(config).get("dir", "")
    if not _is_data_directory(directory, home):
        return Inspection("foreign", detail=f"its data is in {directory!r}")
    pid = int(server["process_id"])
    if persistence.get("loading", "0") != "0":
        return Inspection("loading", pid, persistence.get("loading_loaded_perc", ""))
    return Inspection("ready", pid)


def _is_data_directory(directory: str, home: Home) -> bool:
    try:
        return Path(directory).samefile(home.data)
    except OSError:
        return False


async def shut_down(home: Home) -> bool:
    """Tell our server to shut down; return False if it does not listen."""
    if (await inspect(home)).pid is None:
        return False
    with contextlib.suppress(OSError, EOFError):  # it closes the connection instead of answering
        await ask(home.valkey_socket, ("SHUTDOWN", "NOSAVE"), seconds=INSPECT_SECONDS)
    return True


async def correct_settings(home: Home, settings: dict[str, str]) -> None:
    """Give a running server our settings, whoever started it.

    Raises:
        StoreAway: a setting can only be changed by a restart, or the server stopped answering.
    """
    wrong = differing(settings, await _settings(home, settings))
    if not wrong:
        return
    await _ask_server(home, *(("CONFIG", "SET", name, value) for name, value in wrong.items()))
    actual = await _settings(home, settings)
    still = ", ".join(f"{name} {actual.get(name)}" for name in differing(settings, actual))
    if still:
        raise unavailable(
            f"The embedded Valkey of {home.root} runs with {still}; only a restart changes that: "
            "`postino down`, then `postino up`"
        )
    log.warning("valkey_settings_corrected", settings=wrong)
    if "appendonly" in wrong:
        await _wait_for_rewrite(home)


async def _settings(home: Home, names: Iterable[str]) -> dict[str, str]:
    return parse_config((await _ask_server(home, ("CONFIG", "GET", *names)))[0])


async def _wait_for_rewrite(home: Home) -> None:
    """Wait until the append-only file, just enabled, contains all data."""
    deadline = time.monotonic() + REWRITE_SECONDS
    busy = True
    while busy and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
        state = parse_info((await _ask_server(home, ("INFO", "persistence")))[0])
        busy = "1" in (state.get("aof_rewrite_in_progress"), state.get("aof_rewrite_scheduled"))
    if busy or state.get("aof_last_bgrewrite_status") != "ok":
        raise unavailable(
            f"The embedded Valkey of {home.root} cannot write its append-only file; see {home.data}/valkey.log"
        )


async def _ask_server(home: Home, *commands: tuple[str, ...]) -> list[Reply]:
    try:
        return await ask(home.valkey_socket, *commands, seconds=ADMIN_SECONDS)
    except (OSError, EOFError) as error:
        raise unavailable(f"The embedded Valkey of {home.root} stopped answering") from error


async def ask(path: Path, *commands: tuple[str, ...], seconds: float) -> list[Reply]:
    """Send all `commands` at once over the unix socket `path` and return their replies in order.

    An error reply is returned, as ErrorReply, so that the others can still be read.

    Raises:
        OSError: nothing listens there, or the connection broke.
        EOFError: the server closed the connection instead of answering.
        TimeoutError: not all replies came within `seconds`.
    """
    parser = hiredis.Reader(
        encoding="utf-8", errors="surrogateescape", replyError=ErrorReply, notEnoughData=_INCOMPLETE
    )
    found: list[Reply] = []
    async with asyncio.timeout(seconds):
        reader, writer = await asyncio.open_unix_connection(path)
        try:
            writer.write(b"".join(pack_command(tuple(map(os.fsencode, command))) for command in commands))  # type: ignore[arg-type]
            while len(found) < len(commands):
                chunk = await reader.read(1 << 16)
                if not chunk:
                    raise EOFError
                parser.feed(chunk)
                while (reply := _next_reply(parser)) is not _INCOMPLETE:
                    found.append(reply)
        finally:
            writer.transport.abort()
    return found


def _next_reply(parser: hiredis.Reader) -> Any:
    try:
        return parser.gets()
    except hiredis.ProtocolError as error:
        raise ConnectionError(f"not the Valkey protocol: {error}") from None


def parse_config(reply: Reply) -> dict[str, str]:
    """Return the reply of CONFIG GET as a dict, empty if it was refused."""
    flat = [str(item) for item in reply] if isinstance(reply, list) else []
    return dict(zip(flat[::2], flat[1::2], strict=True))


def parse_info(reply: Reply) -> dict[str, str]:
    """Return the lines of an INFO reply as a dict, empty if it was refused."""
    lines = reply.splitlines() if isinstance(reply, str) else []
    return {name: value for name, colon, value in (line.partition(":") for line in lines) if colon}
