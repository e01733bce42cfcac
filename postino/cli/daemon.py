"""The commands up, down, status and serve."""

from __future__ import annotations

import os
import signal
import sys
import time

from postino import home_store
from postino.cli import people, render, skew
from postino.cli.command import Command
from postino.client import Client
from postino.daemon import process
from postino.errors import BadField, PostinoError, Unreachable

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.json_text import Json

STORE = "POSTINO_VALKEY_URL"


def up(command: Command) -> int:
    """Start a daemon unless one is healthy already; print its address."""
    parser = command.parser()
    parser.add_argument(
        "--switch-store",
        action="store_true",
        help="use the store of POSTINO_VALKEY_URL (unset: the embedded one) from now on; mail stays where it is",
    )
    args = parser.parse_args(command.argv)
    replaced = skew.stop_older(command.settings.home)
    info = _switch_store(command) if args.switch_store else command.start()
    ours = skew.settings_here(command.settings)
    different = skew.different(info.settings, ours)
    text = _address(info.url, info.socket) + _replaced(replaced, info)
    about = skew.sentence(info.version), skew.outdated(info), _moved(info.url, info.settings)
    text += "".join(f"{each}\n" for each in about if each)
    health = process.health(command.settings.home) or {}
    if refused := health.get("error"):
        text += f"it takes no mail now: {render.line(refused)}\n"
    text += "".join(f"warning: {render.line(warning)}\n" for warning in health.get("warnings", []))
    if STORE in different:
        text += (
            f"it uses {render.line(info.settings[STORE] or 'the embedded store')}, not {render.line(ours[STORE])} as "
            f"{STORE} says here; {home_store.SWITCH} changes that and leaves waiting mail behind\n"
        )
    if others := [each for each in different if each != STORE]:
        until = "`postino service install`" if command.settings.home.service.exists() else "`postino down`"
        text += f"it runs with a different {', '.join(others)} than this shell and keeps it until {until}\n"
    person = None if refused else command.person()
    if person:
        text += f"{_reached(person)}\n"
    data = skew.as_data(info) | {"differs": different, "replaced": replaced and replaced.version, "person": person}
    return command.show(args, data, text)


def _moved(url: str | None, settings: dict[str, str]) -> str | None:
    moved = skew.moved(url, settings)
    return moved and ": ".join(moved)


def _reached(person: str) -> str:
    return f"agents write to you as {render.line(person)}, or to human; POSTINO_HUMAN_NAME sets another name"


def _replaced(before: process.DaemonInfo | None, now: process.DaemonInfo) -> str:
    """Return what to say about the daemon that was replaced, and which of its settings the new one does not have."""
    if before is None:
        return ""
    lost = skew.different(before.settings, now.settings)
    settings = f"; unlike that one it runs with the {', '.join(lost)} of this shell" if lost else ""
    return f"it replaces a daemon of version {render.line(before.version)}{settings}\n"


def _switch_store(command: Command) -> process.DaemonInfo:
    """Make the configured store the home's; if no daemon can start on it, the former one stays."""
    settings = command.settings
    home = settings.home.prepare()
    try:
        before = home_store.read(home)
    except BadField:
        before = None  # it cannot be read, which this command mends
    home_store.write(home, home_store.HomeStore(settings.valkey_url, settings.key_prefix))
    try:
        process.stop(home)
        info = command.start()
    except PostinoError:
        home_store.restore(home, before)
        raise
    if settings.valkey_url is not None:
        stop_valkey(command)
    return info


def _address(url: str | None, socket: str) -> str:
    return f"postino is up: {render.line(url)}\n" if url else f"postino is up: unix socket {render.line(socket)}\n"


def down(command: Command) -> int:
    """Stop the daemon, then the embedded Valkey, which goes on without a daemon."""
    parser = command.parser()
    args = parser.parse_args(command.argv)
    home = command.settings.home
    stopped = process.stop(home)
    valkey = stop_valkey(command)
    text = "postino is down\n" if stopped or valkey else "postino was not running\n"
    return command.show(args, {"stopped": stopped, "valkey": valkey}, text)


def stop_valkey(command: Command) -> bool:
    """Stop the embedded server of this home; return whether one was running."""
    import asyncio

    from postino.store.valkey.embedded import EmbeddedValkey

    return asyncio.run(EmbeddedValkey(command.settings.home).stop())


