"""What `postino install --client` writes for Codex, Gemini CLI and opencode."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postino.cli.client_files import Edit, Item, Made, read, with_items, without_items
from postino.cli.config import codex_entry, opencode_entry
from postino.cli.jsonc import Path as Place
from postino.cli.jsonc import find
from postino.errors import BadRequest
from postino.json_text import Json
from postino.paths import folder

CODEX_HOOKS = ("SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "Stop", "Interrupt", "SessionEnd")
GEMINI_HOOKS = ("SessionStart", "BeforeAgent", "BeforeModel", "BeforeTool", "AfterTool", "AfterAgent", "SessionEnd")
HOOK_S = 5  # for one hook, which ends by itself within a second
CODEX_OWN = "mcp__postino__.*"  # matches the tools of ours
CODEX_MARK = "# written by `postino install --client codex`"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be installed: command, args and env of the MCP server; `ask`: leave the client's dialogs."""

    entry: Json
    ask: bool = False


class Codex:
    """~/.codex/config.toml and hooks.json."""

    program = "codex"
    after = (  # what the user is told
        'Codex runs new hooks only when you trust them: start `codex` and choose "Trust all and continue" (later: '
        "/hooks). Until then a session has its mailbox, but is not notified or woken."
    )

    def edits(self, wanted: Wanted | None, made: Made | None, environ: Mapping[str, str]) -> tuple[list[Edit], Made]:
        """Return the changes of both files, and what they make; `wanted` None: take out what `made` says."""
        home = Path(environ.get("CODEX_HOME") or Path(_home(environ), ".codex"))
        config, hooks = home / "config.toml", home / "hooks.json"
        old, now = made or Made(), Made()
        before, hooks_before = read(config), read(hooks)
        text = _without_block(before, old.blocks.get(str(config)), known=made is not None or wanted is None)
        if wanted is None and text is not None:
            text = _without_trust(text, _trust_keys(hooks, hooks_before))
            text = None if not text.strip() and str(config) in old.files else text
        hooks_text = without_items(hooks, hooks_before, [], _events(CODEX_HOOKS), _is_hook_of("codex"), old)
        if wanted is not None:
            text = _with_block(config, text, wanted, now)
            entries: list[Item] = [(("hooks", each), _codex_hook(each, wanted)) for each in CODEX_HOOKS]
            hooks_text = with_items(hooks, hooks_text, [], entries, now)
        return [Edit(config, before, text), Edit(hooks, hooks_before, hooks_text)], now


class Gemini:
    """~/.gemini/settings.json."""

    program = "gemini"
    after = "Gemini CLI has no way to wake an idle session: its mail waits for your next prompt."

    def edits(self, wanted: Wanted | None, made: Made | None, environ: Mapping[str, str]) -> tuple[list[Edit], Made]:
        """Return the change of the file."""
        file = Path(_home(environ), ".gemini", "settings.json")
        old, now = made or Made(), Made()
        before = read(file)
        text = without_items(file, before, [("mcpServers", "postino")], _events(GEMINI_HOOKS), _is("gemini"), old)
        if wanted is not None:
            if made is None and text != before:
                raise _there_already(file)
            server = wanted.entry | ({} if wanted.ask else {"trust": True})
            entries: list[Item] = [
                (("hooks", each), _group(_hook(each, "gemini", wanted, 1000))) for each in GEMINI_HOOKS
            ]
            text = with_items(file, text, [(("mcpServers", "postino"), server)], entries, now)
        return [Edit(file, before, text)], now


class OpenCode:
    """A plugin file, which adds the MCP server to the configuration by itself."""

    program = "opencode"
    after = "Sessions of one opencode process share one mailbox."

    def edits(self, wanted: Wanted | None, made: Made | None, environ: Mapping[str, str]) -> tuple[list[Edit], Made]:
        """Return the change of the file."""
        config = environ.get("XDG_CONFIG_HOME") or str(Path(_home(environ), ".config"))
        file = Path(environ.get("OPENCODE_CONFIG_DIR") or Path(config, "opencode"), "plugins", "postino.js")
        before = read(file)
        is_ours = before is None or OPENCODE_MARK in before
        if wanted is None:
            return [Edit(file, before, None if is_ours else before)], Made()
        if not is_ours:
            raise _there_already(file)
        source = (folder("plugin") / "scripts" / "opencode.js").read_text()
        server = json.dumps(opencode_entry(wanted.entry))
        return [Edit(file, before, source.replace(OPENCODE_SERVER, server))], Made()


