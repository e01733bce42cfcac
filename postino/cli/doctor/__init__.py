"""The command doctor: check every link of the chain, then send a real message down every path."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict

from postino.cli import render
from postino.cli.command import Command, as_json, sentence
from postino.cli.doctor import claude, daemon, machine, messages
from postino.cli.doctor.finding import Finding, skipped, wrong
from postino.cli.doctor.mending import Mend, mend
from postino.cli.doctor.notify import notify
from postino.cli.doctor.service import service
from postino.daemon import process
from postino.errors import PostinoError, Unreachable

WORDS = {"ok": "ok", "note": "note", "wrong": "WRONG", "skipped": "skip"}
STYLES = {"ok": "green", "note": "yellow", "wrong": "red", "skipped": "dim"}
WRONG = 3
NO_DAEMON = frozenset({"daemon_down", "daemon_silent", "daemon_unreachable"})


def doctor(command: Command) -> int:
    """Print a line for each link as it is checked; return 0, 3 if one is wrong, 4 if no daemon is reachable."""
    parser = command.parser()
    parser.add_argument(
        "--fix",
        action="store_true",
        help="mend what loses nothing (mode of the home, the daemon, the plugin, the service), then check everything",
    )
    parser.add_argument("--notify", action="store_true", help="send a test notification to POSTINO_NOTIFY_URL, too")
    args = parser.parse_args(command.argv)
    ink = render.Ink(command.colour)
    mended = _mend(command) if args.fix else []
    if not args.json:
        sys.stdout.write("".join(_mended(each, ink) for each in mended))
    found: list[Finding] = []
    for each in _examine(command, notifies=args.notify):
        found.append(each)
        if not args.json:
            sys.stdout.write(_line(each, ink))
            sys.stdout.flush()
    levels = Counter(each.level for each in found)
    if args.json:
        data: dict[str, object] = {"ok": not levels["wrong"], "checks": [asdict(each) for each in found]}
        if args.fix:
            data["mended"] = [asdict(each) for each in mended]
        sys.stdout.write(f"{as_json(data)}\n")
    elif levels["wrong"]:
        sys.stdout.write(f"{render.count(levels['wrong'], 'link')} of {len(found)} wrong\n")
    else:
        sys.stdout.write("everything works\n")
    if NO_DAEMON & {each.code for each in found}:
        return Unreachable.exit
    return WRONG if levels["wrong"] else 0


def _examine(command: Command, *, notifies: bool) -> Iterator[Finding]:
    yield machine.python()
    yield machine.path(command)
    home = machine.home(command)
    yield home
    yield machine.disk(command)
    if home.level == "wrong":
        yield wrong("daemon", "daemon_unreachable", "not asked: the home cannot be used")
        yield from claude.links(command, up=False)
        yield from machine.clients(command)
        return
    status = process.status(command.settings.home)
    yield daemon.daemon(status, command)
    info = status.info if status.state == "up" else None
    if (its_service := service(command)) is not None:
        yield its_service
    if info is not None:
        yield from _asked(command, info, status.health or {})
        yield notify(status.health or {}, command, send=notifies)
    yield from claude.links(command, up=info is not None)
    yield from machine.clients(command)
    if info is None:
        yield skipped("messages", "no daemon is reachable")
    elif not (status.health or {}).get("ok"):
        yield skipped("messages", "the store accepts none")
    else:
        yield from messages.down_every_path(command, info)


def _mend(command: Command) -> list[Mend]:
    """Mend one link after the other, each of which the next may need."""
    done = []
    for link in (machine.home, _daemon, claude.client, _server, service):
        found = link(command)
        if found is not None and found.level == "wrong" and (mended := mend(found, command)) is not None:
            done.append(mended)
    return done


def _daemon(command: Command) -> Finding | None:
    if machine.home(command).level == "wrong":
        return None  # it must not be asked
    return daemon.daemon(process.status(command.settings.home), command)


def _server(command: Command) -> Finding | None:
    return claude.server(command) if claude.client(command).level == "ok" else None


def _mended(done: Mend, ink: render.Ink) -> str:
    word = ink("fixed", "green") if done.ok else ink("fails", "red")
    return f"{word} {done.check:<8} {render.line(done.text)}\n"


def _asked(command: Command, info: process.DaemonInfo, health: dict[str, object]) -> Iterator[Finding]:
    try:
        yield daemon.settings(info, command)
        yield from daemon.store(health, command)
    except PostinoError as error:  # the file that says which store is used
        yield wrong("store", error.code, sentence(error))
    yield daemon.port(info)


def _line(found: Finding, ink: render.Ink) -> str:
    text = f"{found.text}; {found.fix}" if found.fix else found.text
    return f"{ink(f'{WORDS[found.level]:<5}', STYLES[found.level])} {found.check:<8} {render.line(text)}\n"
