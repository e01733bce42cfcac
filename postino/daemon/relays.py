"""The relays' side of the unix socket: hands each connection to the MCP face, once that is imported."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import threading
from collections.abc import Awaitable, Callable
from types import ModuleType

import msgspec
import structlog

from postino.broker import Broker
from postino.mcp.connected import ConnectedSessions

HEAD_START_S = 5.0  # commands are done by then: the SDK takes 0.8 s of CPU, which only relays need
FAREWELL_S = 1.2  # for the sessions to answer what is under way and give back what they hold
NEW_OBJECTS = 10_000  # before the collector looks: at its usual 700 it takes 5 % of a busy daemon

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Broker, ConnectedSessions], Awaitable[None]]

_log = structlog.get_logger()


class Relays:
    """Every connected relay, one task each. Made by the composition root, which awaits `run` and `close`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self._broker = broker
        self._sessions = sessions
        self._open: set[asyncio.Task[None]] = set()
        self._wanted = asyncio.Event()
        self._serve: asyncio.Future[Serve] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Import the MCP face in a thread, soon or when the first relay comes."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HEAD_START_S):
                await self._wanted.wait()
        try:
            self._serve.set_result((await _imported("postino.mcp.relay_connection")).serve_relay)
            gc.collect()
            gc.freeze()  # the SDK's hundred thousand objects stay: the collector need not walk them again and again
            gc.set_threshold(NEW_OBJECTS)
        except Exception as error:
            _log.exception("mcp_unusable")
            self._serve.set_exception(error)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one relay from now on."""
        self._wanted.set()
        task = asyncio.get_running_loop().create_task(self._serve_one(reader, writer), name="relay")
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """End every session: each tells its relay, and gives back what it holds."""
        tasks = list(self._open)
        for task in tasks:
            task.cancel()  # each says bye
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL_S)
        if self._serve.done() and not self._serve.cancelled():
            self._serve.exception()  # looked at, so that nobody complains

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            serve = await asyncio.shield(self._serve)
        except asyncio.CancelledError:
            writer.write(b'{"postino":"bye"}\n')
            writer.close()
            raise
        except Exception as error:
            refused = {"postino": "refused", "error": f"the daemon cannot serve MCP: {error}"}
            writer.write(msgspec.json.encode(refused) + b"\n")
            writer.close()
        else:
            await serve(reader, writer, self._broker, self._sessions)


async def _imported(name: str) -> ModuleType:
    """Import a module in a thread that a stopping daemon need not wait for, as it would for an executor's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ModuleType] = loop.create_future()

    def settle(module: ModuleType | None, error: Exception | None) -> None:
        if done.done():
            return
        if module is not None:
            done.set_result(module)
        elif error is not None:
            done.set_exception(error)

    def work() -> None:
        try:
            outcome: tuple[ModuleType | None, Exception | None] = importlib.import_module(name), None
        except Exception as error:
            outcome = None, error
        with contextlib.suppress(RuntimeError):  # the loop has closed: the daemon has stopped meanwhile
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, name=f"import {name}", daemon=True).start()
    return await done
