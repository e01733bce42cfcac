"""What is asked of the embedded Valkey: who it is, to take our settings, to end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from postino.errors import StoreAway
from postino.paths import Home
from postino.store.resp import Refused, Reply, ask, fields, pairs
from postino.store.server_settings import SETTINGS, differing

LOOK_SECONDS = 1.0  # for one answer; appendfsync always makes a slow disk delay it
ANSWER_SECONDS = 10.0  # for CONFIG SET and SHUTDOWN
REWRITE_SECONDS = 600.0  # until all data is in a new append-only file; some GB

log = structlog.get_logger("postino.store")


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
        raise away(f"The embedded Valkey of {home.root} can not write its append-only file; see {home.data}/valkey.log")


async def _answers(home: Home, *commands: tuple[str, ...]) -> list[Reply]:
    try:
        return await ask(home.valkey_socket, *commands, seconds=ANSWER_SECONDS)
    except (OSError, EOFError) as error:
        raise away(f"The embedded Valkey of {home.root} stopped answering") from error
