"""What a program is told that cannot use the daemon's socket."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from postino.errors import Forbidden, PostinoError, Unreachable
from postino.transport import Transport


@pytest.mark.parametrize(
    ("number", "kind", "word"),
    [(errno.EPERM, Forbidden, "it probably runs in a sandbox"), (errno.ENOENT, Unreachable, "run `postino up`")],
)
def test_a_command_in_a_sandbox_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[PostinoError], word: str
) -> None:
    """A sandbox needs rights that tests lack; its refusal is played where the connection is made."""
    transport = Transport(tmp_path / "daemon.sock")

    def refuse(seconds: float) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(transport, "_made", refuse)
    with pytest.raises(kind, match=word):
        transport.exchange("GET", "/api/health", None, {}, 1)
