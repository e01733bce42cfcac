"""The connections of relays on the unix socket: pass each to the MCP face once that is imported."""

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

IMPORT_DELAY_S = 5.0  # most commands are over by then and do not wait for the 0.8 s of CPU that the import takes
FAREWELL_S = 1.2  # for sessions to answer what is in progress and release what they hold
GC_THRESHOLD = 10_000  # new objects before a collection: at the default of 700 it takes 5 % of a busy daemon's CPU

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Broker, ConnectedSessions], Awaitable[None]]

_log = structlog.get_logger()


class Relays:
    """The connected relays, one task each. The owner awaits `run` and `close`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self._broker = broker
        self._sessions = sessions
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected = asyncio.Event()
        self._serve: asyncio.Future[Serve] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Import the MCP face in a thread, after a short delay or when the first relay connects."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IMPORT_DELAY_S):
                await self._connected.wait()
        try:
            self._serve.set_result((await _imported("postino.mcp.relay_connection")).serve_relay)
            gc.collect()
            gc.freeze()  # the SDK's 100,000 objects stay alive: keep the collector from visiting them
            gc.set_threshold(GC_THRESHOLD)
        except Exception as error:
            _log.exception("mcp_import_failed")
            self._serve.set_exception(error)

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one relay from now on."""
        self._connected.set()
        task = asyncio.get_running_loop().create_task(self._serve_one(reader, writer), name="relay")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every session: each tells its relay and releases what it holds."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()  # makes it send `bye`
        if tasks:
            await asyncio.wait(tasks, timeout=FAREWELL_S)
        if self._serve.done() and not self._serve.cancelled():
            self._serve.exception()  # retrieved, so that asyncio does not report it

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            serve = await asyncio.shield(self._serve)
        except asyncio.CancelledError:
            writer.write(b'{"postino":"bye"}\n')
            writer.close()
            raise
        except Exception as error:
            refused = {"postino": "refused", "error": f"The postino daemon cannot serve MCP: {error}; see its log"}
            writer.write(msgspec.json.encode(refused) + b"\n")
            writer.close()
        else:
            await serve(reader, writer, self._broker, self._sessions)


async def _imported(name: str) -> ModuleType:
    """Import a module in a daemon thread: a stopping process does not wait for it, as it would for an executor's."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon has stopped meanwhile
            loop.call_soon_threadsafe(settle, *outcome)

    threading.Thread(target=work, name=f"import {name}", daemon=True).start()
    return await done