OPENCODE_MARK = "// postino: written by `postino install --client opencode`"
OPENCODE_SERVER = "undefined /* the MCP server */"
SETUPS: dict[str, Codex | Gemini | OpenCode] = {"codex": Codex(), "gemini": Gemini(), "opencode": OpenCode()}


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or str(Path.home())


def _there_already(file: Path) -> BadRequest:
    return BadRequest(f"{file} has an entry named postino that `postino install` did not write; remove it first")


def _hook(event: str, client: str, wanted: Wanted, seconds: int) -> Json:
    """Return the entry of one hook; `seconds`: how the client counts one second."""
    words = ["sh", str(folder("plugin") / "scripts" / "hook.sh"), event, client]
    if home := wanted.entry.get("env", {}).get("POSTINO_HOME"):
        words = ["env", f"POSTINO_HOME={home}", *words]
    return {"type": "command", "command": f"exec {shlex.join(words)}", "timeout": HOOK_S * seconds}


def _group(hook: Json) -> Json:
    return {"hooks": [hook]}


def _codex_hook(event: str, wanted: Wanted) -> Json:
    group = _group(_hook(event, "codex", wanted, 1))
    return {"matcher": CODEX_OWN} | group if event == "PreToolUse" else group


def _events(names: tuple[str, ...]) -> list[Place]:
    return [("hooks", each) for each in names]


def _is_hook_of(client: str) -> Callable[[Any], bool]:
    pattern = re.compile(rf"hook\.sh'? \w+ {client}$")

    def is_ours(value: Any) -> bool:
        hooks = value.get("hooks") if isinstance(value, dict) else None
        commands = [str(each.get("command")) for each in hooks or [] if isinstance(each, dict)]
        return bool(commands) and all(pattern.search(each) for each in commands)

    return is_ours


def _is(client: str) -> Callable[[Any], bool]:
    """Return whether a value is a hook or a server of ours."""
    is_hook = _is_hook_of(client)
    return lambda value: (
        is_hook(value)
        or (
            isinstance(value, dict)
            and (value.get("args") or [])[-1:] == ["mcp"]
            and "postino" in str(value.get("command")) + str(value["args"])
        )
    )


# Codex's TOML, which is extended at its end


def _with_block(file: Path, text: str | None, wanted: Wanted, made: Made) -> str:
    made.files += [str(file)] if text is None else []
    before = text or ""
    start = "" if not before else "\n" if before.endswith("\n") else "\n\n"
    block = f"{start}{CODEX_MARK}\n{codex_entry(wanted.entry, ask=wanted.ask)}\n"
    if "postino" in _toml(file, before).get("mcp_servers", {}):
        raise _there_already(file)
    made.blocks[str(file)] = block
    _toml(file, before + block)
    return before + block


def _toml(file: Path, text: str) -> Json:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"{file}: {error}; nothing was changed") from None


def _without_block(text: str | None, block: str | None, *, known: bool) -> str | None:
    """Return the text without our tables, if they are `known` to be: as they were written, else where they stand."""
    if text is None or not known:
        return text
    if block is not None and text.count(block) == 1:
        return text.replace(block, "")
    text = text.replace(f"{CODEX_MARK}\n", "")
    return _without_tables(text, lambda header: re.fullmatch(r"mcp_servers\.postino(\..*)?", header) is not None)


def _trust_keys(hooks: Path, text: str | None) -> set[str]:
    """Return under which keys Codex keeps that the user trusts our hooks: file, event, and place among its hooks."""
    keys = set()
    for event in CODEX_HOOKS if text else ():
        for number in find(text or "", ("hooks", event), _is_hook_of("codex")):
            keys.add(f"{hooks}:{re.sub(r'(?<!^)(?=[A-Z])', '_', event).lower()}:{number}:0")
    return keys


def _without_trust(text: str, keys: set[str]) -> str:
    ours = {f"hooks.state.{json.dumps(key)}" for key in keys}
    text = _without_tables(text, ours.__contains__)
    if re.search(r"^\[hooks\.state\.", text, re.MULTILINE):
        return text
    return re.sub(r"^\[hooks\.state\]\n+(?=\[|\Z)", "", text, flags=re.MULTILINE)


def _without_tables(text: str, is_ours: Callable[[str], bool]) -> str:
    """Return the text without the tables whose header is ours. The blank lines before a table belong to it."""
    kept, blank = "", ""
    for number, part in enumerate(re.split(r"^(?=\[)", text, flags=re.MULTILINE)):
        body = part.rstrip("\n") + "\n" if part.strip("\n") else ""
        if number == 0 or not is_ours(part.splitlines()[0].strip().strip("[] ")):
            kept += blank + body
        blank = part[len(body) :]
    return (kept + blank)[: len(text)]
