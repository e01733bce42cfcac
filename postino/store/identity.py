"""Which store this is: the id and the format of its data, kept in `{po}:meta`."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import structlog

from postino.errors import WrongStore
from postino.home_store import SWITCH, HomeStore

FORMAT = 4  # of the keys and values that this code reads and writes

log = structlog.get_logger()


class Identity:
    """The id of the store at `here`, which must be the one `remembered`, if any is."""

    def __init__(self, here: HomeStore, remembered: HomeStore | None = None) -> None:
        self.here = here
        self.id = remembered.id if remembered is not None else None
        self._remembered = remembered
        self._new = secrets.token_hex(8)
        self.format = FORMAT  # of the data, as it was last said
        self.migrates = False  # data of an older format is about to be converted
        self.on_change: Callable[[str], object] = lambda _: None  # is given an id that replaces the one remembered
        self._history: tuple[str, str] | None = None  # of the server's process and data, as it was last said

    @property
    def offered(self) -> str:
        """The id for a store without one, such as one that was emptied; '' if the store must have its id already."""
        if self._remembered is None or self.id is None or self._remembered.same_address(self.here):
            return self.id or self._new
        return ""

    def check(self, reply: Any, history: tuple[str, str] | None = None) -> None:
        """Take the id from a reply of the script `identify`.

        `history`: what names the server's process and the line of its data (`run_id`, `master_replid`). While both are
        what they were, another id means that the store was emptied, and that the daemon of a new home saw that first.

        Raises:
            WrongStore: it is another store than the one known, or its data has a format that cannot be used.
        """
        id, format, given = reply
        where = self.here.address
        self.format = int(format or 0)
        if self.format > FORMAT:
            raise WrongStore(f"The data in {where} has format {format}, which a newer postino wrote: update this one")
        if self.format < FORMAT and not self.migrates:
            raise WrongStore(f"The data in {where} has format {self.format}, of an older postino: start this one again")
        known, self._history = self._history, history or self._history
        if self.id and id != self.id:
            if not id or history is None or history != known:
                self._history = known
                raise WrongStore(self._another())
            log.warning("store_emptied", store=where, meaning="it had lost its id and its data, and got another id")
            self.on_change(id)
        if given and self.id:
            log.warning("store_emptied", store=where, meaning="it had lost its id and its data, and got its id again")
        self.id, self._remembered = id, None

    def _another(self) -> str:
        where, before = self.here.address, self._remembered
        if before is None or before.same_address(self.here):
            return (
                f"{where} now is another store than the one this home uses; mail would be split, so it is not used. "
                f"If it was emptied or replaced on purpose, set POSTINO_VALKEY_URL to it and run {SWITCH}"
            )
        return (
            f"This home uses {before.address}, not {where}; unset POSTINO_VALKEY_URL to use that again, "
            f"or run {SWITCH} to change to {where} and leave what mail waits in the former behind"
        )
