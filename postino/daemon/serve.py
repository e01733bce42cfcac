"""The composition root: everything is made here, in the order in which it is needed, and ended in the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator

import structlog
from aiohttp import web

from postino import __version__
from postino.broker import Broker
from postino.config import Settings, told
from postino.daemon import logs, process
from postino.daemon.relays import Relays
from postino.daemon.sockets import BACKLOG, Door, bind_tcp, bind_unix
from postino.mcp.connected import ConnectedSessions
from postino.rest.app import GUARD, SHARED, build_app
from postino.rest.connection import Connections

HANDLERS_S = 0.4  # for requests under way at the end, and as long again once they are cancelled
HOME_S = 0.5  # between two looks whether the home is still there
OTHERS_S = 15.0  # for another daemon that holds the lock to answer

_log = structlog.get_logger()


def main(settings: Settings) -> int:
    """Serve `settings.home` until SIGTERM or SIGINT; give way at once when another daemon serves it.

    Raises:
        BadField: the home, the address or the port cannot be used.
        StoreAway: Valkey cannot be reached, from here or from the daemon that serves the home.
        Unreachable: another daemon holds the home and does not answer.
    """
    began = time.monotonic()
    settings.home.prepare()
    logs.set_up(settings)
    seat = process.take_seat(settings.home)
    if seat is None:
        return _give_way(settings)
    try:
        asyncio.run(serve(settings, seat, began))
    finally:
        seat.leave()
    return 0


def _give_way(settings: Settings) -> int:
    if not process.wait_healthy(settings.home, OTHERS_S):
        raise process.late(settings.home, process.health(settings.home), OTHERS_S)
    _log.info("already_served", home=str(settings.home.root))
    return 0


async def serve(settings: Settings, seat: process.Seat, began: float) -> None:
    """Open the broker and the sockets, say so, and close them when told to stop."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _bound(settings) as (door, sockets):  # first: a port that cannot be had is no reason to start a Valkey
        broker = await _opened(settings, stop)
        if broker is None:
            return
        url = _url(settings, sockets)
        try:
            async with _listening(settings, broker, url, door, sockets):
                seat.announce(url, __version__, told(settings))
                _greet(settings, broker, url, began)
                await _over(stop, seat, broker)
                _log.info("stopping")
        finally:
            await broker.close()
    if broker.embedded and broker.data_in_place():
        _log.info("stopped", valkey="still runs, so that the next daemon starts at once; `postino down` ends it")
    else:
        _log.info("stopped")


async def _over(stop: asyncio.Event, seat: process.Seat, broker: Broker) -> None:
    """Return when told to stop, or when the home was removed: what was accepted from then on would be lost."""
    while not stop.is_set():
        if not (seat.kept() and broker.data_in_place()):
            _log.error("home_removed", home=str(broker.settings.home.root))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOME_S):
                await stop.wait()


def _greet(settings: Settings, broker: Broker, url: str | None, began: float) -> None:
    _log.info(
        "serving",
        url=url,
        socket=str(settings.home.socket),
        valkey="embedded" if broker.embedded else "external",
        durability=broker.durability,
        version=__version__,
        pid=os.getpid(),
        seconds=round(time.monotonic() - began, 3),
    )


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    with contextlib.ExitStack() as close:
        door = close.enter_context(bind_unix(settings.home.socket))
        sockets = bind_tcp(settings.web_host, settings.web_port) if settings.web_enabled else []
        for sock in sockets:
            close.enter_context(sock)
        yield door, sockets


async def _opened(settings: Settings, stop: asyncio.Event) -> Broker | None:
    """Return the open broker; None when told to stop before Valkey answered."""
    opening = asyncio.ensure_future(Broker.open(settings))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if opening.done():
        return opening.result()
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    return None


@contextlib.asynccontextmanager
async def _listening(
    settings: Settings, broker: Broker, url: str | None, door: socket.socket, sockets: list[socket.socket]
) -> AsyncIterator[None]:
    """Serve one application on the unix socket, beside the relays, and on TCP."""
    loop = asyncio.get_running_loop()
    sessions = ConnectedSessions()
    app = build_app(broker, settings, sessions)
    app[SHARED].url = url
    runner = web.AppRunner(app, shutdown_timeout=HANDLERS_S)
    await runner.setup()
    assert runner.server is not None
    connections, relays = Connections(runner.server, loop, app[GUARD].examine), Relays(broker, sessions)
    async with contextlib.AsyncExitStack() as undo:
        undo.push_async_callback(_end, runner, relays)
        unix = await loop.create_unix_server(lambda: Door(connections.unix, relays.accept), sock=door, backlog=BACKLOG)
        undo.callback(unix.close)
        for sock in sockets:
            server = await loop.create_server(connections.tcp, sock=sock, backlog=BACKLOG)
            undo.callback(server.close)
        for work in (connections.sweep(), relays.run()):
            undo.push_async_callback(_cancelled, asyncio.create_task(work))
        yield


async def _end(runner: web.AppRunner, relays: Relays) -> None:
    await asyncio.gather(relays.close(), runner.cleanup())


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _url(settings: Settings, sockets: list[socket.socket]) -> str | None:
    """Return where a browser on this machine finds us."""
    if not sockets:
        return None
    host, port = sockets[0].getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if settings.web_port not in (0, port):
        _log.warning("port_taken", wanted=settings.web_port, taken_instead=port)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
