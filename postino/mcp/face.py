"""The code that needs the SDK, imported when it is first used: it takes 0.6 s and 40 MB. Imports no SDK itself."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import sys
import threading
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING

import structlog

from postino.broker import Broker
from postino.mcp.connected import ConnectedSessions
from postino.tasks import cancelled

if TYPE_CHECKING:
    from postino.mcp.http_sessions import HttpSessions

SWITCH_S = 0.0005  # between threads during the import; at the default of 5 ms, a request takes four times as long then
GC_THRESHOLD = 10_000  # new objects before a collection: at the default of 700 it takes 5 % of a busy daemon's CPU
MODULE = "postino.mcp.http_sessions"  # imports all of the rest

_log = structlog.get_logger()


class McpFace:
    """The MCP face of one daemon. Its owner awaits `close`."""

    def __init__(self, broker: Broker, sessions: ConnectedSessions) -> None:
        self.broker = broker
        self.sessions = sessions
        self._import: asyncio.Task[ModuleType] | None = None
        self._http: HttpSessions | None = None

    async def loaded(self) -> None:
        """Return once the code is imported. An import that failed, as during an update, is tried again.

        Raises:
            Exception: whatever the import raised.
        """
        if self._import is None or (self._import.done() and self._import.exception() is not None):
            self._import = asyncio.create_task(_import_sdk(), name="import the MCP face")
        await asyncio.shield(self._import)

    async def http(self) -> HttpSessions:
        """Return the sessions over HTTP."""
        await self.loaded()
        from postino.mcp.http_sessions import HttpSessions

        if self._http is None:
            self._http = HttpSessions(self.broker, self.sessions)
        return self._http

    async def close(self) -> None:
        """End all sessions over HTTP: they release what they hold."""
        if self._http is not None:
            await self._http.close()
        await cancelled(self._import)


async def _import_sdk() -> ModuleType:
    try:
        module = await _imported(MODULE)
    except Exception:
        _log.exception("mcp_import_failed")
        raise
    gc.collect()
    spare_collector()
    return module


def spare_collector() -> None:
    """Keep the garbage collector from visiting what is there now: imported modules stay, 100,000 objects of the SDK."""
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()


async def _imported(name: str) -> ModuleType:
    """Import a module in a daemon thread: a stopping process does not wait for it, as it would for an executor's."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[ModuleType] = loop.create_future()

    def settle(how: Callable[[], None]) -> None:
        if not done.done():
            how()

    def work() -> None:
        interval = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_S)
        try:
            how = partial(done.set_result, importlib.import_module(name))
        except Exception as error:
            how = partial(done.set_exception, error)
        finally:
            sys.setswitchinterval(interval)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the daemon has stopped meanwhile
            loop.call_soon_threadsafe(settle, how)

    threading.Thread(target=work, name=f"import {name}", daemon=True).start()
    return await done
