"""The commands export and import."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any

from postino.cli import render
from postino.cli.command import Command, as_json
from postino.cli.streams import Progress, require_stdout
from postino.errors import BadRequest, StoreAway, Unreachable
from postino.json_text import Json

CHUNK = 1 << 18  # bytes
TAIL = 4096  # bytes; the last line of an export has a few hundred
#: types of lines as a summary names them
NOUNS = {"agent": "agent", "message": "message", "dead": "dead letter", "broadcast": "broadcast", "id": "remembered id"}


def export(command: Command) -> int:
    """Write the whole mailroom to a file."""
    parser = command.parser()
    parser.add_argument("file", nargs="?", default="-", metavar="FILE", help="where to write it (default: -, stdout)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")
    args = parser.parse_args(command.argv)
    if args.file == "-":
        require_stdout()
        counts = _download(command, sys.stdout.buffer)
        sys.stderr.write(f"{as_json({'counts': counts}) if args.json else f'exported {_summary(counts)}'}\n")
        return 0
    target = Path(args.file)
    if target.exists() and not args.force:
        raise BadRequest(f"{args.file} exists; choose another name, or replace it with --force")
    with _replacing(target) as file:
        counts = _download(command, file)
    return command.show(
        args, {"file": args.file, "counts": counts}, f"exported {_summary(counts)} to {render.line(args.file)}\n"
    )


def _download(command: Command, file: IO[bytes]) -> Json:
    """Write an export to `file`; return the counts of its last line."""
    last = b""
    with command.client() as client, Progress() as progress:
        for part in _counted(client.export(), progress, "exported"):
            file.write(part)
            last = (last + part)[-TAIL:]
    file.flush()
    end = json.loads(last.splitlines()[-1]) if last.endswith(b"}\n") else {}
    if end.get("type") != "end":
        raise Unreachable("the export ended early and is not whole; run it again")
    found: Json = end["counts"]
    return found


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Open a new file that only its owner can read, and give it the name of `target` once it is complete."""
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:  # tell of the file that was asked for
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink()
        raise


def import_(command: Command) -> int:
    """Fill an empty mailroom from the file of an export."""
    parser = command.parser()
    parser.add_argument("file", nargs="?", metavar="FILE", help="the file (default: -, standard input)")
    parser.add_argument("--check", action="store_true", help="only read the file and say what it holds")
    parser.add_argument("--abandon", action="store_true", help="end an import that was interrupted, and keep its mail")
    args = parser.parse_args(command.argv)
    if args.abandon:
        return _abandon(command, args)
    with command.client() as client, _opened(args.file or "-") as file:
        # read as a whole first: a file that was cut off or changed is refused before anything is stored
        answer = _upload("checked", file, lambda parts: client.import_(parts, check=True))
        if not args.check:
            answer = _upload("imported", file, client.import_)
    words = "holds" if args.check else "imported"
    text = f"{words} {_summary(answer['counts'])}, exported {render.line(answer['exported'])}\n"
    if damaged := answer["counts"].get("damaged"):
        text += f"{render.count(damaged, 'damaged entry')} had been left out of the export\n"
    return command.show(args, answer, text)


def _abandon(command: Command, args: Any) -> int:
    if args.file or args.check:
        raise BadRequest("--abandon takes neither FILE nor --check")
    with command.client() as client:
        answer = client.abandon_import()
    done = "ended the import; what it had stored stays" if answer["abandoned"] else "no import was interrupted"
    return command.show(args, answer, f"{done}\n")


@contextlib.contextmanager
def _opened(name: str) -> Iterator[IO[bytes]]:
    """Open a file that can be read twice; a pipe is copied to a temporary file first."""
    if name == "-" and sys.stdin is None:
        raise BadRequest("standard input is closed; name a FILE")
    with contextlib.ExitStack() as stack:
        file: IO[bytes] = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
        if not file.seekable():
            copy = stack.enter_context(tempfile.TemporaryFile())
            shutil.copyfileobj(file, copy, CHUNK)
            file = copy
        yield file


def _upload(word: str, file: IO[bytes], send: Callable[[Iterable[bytes]], Json]) -> Json:
    file.seek(0)
    try:
        with Progress() as progress:
            return send(_counted(iter(lambda: file.read(CHUNK), b""), progress, word))
    except (StoreAway, Unreachable) as error:
        again = "run the same command again: it adds what is missing"
        raise type(error)(f"{error.message}; {again}", **error.detail) from None


def _counted(parts: Iterable[bytes], progress: Progress, word: str) -> Iterator[bytes]:
    """Yield `parts` and show how much they have been."""
    size = 0
    for part in parts:
        size += len(part)
        progress.show(f"{word} {size / 1e6:.1f} MB")
        yield part


def _summary(counts: Json) -> str:
    return ", ".join(render.count(int(counts.get(kind, 0)), noun) for kind, noun in NOUNS.items())
