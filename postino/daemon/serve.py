"""The composition root of the daemon: make every part in the order of need, and end them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from postino import __version__, home_store
from postino.broker import Broker
from postino.config import Settings, check_exposure, check_replicas, comparable, in_effect
from postino.daemon import logs, process, tls
from postino.daemon.importing import import_http
from postino.daemon.relays import Relays
from postino.daemon.sockets import bind_tcp, bind_unix
from postino.daemon.supervision import Supervisor, shorten_log
from postino.notify.messenger import Messenger
from postino.rest.named_tokens import NamedTokens
from postino.tasks import cancelled

FILES = 65_536
HOME_S = 0.5  # between two checks that the home is still there
OTHER_S = 15.0  # for another daemon that holds the lock to become healthy

_log = structlog.get_logger()


def main(settings: Settings, *, supervised: bool = False, say: Callable[[str], object] | None = None) -> int:
    """Serve `settings.home` until SIGTERM or SIGINT; return at once if another daemon serves it.

    That is told to `say`, in a sentence for a person, or else logged.
    With `supervised` this daemon replaces another one, and ends the embedded Valkey with itself: whoever runs it, a
    service manager or a container, ends or waits for every process that it started.

    Raises:
        BadField: the home, the address, the port, the tokens, the certificate, replicas or where to notify cannot be
            used.
        StoreAway: Valkey cannot be reached, by this process or by the daemon that serves the home.
        WrongStore: it is not the one that the home remembers, or its data has a newer format.
        Unreachable: another daemon holds the lock and does not answer.
    """
    began = time.monotonic()
    settings.home.prepare()
    tokens, secured = NamedTokens(settings.home.tokens), tls.context(settings)
    check_exposure(settings, named_tokens=tokens.any_valid())
    logs.set_up(settings)
    messenger = None if settings.notify_url is None else Messenger(settings.notify_url)
    _raise_file_limit()
    supervisor = Supervisor(os.environ, ends_valkey=supervised)
    if supervised:
        shorten_log(settings.home)
    lock = process.take_over(settings.home) if supervised else _lock_home(settings)
    if lock is None:
        _tell_already_served(settings, say)
        return 0
    try:
        remembered = home_store.read(settings.home)
        used = in_effect(settings, remembered)
        check_replicas(used)
        asyncio.run(serve(used, lock, began, remembered, tokens, secured, supervisor, messenger))
    finally:
        lock.release()
    return 0


def _tell_already_served(settings: Settings, say: Callable[[str], object] | None) -> None:
    info = process.read_info(settings.home)
    if say is None:
        _log.info("already_served", home=str(settings.home.root), pid=info and info.pid)
        return
    there = f" (pid {info.pid}, {info.url or 'without TCP'})" if info else ""
    say(
        f"a daemon runs already for {settings.home.root}{there}, so none was started; "
        "`postino logs --follow` shows its log, `postino down` stops it"
    )


def _raise_file_limit() -> None:
    """Allow up to FILES open files, as far as the system does: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    with contextlib.suppress(OSError, ValueError):  # macOS allows less than it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _lock_home(settings: Settings) -> process.HomeLock | None:
    """Return the lock of the home; None once another daemon serves it.

    Whoever holds the lock now may be about to end, or only looks whether anybody does.
    """
    deadline = time.monotonic() + OTHER_S
    while (lock := process.lock_home(settings.home)) is None:
        if process.is_healthy(settings.home):
            return None
        if time.monotonic() >= deadline:
            raise process.not_healthy(settings.home, process.health(settings.home), OTHER_S)
    return lock


async def serve(
    settings: Settings,
    lock: process.HomeLock,
    began: float,
    remembered: home_store.HomeStore | None,
    tokens: NamedTokens,
    secured: ssl.SSLContext | None,
    supervisor: Supervisor,
    messenger: Messenger | None = None,
) -> None:
    """Open the sockets and the broker, write daemon.json, and close everything after a signal."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with _bound(settings) as (unix, sockets):  # first: a port that cannot be bound must not start a Valkey
        importing = asyncio.create_task(asyncio.to_thread(import_http))  # while Valkey starts
        try:
            broker = await _open_broker(settings, stop, remembered)
        finally:
            await importing
        from postino.daemon.http_face import listening
        from postino.rest.app import STATE, build_app

        if broker is None:
            return
        used = home_store.HomeStore(settings.valkey_url, settings.key_prefix, broker.store_id)
        if used != remembered:
            home_store.write(settings.home, used)
        broker.on_store_id(lambda id: home_store.write(settings.home, replace(used, id=id)))
        url = _url(settings, sockets)
        try:
            await broker.people.settle(settings.human_name)
            app = build_app(broker, settings, tokens=tokens, messenger=messenger)
            app[STATE].url = url
            async with listening(app, Relays(app[STATE].mcp), unix, sockets, secured):
                lock.write_info(url, __version__, comparable(settings))
                _log_serving(settings, broker, url, began)
                supervisor.ready(url or str(settings.home.socket))
                calling = asyncio.create_task(_call_again(broker))
                await _until_stopped(stop, lock, broker, supervisor)
                supervisor.stopping()
                await cancelled(calling)
                _log.info("stopping")
        finally:
            await broker.close(and_server=supervisor.ends_valkey)
    if broker.embedded and broker.data_in_place() and not supervisor.ends_valkey:
        _log.info("stopped", valkey="keeps running for the next daemon; `postino down` ends it")
    else:
        _log.info("stopped")


async def _until_stopped(stop: asyncio.Event, lock: process.HomeLock, broker: Broker, supervisor: Supervisor) -> None:
    """Return when `stop` is set or the home was removed: messages accepted after that would be lost."""
    while not stop.is_set():
        supervisor.alive()
        if not (lock.is_current() and broker.data_in_place()):
            _log.error("home_removed", home=str(broker.settings.home.root))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(HOME_S):
                await stop.wait()


def _log_serving(settings: Settings, broker: Broker, url: str | None, began: float) -> None:
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
        unix = close.enter_context(bind_unix(settings.home.socket))
        sockets = bind_tcp(settings.web_host, settings.web_port) if settings.web_enabled else []
        for sock in sockets:
            close.enter_context(sock)
        yield unix, sockets


async def _open_broker(
    settings: Settings, stop: asyncio.Event, remembered: home_store.HomeStore | None
) -> Broker | None:
    """Return the open broker; None if `stop` was set before Valkey answered."""
    opening = asyncio.ensure_future(Broker.open(settings, remembered))
    stopped = asyncio.ensure_future(stop.wait())
    await asyncio.wait({opening, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if opening.done():
        return opening.result()
    await cancelled(opening)
    return None


async def _call_again(broker: Broker) -> None:
    """Let hooks call this daemon again, one of which got no answer in time, when Valkey answers."""
    mark = broker.settings.home.slow
    while True:
        await asyncio.sleep(HOME_S)
        if mark.exists() and (await broker.health()).valkey:
            mark.unlink(missing_ok=True)
            _log.warning("hook_was_slow")


def _url(settings: Settings, sockets: list[socket.socket]) -> str | None:
    """Return the address for a browser on this machine; None if TCP is off."""
    if not sockets:
        return None
    host, port = sockets[0].getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    if settings.web_port not in (0, port):
        _log.warning("port_taken", wanted=settings.web_port, listening_on=port)
    scheme = "https" if settings.tls_cert else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
