"""Changes to the settings files of other clients, and how they are undone: each file as if it had never been changed.

What was added is remembered in POSTINO_HOME: which files and containers are new, and the text that is not JSON.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from postino.cli import jsonc
from postino.errors import BadRequest
from postino.json_text import Json
from postino.paths import Home

Item = tuple[jsonc.Path, Any]  # where in the file, and what


@dataclass
class Made:
    """What an installation added besides its entries, by file."""

    files: list[str] = field(default_factory=list)  # that did not exist
    containers: dict[str, list[list[str]]] = field(default_factory=dict)  # objects and arrays that did not exist
    blocks: dict[str, str] = field(default_factory=dict)  # texts as they were added


@dataclass(frozen=True, slots=True)
class Edit:
    """A file before and after. None: there is no file."""

    file: Path
    before: str | None
    after: str | None

    @property
    def words(self) -> str:
        """What the edit does, for the user."""
        if self.before == self.after:
            return f"nothing to do in {self.file}"
        if self.after is None:
            return f"remove {self.file}"
        return f"{'write' if self.before is None else 'change'} {self.file}"

    def apply(self) -> None:
        """Write or remove the file. A symbolic link stays one, and the mode stays.

        Raises:
            BadRequest: that is not allowed, or the file has been changed since it was read.
        """
        if self.before == self.after:
            return
        if read(self.file) != self.before:
            raise BadRequest(f"{self.file} has been changed by another program just now; run the command again")
        try:
            if self.after is None:
                self.file.unlink()
            else:
                _write(self.file, self.after)
        except OSError as error:
            raise BadRequest(f"{self.file} cannot be written: {error.strerror}") from None


def read(file: Path) -> str | None:
    """Return a file's text, None if there is none.

    Raises:
        BadRequest: it cannot be read.
    """
    try:
        return file.read_bytes().decode()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"{file} cannot be read: {error}") from None


def _write(file: Path, text: str) -> None:
    target = file.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(text.encode())
        Path(temporary).chmod(mode)
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def with_items(file: Path, text: str | None, members: list[Item], items: list[Item], made: Made) -> str:
    """Return the text with JSON `members` set and `items` appended; note in `made` what had to be created.

    Raises:
        BadRequest: the file is not JSON, or has such a member already.
    """
    if text is None or not text.strip():
        made.files += [str(file)] if text is None else []
        text = "{}\n" if text is None else "{}" + text
    try:
        for path, new in members:
            _note_missing(file, text, path[:-1], made)
            text = jsonc.put(text, path, new)
        for path, new in items:
            _note_missing(file, text, path, made)
            text = jsonc.append(text, path, new)
    except BadRequest as error:
        raise BadRequest(f"{file}: {error.message}; nothing was changed") from None
    return text


def _note_missing(file: Path, text: str, path: jsonc.Path, made: Made) -> None:
    for length in range(1, len(path) + 1):
        if not jsonc.find(text, path[: length - 1], lambda _: True).count(path[length - 1]):
            made.containers.setdefault(str(file), []).append(list(path[:length]))


def without_items(
    file: Path,
    text: str | None,
    members: list[jsonc.Path],
    arrays: list[jsonc.Path],
    is_ours: Callable[[Any], bool],
    made: Made,
) -> str | None:
    """Return the text without what `with_items` added; None if the file is to be removed.

    Raises:
        BadRequest: the file is not JSON.
    """
    if text is None:
        return None
    try:
        for path in members:
            if path[-1] in jsonc.find(text, path[:-1], is_ours):
                text = jsonc.remove(text, path)
        for path in arrays:
            for number in jsonc.find(text, path, is_ours):
                text = jsonc.remove(text, (*path, number))
        for each in reversed(made.containers.get(str(file), [])):
            if each[-1] in jsonc.find(text, tuple(each[:-1]), lambda value: value in ({}, [])):
                text = jsonc.remove(text, tuple(each))
        is_empty = jsonc.value(text) == {}
    except BadRequest as error:
        raise BadRequest(f"{file}: {error.message}; nothing was changed") from None
    return None if is_empty and str(file) in made.files else text


class Record:
    """What was installed for each client, kept in POSTINO_HOME."""

    def __init__(self, home: Home) -> None:
        self._file = home.root / "clients.json"
        self._home = home
        text = read(self._file)
        self._known: dict[str, Json] = json.loads(text) if text else {}

    def made(self, client: str) -> Made | None:
        """Return what was made for a client, None if nothing is known of it."""
        known = self._known.get(client)
        return None if known is None else Made(**known)

    def save(self, client: str, made: Made | None) -> None:
        """Remember, or with None forget."""
        self._known.pop(client, None)
        if made is not None:
            self._known[client] = {"files": made.files, "containers": made.containers, "blocks": made.blocks}
        self._home.prepare()
        if self._known:
            _write(self._file, json.dumps(self._known, indent=1))
        else:
            self._file.unlink(missing_ok=True)