def status(command: Command) -> int:
    """Show whether postino runs, where, on which Valkey, and what it holds."""
    parser = command.parser()
    args = parser.parse_args(command.argv)
    found = process.status(command.settings.home)
    data: Json = {"state": found.state, "home": str(command.settings.home.root), "pid": found.pid}
    if found.info:
        data |= skew.as_data(found.info)
    if found.state == "up":
        healthy = (found.health or {}).get("ok")  # otherwise stats would wait for Valkey
        data |= {"health": found.health, "stats": _stats(command) if healthy else None}
        data["person"] = command.person() if healthy else None
        data["mail"] = _mail(command, data["person"]) if data["person"] else None
    if found.state == "down" and _valkey_runs(command):
        data["valkey"] = True
    changed = skew.outdated(found.info) if found.state == "up" and found.info else None
    command.show(args, data, _status(data, changed, render.Ink(command.colour)))
    return 0 if (found.health or {}).get("ok") else Unreachable.exit


def _valkey_runs(command: Command) -> bool:
    """Return whether the embedded server of this home still runs; only checked if there ever was one."""
    if not command.settings.home.data.is_dir():
        return False
    import asyncio

    from postino.store.valkey.embedded import EmbeddedValkey

    return asyncio.run(EmbeddedValkey(command.settings.home).alive())


def _stats(command: Command) -> Json | None:
    try:
        with Client(command.settings.home.socket, via="cli") as client:
            return client.stats()
    except PostinoError:
        return None  # the health answer has the reason


def _mail(command: Command, person: str) -> Json | None:
    """Return how much waits for the person; None if that cannot be told now."""
    try:
        with Client(command.settings.home.socket, via="cli") as client:
            found = client.inbox(person, limit=1)["person"]
    except PostinoError:
        return None
    return {"unread": found["unread"], "open": found["open"]}


def _status(data: Json, changed: str | None, ink: render.Ink) -> str:
    if data["state"] == "down":
        valkey = "its Valkey is still running; `postino down` stops it\n" if data.get("valkey") else ""
        return f"postino is down ({render.line(data['home'])}); `postino up` starts it\n{valkey}"
    if data["state"] == "silent":
        return f"postino (pid {data['pid']}) does not answer; see {render.line(data['home'])}/daemon.log\n"
    health, stats = data["health"], data["stats"] or {}
    words = (
        ink("healthy", "green")
        if health.get("ok")
        else ink(f"not healthy: {render.line(health.get('error', 'Valkey does not answer'))}", "red")
    )
    since = time.time() - data.get("started", time.time())
    rows = [
        (
            "state",
            f"{words}, version {render.line(data.get('version', '?'))}, pid {data['pid']}, up {render.span(since)}",
        ),
        ("url", render.line(data.get("url") or "none, TCP is off")),
        ("socket", render.line(data.get("socket", "?"))),
        (
            "valkey",
            f"{render.line(health.get('server', '?'))}, durability {render.line(health.get('durability', '?'))}",
        ),
    ]
    moved = _moved(data.get("url"), data.get("settings", {}))
    about = {"version": skew.sentence(data.get("version", "?")), "files": changed, "port": moved}
    rows += [(name, ink(said, "yellow")) for name, said in about.items() if said]
    if stats:
        rows.append(("holds", _holds(stats)))
    if data.get("person"):
        rows.append(("you", _reached(data["person"])))
    if data.get("mail"):
        way = "; `postino read` prints what is new" if data["mail"]["unread"] else ""
        rows.append(("mail", f"{people.waiting(data['mail'])}{way}"))
    if notify := health.get("notify"):
        service, failing = render.line(notify["service"]), notify.get("error")
        since = f" since {render.line(notify['since'])}" if failing else ""
        rows.append(("notify", ink(f"failing{since}: {render.line(failing)}", "red") if failing else service))
    rows += [("warning", ink(render.line(warning), "yellow")) for warning in health.get("warnings", [])]
    return "".join(f"{ink(f'{name:<7}', 'dim')} {value}\n" for name, value in rows)


def _holds(stats: Json) -> str:
    nouns = (("agentCount", "agent"), ("messageCount", "unacknowledged message"), ("broadcastCount", "broadcast"))
    return ", ".join(render.count(int(stats[key]), noun) for key, noun in nouns if key in stats)


def serve(command: Command) -> int:
    """Run the daemon in the foreground until SIGINT or SIGTERM."""
    parser = command.parser(json=False)
    parser.add_argument(
        "--supervised",
        action="store_true",
        help="for a service manager or a container: replace another daemon, and end the embedded Valkey at the end",
    )
    args = parser.parse_args(command.argv)
    import gc

    if args.supervised:  # the first process of a container would ignore it until the daemon listens to it
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    gc.disable()  # it would visit all that is imported again and again; `serve` enables it
    from postino.daemon.importing import lean

    with lean():
        from postino.daemon.serve import main

    say = _say if sys.stderr.isatty() else None
    code = main(command.settings, supervised=args.supervised, say=say)
    sys.stdout.flush()
    sys.stderr.flush()
    # everything is closed; unloading the MCP SDK's 1,000 modules would take another second
    os._exit(code)


def _say(sentence: str) -> None:
    sys.stderr.write(f"postino: {render.line(sentence)}\n")
