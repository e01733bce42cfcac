"""up, down, status, serve."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import asdict
from typing import Any

from postino.cli import render
from postino.cli.call import Call
from postino.config import told
from postino.daemon import process
from postino.errors import Unreachable

Json = dict[str, Any]


def up(call: Call) -> int:
    """Make sure that a healthy daemon serves this home; print where."""
    parser = call.parser()
    args = parser.parse_args(call.argv)
    running = process.start(call.environ, call.settings.home)
    others = _others(running.settings, told(call.settings))
    text = _where(running.url, running.socket)
    if moved := _moved(running.url, running.settings):
        text += f"{moved}\n"
    if others:
        text += f"it runs with another {', '.join(others)} than this shell and keeps its own until `postino down`\n"
    return call.show(args, asdict(running) | {"differs": others}, text)


def _others(theirs: dict[str, str], ours: dict[str, str]) -> list[str]:
    """Return the variables under which a running daemon differs from this shell; a secret's text is not known."""
    return [variable for variable, value in ours.items() if theirs.get(variable, value) != value]


def _moved(url: str | None, settings: dict[str, str]) -> str | None:
    """Return what to say of a daemon that listens on another port than it was told."""
    wanted, port = settings.get("POSTINO_WEB_PORT", "0"), (url or "").rpartition(":")[2]
    if not port or wanted in ("0", port):
        return None
    return f"port {render.line(wanted)} is taken by another program; postino listens on {render.line(port)}"


def _where(url: str | None, socket: str) -> str:
    return f"postino is up: {render.line(url)}\n" if url else f"postino is up: unix socket {render.line(socket)}\n"


def down(call: Call) -> int:
    """Stop the daemon, then the embedded Valkey, which outlives a killed daemon."""
    parser = call.parser()
    args = parser.parse_args(call.argv)
    home = call.settings.home
    stopped = process.stop(home)
    valkey = _stop_valkey(call)
    text = "postino is down\n" if stopped or valkey else "postino was not running\n"
    return call.show(args, {"stopped": stopped, "valkey": valkey}, text)


def _stop_valkey(call: Call) -> bool:
    """End the embedded server of this home, if one lives; return whether one did."""
    import asyncio

    from postino.store.valkey.embedded import EmbeddedValkey

    return asyncio.run(EmbeddedValkey(call.settings.home).stop())


def status(call: Call) -> int:
    """Say whether postino runs, where, on which Valkey, and what it holds."""
    parser = call.parser()
    args = parser.parse_args(call.argv)
    found = process.status(call.settings.home)
    data: Json = {"state": found.state, "home": str(call.settings.home.root), "pid": found.pid}
    if found.running:
        data |= asdict(found.running)
    if found.state == "up":
        healthy = (found.health or {}).get("ok")
        data |= {"health": found.health, "stats": _stats(call) if healthy else None}  # else it would wait for Valkey
    if found.state == "down" and _valkey_runs(call):
        data["valkey"] = True
    call.show(args, data, _status(data, render.Ink(call.colour)))
    return 0 if (found.health or {}).get("ok") else Unreachable.exit


def _valkey_runs(call: Call) -> bool:
    """Return whether the embedded server of this home outlived its daemon; looks only where there ever was one."""
    if not call.settings.home.data.is_dir():
        return False
    import asyncio

    from postino.store.valkey.embedded import EmbeddedValkey

    return asyncio.run(EmbeddedValkey(call.settings.home).alive())


def _stats(call: Call) -> Json | None:
    from postino.client import Client
    from postino.errors import PostinoError

    try:
        with Client(call.settings.home.socket, via="cli") as client:
            return client.stats()
    except PostinoError:
        return None  # health has told why


def _status(data: Json, ink: render.Ink) -> str:
    if data["state"] == "down":
        valkey = "its Valkey still runs; `postino down` ends it\n" if data.get("valkey") else ""
        return f"postino is down ({render.line(data['home'])}); `postino up` starts it\n{valkey}"
    if data["state"] == "silent":
        return (
            f"postino lives (pid {data['pid']}) but does not answer; its log: {render.line(data['home'])}/daemon.log\n"
        )
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
        ("url", render.line(data.get("url") or "none: TCP is off")),
        ("socket", render.line(data.get("socket", "?"))),
        (
            "valkey",
            f"{render.line(health.get('server', '?'))}, durability {render.line(health.get('durability', '?'))}",
        ),
    ]
    if moved := _moved(data.get("url"), data.get("settings", {})):
        rows.append(("port", ink(moved, "yellow")))
    if stats:
        rows.append(("holds", _holds(stats)))
    rows += [("warning", ink(render.line(warning), "yellow")) for warning in health.get("warnings", [])]
    return "".join(f"{ink(f'{name:<7}', 'dim')} {value}\n" for name, value in rows)


def _holds(stats: Json) -> str:
    nouns = (("agentCount", "agent"), ("messageCount", "unacknowledged message"), ("broadcastCount", "broadcast"))
    return ", ".join(render.count(int(stats[key]), noun) for key, noun in nouns if key in stats)


def serve(call: Call) -> int:
    """Run the daemon here until it is told to stop."""
    call.parser(json=False).parse_args(call.argv)
    from postino.daemon.serve import main

    code = main(call.settings)
    sys.stdout.flush()
    sys.stderr.flush()
    # everything is closed and told; taking the MCP SDK's thousand modules apart would hold the process a second more
    os._exit(code)
