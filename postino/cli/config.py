"""config: the entry that makes an MCP client use postino; and what to say of `postino mcp`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postino.cli.call import Call
from postino.config import KNOBS, SECRET
from postino.model import check_name

Json = dict[str, Any]


def config(call: Call) -> int:
    """Print the entry for a client's configuration file; changes nothing."""
    parser = call.parser(agent="a fixed name for that client's sessions")
    parser.add_argument(
        "--for",
        dest="client",
        choices=sorted(SHAPES),
        default="any",
        help="vscode: mcp.json of VS Code; codex: config.toml of Codex; any: everyone else's mcpServers",
    )
    args = parser.parse_args(call.argv)
    entry = _entry(call, args.agent)
    sys.stdout.write(SHAPES[args.client](entry) + "\n")
    secret = [name for name in entry.get("env", {}) if name in SECRET_VARIABLES]
    if secret:
        sys.stderr.write(f"postino: the entry holds {' and '.join(secret)}; keep it private\n")
    return 0


def _entry(call: Call, agent: str | None) -> Json:
    """Return command, arguments and settings: a client started elsewhere has this shell's environment not."""
    script = Path(sys.executable).with_name("postino")
    command = [str(script), "mcp"] if script.is_file() else [sys.executable, "-m", "postino", "mcp"]
    env = {knob.variable: call.environ[knob.variable] for knob in KNOBS if call.environ.get(knob.variable)}
    env.pop("POSTINO_AGENT_NAME", None)
    if "POSTINO_HOME" in env:
        env["POSTINO_HOME"] = str(call.settings.home.root)
    if agent:
        env["POSTINO_AGENT_NAME"] = check_name(agent, "agent")
    return {"command": command[0], "args": command[1:]} | ({"env": env} if env else {})


def _toml(entry: Json) -> str:
    lines = [
        "[mcp_servers.postino]",
        f"command = {json.dumps(entry['command'])}",
        f"args = {json.dumps(entry['args'])}",
    ]
    if "env" in entry:
        lines += ["", "[mcp_servers.postino.env]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in entry["env"].items()]
    return "\n".join(lines)


SECRET_VARIABLES = frozenset(f"POSTINO_{name.upper()}" for name in SECRET)
SHAPES: dict[str, Callable[[Json], str]] = {
    "any": lambda entry: json.dumps({"mcpServers": {"postino": entry}}, indent=2),
    "vscode": lambda entry: json.dumps({"servers": {"postino": {"type": "stdio"} | entry}}, indent=2),
    "codex": _toml,
}


def mcp(call: Call) -> int:
    """Explain, or be, the relay: `postino mcp` alone never comes here but goes the short way of __main__."""
    call.parser(json=False).parse_args(call.argv)
    from postino.relay import main

    return main()
