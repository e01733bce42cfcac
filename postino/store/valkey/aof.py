"""The embedded server's append-only files after a crash or a damage: what can be mended is mended, and told.

Valkey itself refuses a zeroed end and names a tool that is not shipped; without the list of its files, or with a first
file of no bytes, it would start without the mail in them, and without a word.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import time
from pathlib import Path

from postino.errors import StoreAway

MANIFEST = "appendonly.aof.manifest"
_NAME = re.compile(r"appendonly\.aof\.(?P<seq>\d+)\.(?P<kind>base|incr)\.(?:rdb|aof)")
_COMMAND = re.compile(rb"(?<=\r\n)\*\d{1,9}\r\n\$")

#: what the server says when the end of its last file is torn, or zeroed
DAMAGED = ("Unexpected end of file reading the append only file", "Bad file format reading the append only file")


def restore_manifest(data: Path) -> str | None:
    """Write the list of append-only files again if it is missing; return a sentence about that, None if nothing is.

    Raises:
        StoreAway: which files belong together is not certain; nothing was changed.
    """
    folder = data / "appendonlydir"
    manifest = folder / MANIFEST
    names = sorted(each.name for each in folder.iterdir()) if folder.is_dir() else []
    files = [found for name in names if (found := _NAME.fullmatch(name))]
    if not files or (manifest.exists() and manifest.stat().st_size):
        return None
    files.sort(key=lambda found: (found["kind"], int(found["seq"])))
    if [each["kind"] for each in files].count("base") != 1:
        raise StoreAway(
            f"{manifest}, the list of the files that hold the mail, is missing, and which of {', '.join(names)} belong "
            "together is not certain. Restore it from a backup; to begin without that mail, move the folder away",
            outcome="none",
        )
    lines = [f"file {each.string} seq {each['seq']} type {each['kind'][0]}\n" for each in files]
    draft = manifest.with_suffix(".new")
    draft.write_text("".join(lines))
    draft.replace(manifest)
    return (
        f"{manifest}, the list of the files that hold the mail, was missing and was written again from what was found"
    )


def cut_damaged_end(data: Path) -> str | None:
    """Cut what a crash tore or zeroed from the end of the last file, and keep it beside; return a sentence about that.

    None if the damage is not at the end, or not of that kind: nothing was changed then.
    """
    file, content, good, at_end = _judged(data)
    if file is None or not at_end or good == len(content):
        return None
    kept = data / f"cut-{time.strftime('%Y%m%dT%H%M%S')}-{file.name}-at-{good}"
    with kept.open("xb") as copy:
        copy.write(content[good:])
        copy.flush()
        os.fsync(copy.fileno())
    written = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(file.stat().st_mtime))
    with file.open("r+b") as mended:
        mended.truncate(good)
        os.fsync(mended.fileno())
    return (
        f"the end of {file}, last written {written}, was damaged: {len(content) - good} bytes after its last whole "
        f"command were cut and are in {kept}. Mail whose sender was answered is lost only if the disk had lost it"
    )


def damage_within(data: Path) -> str | None:
    """Return a sentence about a damage of the last file that is not at its end, and what to do; None if there is none.

    What follows the damage may still be mail, so a person decides.
    """
    file, content, good, at_end = _judged(data)
    if at_end:
        return None
    keep = f"truncate -s {good} {shlex.quote(str(file))}"
    return (
        f"{file} is damaged {good} bytes from its beginning, and {len(content) - good} bytes follow. {_restore(data)}; "
        f"or give up what was stored after that place: copy the folder, then run `{keep}`"
    )


def refuse_empty_base(data: Path) -> None:
    """Refuse a first file of no bytes, which Valkey takes for an empty store. The first one of all never held mail.

    Raises:
        StoreAway: it is empty; nothing was changed.
    """
    for name in _listed(data, "b"):
        file = data / "appendonlydir" / name
        found = _NAME.fullmatch(name)
        if found and int(found["seq"]) > 1 and file.is_file() and not file.stat().st_size:
            raise StoreAway(
                f"{file}, which held all mail but the latest, is empty. {_restore(data)}; or, to go on with only what "
                f"came after it, copy the folder, then delete the line with {name} in {file.with_name(MANIFEST)}",
                outcome="none",
            )


def damage_of_base(data: Path, logged: str) -> str | None:
    """Return a sentence about a first file with which the server died, by what it `logged`, and what to do.

    None if it died of something else.
    """
    names = _listed(data, "b")
    if not names or "DB loaded from base file" in logged:
        return None
    if "Reading RDB base file" not in logged and names[-1] not in logged:
        return None
    file = data / "appendonlydir" / names[-1]
    state = "is damaged" if file.exists() else "is missing"
    return f"{file}, which holds all mail but the latest, {state}. {_restore(data)}"


def _restore(data: Path) -> str:
    return f"Restore the folder {data} from a backup; or move it away, run `postino up` and import an export"


def _listed(data: Path, kind: str) -> list[str]:
    """Return the names of the files of a `kind`, "b" or "i", in the order in which the server reads them."""
    try:
        lines = (data / "appendonlydir" / MANIFEST).read_text().splitlines()
    except OSError:
        return []
    return [words[1] for line in lines if (words := line.split())[-1:] == [kind]]


def _judged(data: Path) -> tuple[Path | None, bytes, int, bool]:
    """Return the last file, None if there is none, its content and what `_whole` says of that."""
    folder = data / "appendonlydir"
    names = _listed(data, "i")
    if not names or not (folder / names[-1]).is_file():
        return None, b"", 0, True
    content = (folder / names[-1]).read_bytes()
    return folder / names[-1], content, *_whole(content)


def _whole(content: bytes) -> tuple[int, bool]:
    """Return where the last whole command or transaction ends, and False if a damage after it is not just the end."""
    end = len(content.rstrip(b"\0"))
    at = good = 0
    within = False
    while at < end:
        try:
            name, after = _command(content, at, end)
        except EOFError:
            return good, not _goes_on(content, at, end)
        except ValueError:
            return good, False
        within = (within or name == b"MULTI") and name != b"EXEC"
        at = after
        if not within:
            good = at
    return good, True


def _goes_on(content: bytes, at: int, end: int) -> bool:
    """Return whether a whole command follows in what seems to be the torn one at `at`: its length is damaged then."""
    for found in _COMMAND.finditer(content, at + 1, end):
        with contextlib.suppress(EOFError, ValueError):
            if _command(content, found.start(), end)[0].isalpha():
                return True
    return False


def _command(content: bytes, at: int, end: int) -> tuple[bytes, int]:
    """Return the first word of the command at `at` and the place after it.

    Raises:
        EOFError: the content ends before the command does.
        ValueError: this is no command.
    """
    count, at = _number(content, at, end, b"*")
    name = b""
    for number in range(count):
        size, at = _number(content, at, end, b"$")
        if at + size + 2 > end:
            raise EOFError
        if content[at + size : at + size + 2] != b"\r\n":
            raise ValueError
        if not number:
            name = content[at : at + size].upper()
        at += size + 2
    return name, at


def _number(content: bytes, at: int, end: int, mark: bytes) -> tuple[int, int]:
    line_end = content.find(b"\r\n", at, min(end, at + 24))
    if line_end < 0:
        if end - at < 24 and re.fullmatch(rb"(?:%b\d*\r?)?" % re.escape(mark), content[at:end]):
            raise EOFError
        raise ValueError
    if content[at : at + 1] != mark:
        raise ValueError
    return int(content[at + 1 : line_end]), line_end + 2
