"""Links of Claude Code: the client and its plugin, the MCP server, hooks, permission and wakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from postino import __version__
from postino.cli import claude_needs, render
from postino.cli.command import Command, sentence
from postino.cli.doctor.finding import Finding, note, ok, skipped, version_line, wrong
from postino.cli.doctor.messages import forget
from postino.cli.install import claude_program, installed
from postino.cli.program import finished
from postino.client import Client
from postino.errors import PostinoError
from postino.json_text import Json

SERVER = "plugin:postino:postino"  # as the client names the plugin's MCP server
TOOLS = "mcp__plugin_postino_postino"  # how the rules for its tools begin
ISSUE = re.compile(r" Issue: (.+?) Type: ")  # why a server does not connect, as `claude mcp get` prints it
INSTALL = "`postino install` tells the plugin where postino is"
SERVER_S = 40.0  # for the client to start the server and to be answered
ASK_S = 5.0


def links(command: Command, *, up: bool) -> Iterator[Finding]:
    """Check the client; then, where it has the plugin, what the plugin needs. `up`: a daemon answers."""
    found = client(command)
    yield found
    if found.level != "ok":
        return
    sessions = _sessions(command) if up else None
    yield server(command) if up else skipped("server", "no daemon is reachable")
    yield from hooks(command, sessions)
    yield permission(command)
    yield wake(command, sessions)


def client(command: Command) -> Finding:
    """Check the version of Claude Code, and its plugin."""
    program = claude_program(command)
    if program is None:
        return note("claude", "claude_missing", "Claude Code (`claude`) is not on PATH", "if you use it: install it")
    version = version_line(command, program).removesuffix(" (Claude Code)")
    try:
        claude_needs.check_version(version)
        found = installed(command) or []
    except PostinoError as error:
        return wrong("claude", "claude_failed", sentence(error), "update Claude Code")
    if not found:
        return wrong("claude", "plugin_missing", f"Claude Code {version} has no postino plugin", "`postino install`")
    on = [each for each in found if each.get("enabled", True)]
    if not on:
        text, fix = f"the plugin of Claude Code {version} is disabled", "enable it in /plugin"
        if isinstance(why := _settings(command), str):  # in which it is enabled
            text, fix = f"{text}: {why}", "mend that file"
        return wrong("claude", "plugin_disabled", text, fix)
    other = next((str(each["version"]) for each in on if each.get("version", __version__) != __version__), None)
    if other is not None:
        return wrong(
            "claude",
            "plugin_version",
            f"the plugin is version {other}, this command {__version__}",
            "`postino install`",
        )
    scopes = ", ".join(sorted({str(each.get("scope", "user")) for each in on}))
    return ok("claude", f"{version}, plugin installed ({scopes})")


def server(command: Command) -> Finding:
    """Let the client start the plugin's MCP server, as a session does, and say whether it connects."""
    agent = f"doctor-{os.urandom(4).hex()}-server"
    environ = {name: text for name, text in command.environ.items() if not name.startswith("CLAUDE_CODE")}
    environ |= {"POSTINO_HOME": str(command.settings.home.root), "POSTINO_AGENT_NAME": agent}
    began = time.monotonic()
    try:
        done = finished([str(claude_program(command)), "mcp", "get", SERVER], environ, SERVER_S, "/")
    except (OSError, subprocess.TimeoutExpired) as error:
        return wrong("server", "server_failed", f"the client did not start the plugin's MCP server: {error}")
    finally:
        forget(command, [agent])
    said = " ".join(f"{done.stdout} {done.stderr}".split())
    if "✔ Connected" not in said:
        issue = ISSUE.search(said)
        why = (issue[1] if issue else said)[:300] or "the client printed nothing"
        answered = issue and issue[1].startswith("-32")  # a code of JSON-RPC: postino was found, and refused
        fix = "correct first what is wrong with the daemon and the store" if answered else INSTALL
        return wrong("server", "server_failed", f"the plugin's MCP server does not connect: {render.line(why)}", fix)
    return ok("server", f"the plugin's MCP server connects, {(time.monotonic() - began) * 1000:.0f} ms")


def hooks(command: Command, sessions: list[Json] | None) -> Iterator[Finding]:
    """Check that hooks may run, and when those of the connected sessions were heard last."""
    settings = _settings(command)
    if isinstance(settings, str):
        yield wrong("hooks", "settings_unreadable", f"{settings}, so Claude Code ignores it", "correct that file")
    elif settings.get("disableAllHooks") is True:
        text = (
            f"disableAllHooks is set in {claude_needs.settings_file(command.environ)}: no session is told of its mail"
        )
        yield wrong("hooks", "hooks_disabled", text, "take it out of that file")
    elif sessions is None:
        yield skipped("hooks", "no daemon is reachable")
    elif not sessions:
        yield skipped("hooks", "no session of Claude Code is connected that could be heard")
    else:
        yield from _heard(sessions)


