"""Links from the command to the store: the daemon, its settings, Valkey, the two clocks, the port and the page."""

from __future__ import annotations

from collections.abc import Iterator

from postino import __version__, home_store
from postino.cli import skew
from postino.cli.command import Command, sentence
from postino.cli.doctor.daemon_log import last_error
from postino.cli.doctor.finding import Finding, note, ok, skipped, wrong
from postino.config import in_effect
from postino.daemon import process
from postino.errors import PostinoError
from postino.json_text import Json
from postino.transport import Transport
from postino.versions import is_older

STORE = "POSTINO_VALKEY_URL"
ASK_S = 5.0  # for one answer of Valkey or the page
LARGEST_SKEW = 2.0  # s between two clocks
FULL = 0.9  # of maxmemory


def daemon(found: process.Status, command: Command) -> Finding:
    """Check that a daemon answers, in the version of this command."""
    log = command.settings.home.log
    if found.state == "down":
        why = last_error(log)
        text = f"no daemon runs; the last one ended with: {why}" if why else "no daemon runs"
        return wrong("daemon", "daemon_down", text, "`postino up`")
    if found.state == "silent" or found.info is None:
        return wrong(
            "daemon",
            "daemon_silent",
            f"its process ({found.pid}) lives but does not answer",
            f"`postino down && postino up`; its log is {log}",
        )
    if other := skew.sentence(found.info.version):
        said, _, what = other.partition(": ")
        code = "daemon_older" if is_older(found.info.version, __version__) else "daemon_version"
        return wrong("daemon", code, said, what)
    if changed := skew.outdated(found.info):
        said, _, what = changed.partition(": ")
        return note("daemon", "daemon_outdated", said, what)
    return ok("daemon", f"version {found.info.version}, pid {found.info.pid}, on {found.info.socket}")


def settings(info: process.DaemonInfo, command: Command) -> Finding:
    """Compare the daemon's settings with those of this shell."""
    ours, theirs = skew.settings_here(command.settings), info.settings
    different = {name: (_spelled(ours[name]), _spelled(theirs[name])) for name in skew.different(theirs, ours)}
    if STORE in different:
        here, there = (each or "the embedded store" for each in different[STORE])
        return wrong(
            "settings", "other_store", f"{STORE} is {here} here, but the daemon uses {there}", home_store.SWITCH
        )
    if different:
        words = (
            f"{name} is {here or 'unset'} here, {there or 'unset'} there" for name, (here, there) in different.items()
        )
        return note("settings", "settings_differ", "; ".join(words), "`postino down && postino up` takes those of here")
    return ok("settings", "the daemon has those of this shell")


def _spelled(value: str) -> str:
    """Return a setting as somebody would write it."""
    return value.lower() if value in ("True", "False") else value


def store(health: Json, command: Command) -> Iterator[Finding]:
    """Check that the store accepts messages and keeps them, its memory, and its clock against ours."""
    server = str(health.get("server", "?"))
    if not health.get("ok"):
        away = not health.get("valkey")
        yield wrong(
            "store",
            "store_away" if away else "store_refuses",
            f"{server}: {health.get('error') or 'Valkey does not answer'}",
            "check that Valkey runs; `postino down && postino up` restarts the embedded one" if away else "",
        )
    elif warnings := [str(each) for each in health.get("warnings", [])]:
        yield wrong("store", "store_warns", f"{server}: {'; '.join(warnings)}")
    elif health.get("durability") == "volatile":
        yield wrong("store", "store_volatile", f"{server} loses mail when it stops", "set appendonly yes there")
    else:
        yield ok("store", f"{server}, accepts messages, durability {health.get('durability')}")
    if not health.get("valkey"):
        yield skipped("memory", "the store is away")
        yield skipped("clock", "the store is away")
        return
    yield from _asked(health, command)


def _asked(health: Json, command: Command) -> Iterator[Finding]:
    from postino.store.valkey.vitals import ask  # with redis 200 ms

    home = command.settings.home
    if health.get("server") == "embedded":
        address: str | None = f"unix://{home.valkey_socket}"
    else:
        address = in_effect(command.settings, home_store.read(home)).valkey_url
    if address is None:
        yield skipped("memory", "the address of the daemon's store is not known here")
        yield skipped("clock", "the address of the daemon's store is not known here")
        return
    try:
        vitals = ask(address, command.settings.key_prefix, ASK_S)
    except OSError as error:
        yield note("memory", "store_unasked", f"this command cannot ask the store ({error})")
        yield skipped("clock", "this command cannot ask the store")
        return
    yield _memory(vitals.memory_used, vitals.memory_limit)
    yield clock(vitals.time_s, vitals.before_s, vitals.after_s)


def _memory(used: int, limit: int) -> Finding:
    text = f"{used >> 20} MiB used of {f'{limit >> 20} MiB' if limit else 'no limit'}"
    if limit and used > FULL * limit:
        return wrong("memory", "memory_full", text, "raise POSTINO_MAX_MEMORY, or have the inboxes read")
    return ok("memory", text)


def clock(theirs: float, before: float, after: float) -> Finding:
    """Compare the store's clock with ours, read before and after; all in seconds since 1970."""
    off = min(0.0, theirs - before) or max(0.0, theirs - after)
    if abs(off) > LARGEST_SKEW:
        return wrong(
            "clock",
            "clock_skew",
            f"the store's clock is {abs(off):.0f} s {'behind' if off < 0 else 'ahead of'} that of this machine",
            "set both by NTP",
        )
    return ok("clock", "the store's and this machine's agree")


def port(info: process.DaemonInfo) -> Finding:
    """Check that the daemon listens where it was told to, and that the page is served there."""
    if info.url is None:
        return ok("port", "TCP is off (POSTINO_WEB_ENABLED), the unix socket is used")
    if moved := skew.moved(info.url, info.settings):
        return wrong(
            "port",
            "port_taken",
            *moved,
        )
    try:
        answer = Transport(info.url).exchange("GET", "/", None, {"Connection": "close"}, ASK_S)
    except PostinoError as error:
        return wrong("port", "port_unreachable", sentence(error))
    if answer.status != 200 or b"<html" not in answer.body[:2000].lower():
        return wrong("port", "page_missing", f"{info.url} answers status {answer.status} and no page")
    return ok("port", f"{info.url}, the page is served")
