"""Proofs of who a page is: `postino open` signs it in as a person, and its sends carry the proof in a header.

A proof is the name and its end, with a digest that only this home can make: it outlasts the daemon.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from pathlib import Path

from postino import private_files

PROOF_S = 30 * 24 * 3600  # as long as mail to people waits
HEADER = "X-Postino-Person"


class Proofs:
    """Makes and checks the proofs of one home."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._key: bytes | None = None

    def make(self, name: str) -> str:
        """Return a proof for the person `name`."""
        text = f"{name}:{int(time.time()) + PROOF_S}"
        return f"{text}:{self._sign(text)}"

    def check(self, proof: str) -> str | None:
        """Return the name that a proof is for; None if it is wrong or has ended."""
        text, _, signature = proof.rpartition(":")
        name, _, until = text.partition(":")
        if not proof.isascii() or not hmac.compare_digest(self._sign(text), signature):
            return None
        return name if int(until) > time.time() else None

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret(), text.encode(), hashlib.sha256).hexdigest()

    def _secret(self) -> bytes:
        if self._key is None:
            if not self._file.exists():
                private_files.replace(self._file, secrets.token_hex(32))
            self._key = private_files.read_secret(self._file)
        return self._key
