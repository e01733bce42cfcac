"""The commands config and mcp."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from postino.cli.command import Command
from postino.config import KNOBS, SECRET
from postino.daemon.process import read_info
from postino.errors import BadRequest
from postino.json_text import Json
from postino.values import check_name

Shape = Callable[[Json], str]


def config(command: Command) -> int:
    """Print the entry for a client's configuration file. Changes nothing."""
    parser = command.parser(agent="a fixed agent name for that client's sessions")
    parser.add_argument(
        "--client",
        "--for",
        dest="client",
        choices=sorted(SHAPES),
        default="any",
        help="; ".join(f"{name}: {place}" for name, (place, _) in SHAPES.items()),
    )
    parser.add_argument("--http", action="store_true", help="for a client that takes a URL and starts no process")
    args = parser.parse_args(command.argv)
    place, shape = SHAPES[args.client]
    if args.json and shape is codex_entry:
        raise BadRequest(f"--client {args.client} takes TOML, not JSON; omit --json")
    if args.http:
        found = HTTP_MEMBERS.get(args.client, _plain)(_url(command)) | _headers(command, args)
    else:
        found = entry(command, args.agent, plainly=args.client == "claude")
    sys.stdout.write(shape(found) + "\n")
    if sys.stdout.isatty():
        sys.stderr.write(f"postino: add this to {place}\n")
    if args.http and not args.agent:
        sys.stderr.write("postino: with --agent NAME the client's sessions have that name; without, each a new one\n")
    secret = [name for name in found.get("env", {}) if name in SECRET_VARIABLES]
    if args.http and command.settings.api_token:
        secret = ["POSTINO_API_TOKEN"]
    if secret:
        sys.stderr.write(f"postino: the entry contains {' and '.join(secret)}; keep it private\n")
    return 0


def entry(command: Command, agent: str | None, *, plainly: bool) -> Json:
    """Return command, arguments and settings, since a client may not be started from this shell.

    `plainly`: the command is `postino` if PATH finds this installation. Claude Code then recognises the entry as the
    plugin's; with a path a session would get a second mailbox.
    """
    script = Path(sys.executable).with_name("postino")
    program = [str(script), "mcp"] if script.is_file() else [sys.executable, "-m", "postino", "mcp"]
    if plainly and _on_path(script, command.environ.get("PATH")):
        program[0] = script.name
    variables = [variable for knob in KNOBS for variable in knob.variables]
    env = {variable: command.environ[variable] for variable in variables if command.environ.get(variable)}
    env.pop("POSTINO_AGENT_NAME", None)
    if "POSTINO_HOME" in env:
        env["POSTINO_HOME"] = str(command.settings.home.root)
    if agent:
        env["POSTINO_AGENT_NAME"] = check_name(agent, "agent")
    return {"command": program[0], "args": program[1:]} | ({"env": env} if env else {})


def _url(command: Command) -> str:
    """Return where the daemon answers MCP, or will by the settings if it does not run."""
    info = read_info(command.settings.home)
    if info is not None and info.url:
        return f"{info.url}/mcp"
    settings = command.settings
    if not settings.web_enabled:
        raise BadRequest("POSTINO_WEB_ENABLED is false: no client can reach the daemon by a URL")
    host = f"[{settings.web_host}]" if ":" in settings.web_host else settings.web_host
    return f"http{'s' if settings.tls_cert else ''}://{host}:{settings.web_port}/mcp"


def _headers(command: Command, args: argparse.Namespace) -> Json:
    """Return the member of an entry with the headers that the client must send, if there are any."""
    headers = {"X-Postino-Agent": check_name(args.agent, "agent")} if args.agent else {}
    if command.settings.api_token:
        headers["Authorization"] = f"Bearer {command.settings.api_token}"
    return {"http_headers" if args.client == "codex" else "headers": headers} if headers else {}


def _on_path(script: Path, path: str | None) -> bool:
    found = shutil.which(script.name, path=path)
    return found is not None and script.is_file() and script.samefile(found)


def codex_entry(entry: Json, *, ask: bool = False) -> str:
    """Return the entry for Codex, which asks before each call unless told otherwise and passes on few variables."""
    tables = {name: value for name, value in entry.items() if isinstance(value, dict)}
    plain = {name: value for name, value in entry.items() if name not in tables}
    if "command" in entry:
        plain["env_vars"] = [each for each in CODEX_VARIABLES if each not in entry.get("env", {})]
    if not ask:
        plain["default_tools_approval_mode"] = "approve"
    lines = ["[mcp_servers.postino]", *_toml_lines(plain)]
    for table, members in tables.items():
        lines += ["", f"[mcp_servers.postino.{table}]", *_toml_lines(members)]
    return "\n".join(lines)


def _toml_lines(members: Json) -> list[str]:
    # a text or list of JSON is one of TOML, but for surrogate escapes
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in members.items()]


def _plain(url: str) -> Json:
    return {"url": url}


def opencode_entry(entry: Json) -> Json:
    """Return the entry for opencode."""
    if "url" in entry:
        return entry
    env = {"environment": entry["env"]} if "env" in entry else {}
    return {"type": "local", "command": [entry["command"], *entry["args"]], "enabled": True} | env


#: for an MCP server of Codex; CODEX_HOME is for `codex queue`, by which its sessions are woken
CODEX_VARIABLES = ["POSTINO_HOME", "POSTINO_AGENT_NAME", "CODEX_HOME"]
SECRET_VARIABLES = frozenset(f"POSTINO_{name.upper()}" for name in SECRET)
SERVERS: Shape = lambda entry: json.dumps({"mcpServers": {"postino": entry}}, indent=2)  # noqa: E731
#: client -> (the file that its documentation names, the form of the entry)
SHAPES: dict[str, tuple[str, Shape]] = {
    "any": ("the mcpServers of any other client", SERVERS),
    "claude": (".mcp.json of a project; `postino install` does more", SERVERS),
    "codex": ("~/.codex/config.toml; `postino install --client codex` does more", codex_entry),
    "cursor": ("~/.cursor/mcp.json, or .cursor/mcp.json of a project", SERVERS),
    "gemini": ("~/.gemini/settings.json; `postino install --client gemini` does more", SERVERS),
    "opencode": (
        "~/.config/opencode/opencode.json; `postino install --client opencode` does more",
        lambda entry: json.dumps({"mcp": {"postino": opencode_entry(entry)}}, indent=2),
    ),
    "vscode": (
        ".vscode/mcp.json of a project",
        lambda entry: json.dumps(
            {"servers": {"postino": {"type": "http" if "url" in entry else "stdio"} | entry}}, indent=2
        ),
    ),
    "zed": (
        "settings.json of Zed",
        lambda entry: json.dumps({"context_servers": {"postino": entry}}, indent=2),
    ),
}
#: client -> the members of an entry with a URL, where they differ
HTTP_MEMBERS: dict[str, Callable[[str], Json]] = {
    "claude": lambda url: {"type": "http", "url": url},
    "gemini": lambda url: {"httpUrl": url},
    "opencode": lambda url: {"type": "remote", "url": url},
}


def mcp(command: Command) -> int:
    """Run the relay. Only for `postino mcp --help` and the like: __main__ runs a plain `postino mcp` itself."""
    command.parser(json=False).parse_args(command.argv)
    from postino.relay.main import main

    return main()