def _heard(sessions: list[Json]) -> Iterator[Finding]:
    unheard = [each for each in sessions if each["lastHook"] is None]
    plain = [each for each in unheard if each.get("plugin") is False]
    if plain:
        text = f"the session {_names(plain)} has postino by an MCP entry, not by the plugin: no hooks run there"
        yield note("hooks", "hooks_none", text, "`claude mcp list` shows that entry; remove it and start anew")
    others = [each for each in unheard if each not in plain]
    if silent := [each for each in others if not each.get("reconnected")]:
        text = f"the session {_names(silent)} is connected, but none of its hooks was heard"
        yield wrong("hooks", "hooks_silent", text, "start that session anew; /hooks in it shows what is configured")
    elif others:  # they may have had nothing to do since
        yield note("hooks", "hooks_not_yet", f"{_names(others)} connected again, and no hook was heard since then")
    elif heard := [f"{each['agent']} {_ago(each['lastHook'])}" for each in sessions if each["lastHook"]]:
        yield ok("hooks", f"heard: {', '.join(heard)}")


def _names(sessions: list[Json]) -> str:
    return ", ".join(str(each["agent"]) for each in sessions)


def permission(command: Command) -> Finding:
    """Check that no rule of the user stands before postino's tools."""
    settings = _settings(command)
    rules = settings.get("permissions") if isinstance(settings, dict) else {}
    for kind in ("deny", "ask"):
        found = rules.get(kind) if isinstance(rules, dict) else []
        if hit := [str(each) for each in (found if isinstance(found, list) else []) if str(each).startswith(TOOLS)]:
            text = f"your rule {hit[0]} in {claude_needs.settings_file(command.environ)}"
            if kind == "deny":
                return wrong("permit", "tools_denied", f"{text} forbids postino's tools", "take it out of `deny`")
            return note("permit", "tools_ask", f"{text} makes the client ask before postino's tools")
    options: Any = settings if isinstance(settings, dict) else {}
    for name in ("pluginConfigs", "postino@postino", "options", "ask"):
        options = options.get(name) if isinstance(options, dict) else None
    if options in (True, "true"):
        return note("permit", "tools_ask", "the client asks before postino's tools", "`postino install --no-ask`")
    return ok("permit", "postino's tools run without a dialog")


def wake(command: Command, sessions: list[Json] | None) -> Finding:
    """Check that idle sessions can be woken, and whether the last wakes were taken."""
    if not claude_needs.wakes(version_line(command, str(claude_program(command)))):
        return note(
            "wake", "wake_old", "this version wakes no idle session: mail waits for a prompt", "`claude update`"
        )
    if command.settings.wake == "off":
        return note("wake", "wake_off", "POSTINO_WAKE is off: no idle session is woken")
    if not sessions:
        return skipped("wake", "no session of Claude Code is connected that could be woken")
    if failed := [str(each["agent"]) for each in sessions if each["woken"] is False]:
        text = f"the last wake of {', '.join(failed)} was not taken by the client"
        return wrong("wake", "wake_failed", text, "start that session anew, or type a prompt into it")
    if deaf := [str(each["agent"]) for each in sessions if not each["wakeable"]]:
        return note("wake", "not_wakeable", f"{', '.join(deaf)} has no inbox, and hears of mail with a prompt only")
    woken = [f"{each['agent']} {_ago(each['lastWake'])}" for each in sessions if each["lastWake"]]
    return ok(
        "wake", f"woken: {', '.join(woken)}" if woken else "every session can be woken; none was since it started"
    )


def _sessions(command: Command) -> list[Json]:
    try:
        with Client(command.settings.home.socket, seconds=ASK_S) as client:
            return [each for each in client.sessions()["items"] if each["client"] == "claude-code"]
    except PostinoError:  # an older daemon has no such route
        return []


def _settings(command: Command) -> Json | str:
    """Return the user's settings of the client, {} without any; a sentence if they are no JSON."""
    file = claude_needs.settings_file(command.environ)
    try:
        found = json.loads(file.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        return f"{file} cannot be read ({error.strerror})"
    except ValueError:
        return f"{file} is not strict JSON"
    return found if isinstance(found, dict) else f"{file} is not an object"


def _ago(moment: str) -> str:
    return f"{render.span(max(0.0, time.time() - datetime.fromisoformat(moment).timestamp()))} ago"
