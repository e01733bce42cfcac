"""The command service: let the system's service manager run the daemon."""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

from postino import private_files
from postino.cli import render
from postino.cli.command import Command
from postino.cli.daemon import stop_valkey
from postino.cli.service.definition import MARK, define
from postino.cli.service.managers import Manager, manager
from postino.daemon import process
from postino.errors import BadRequest, Unreachable
from postino.json_text import Json

ACTIONS = ("install", "uninstall", "status")
MANAGERS = ("systemd", "launchd")


def service(command: Command) -> int:
    """Let systemd (Linux) or launchd (macOS) start the daemon with your session and restart it if it fails."""
    parser = command.parser()
    parser.add_argument("action", choices=ACTIONS, help="install also brings an earlier installation up to date")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done without doing it")
    parser.add_argument("--manager", choices=MANAGERS, help="with --dry-run: show what another system would get")
    args = parser.parse_args(command.argv)
    if args.manager and not args.dry_run:
        raise BadRequest("--manager is for `postino service install --dry-run` only")
    if args.action == "status" and args.dry_run:
        raise BadRequest("`postino service status` changes nothing; leave out --dry-run")
    found = manager(define(command, strict=args.action == "install"), command.environ, args.manager)
    if args.action == "install":
        return _install(command, args, found)
    return _uninstall(command, args, found) if args.action == "uninstall" else _status(command, args, found)


def _install(command: Command, args: argparse.Namespace, found: Manager) -> int:
    """Write the service, hand a running daemon over to it, and return when it serves."""
    home = command.settings.home
    if args.dry_run:
        text = f"write {found.file}:\n\n{found.content().decode()}\nthen: {found.starter()}\n"
        return command.show(args, {"file": str(found.file), "content": found.content().decode()}, text)
    found.reach()
    home.prepare()
    _refuse_foreign(found.file)
    made = [*_known(command).get("made", []), *_make_folder(found.file.parent)]
    private_files.replace(found.file, found.content())
    _remember(command, found, sorted(set(made), reverse=True))
    found.enable()
    before = process.read_info(home) if process.is_running(home) else None
    process.stop(home)  # it and its Valkey are to be processes of the service
    stop_valkey(command)
    found.start()
    info = command.start()
    state = found.state()
    text = f"{found.kind} {found.file.name} runs postino: {render.line(info.url or info.socket)}\n"
    if before is not None and before.pid != state.pid:
        text += f"it has taken over from the daemon with pid {before.pid}\n"
    text += f"{found.hint}\n`postino service uninstall` undoes it\n"
    return command.show(args, facts(command, found), text)


def _uninstall(command: Command, args: argparse.Namespace, found: Manager) -> int:
    """Stop and remove the service with everything that the installation made. Messages stay."""
    if not found.file.exists() and not command.settings.home.service.exists():
        return command.show(args, {"removed": False}, "There is no service of this home.\n")
    if args.dry_run:
        return command.show(args, {"file": str(found.file)}, f"stop the service and remove {found.file}\n")
    _refuse_foreign(found.file)
    found.reach()
    made = _known(command).get("made", [])
    if found.file.exists():
        found.disable()
        found.file.unlink()
    found.forget()
    command.settings.home.service.unlink(missing_ok=True)
    _record(command).unlink(missing_ok=True)
    for each in made:
        _remove_empty(Path(each))
    return command.show(
        args,
        {"removed": True},
        "The service is removed, and postino is down; the next session, or `postino up`, starts it.\n",
    )


def _status(command: Command, args: argparse.Namespace, found: Manager) -> int:
    """Say what is: whether the service is there, as this version writes it, and whether the daemon is the service's."""
    known = facts(command, found)
    rows = [("service", f"{found.kind} {known['file']}" if known["installed"] else "not installed")]
    if known["installed"]:
        rows.append(("state", known["state"]))
    if known["installed"] and not known["current"]:
        rows.append(("file", "it differs from what this shell would write; `postino service install` writes it anew"))
    rows.append(("daemon", _daemon_words(known)))
    ink = render.Ink(command.colour)
    command.show(args, known, "".join(f"{ink(f'{name:<7}', 'dim')} {render.line(text)}\n" for name, text in rows))
    return 0 if known["serves"] else Unreachable.exit


def _daemon_words(known: Json) -> str:
    if known["daemon"] is None:
        return "none runs"
    if known["serves"]:
        return f"pid {known['daemon']}, run by the service"
    if known["installed"]:
        return f"pid {known['daemon']}, not run by the service; `postino service install` hands it over"
    return f"pid {known['daemon']}, started by a command or a session; `postino service install` hands it over"


def facts(command: Command, found: Manager) -> Json:
    """Return what is: file, installed, current, active, pid and state of the service; pid of the daemon; serves.

    `differs`: it has other settings than this shell.
    """
    home = command.settings.home
    info = process.read_info(home) if process.is_running(home) else None
    known: Json = {"kind": found.kind, "file": str(found.file), "installed": found.file.exists()}
    known |= {"current": False, "differs": False, "active": False, "pid": None, "state": "not installed"}
    if known["installed"]:
        state = found.state()
        known |= {"active": state.active, "pid": state.pid, "state": state.words}
        written, ours = found.file.read_bytes(), found.content()
        known["current"] = written == ours and home.service.exists()
        known["differs"] = found.settings(written) != found.settings(ours)
    known["daemon"] = info and info.pid
    known["serves"] = info is not None and known["pid"] == info.pid
    return known


def _refuse_foreign(file: Path) -> None:
    """Raise BadRequest if somebody else wrote the service's file."""
    if file.exists() and MARK.encode() not in file.read_bytes() and b"--supervised" not in file.read_bytes():
        raise BadRequest(f"{file} was not written by postino; rename it, then run the command again")


def _make_folder(folder: Path) -> list[str]:
    """Make a folder and those around it; return the ones that did not exist."""
    missing = [str(each) for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _record(command: Command) -> Path:
    return command.settings.home.root / "service.json"


def _known(command: Command) -> Json:
    """Return what an installation has noted, {} if there was none."""
    try:
        known: Json = json.loads(_record(command).read_bytes())
    except (OSError, ValueError):
        return {}
    return known


def _remember(command: Command, found: Manager, made: list[str]) -> None:
    """Note what is undone later, and let starters of a daemon use the service."""
    private_files.replace(_record(command), json.dumps({"file": str(found.file), "made": made}))
    private_files.replace(command.settings.home.service, f"{found.starter()}\n")


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # something else is in it by now
        folder.rmdir()
