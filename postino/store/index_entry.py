"""The record that the index of an inbox, or of the broadcasts, has of each message id."""

from __future__ import annotations

import msgspec

from postino.model import MessageState, iso
from postino.store.entries import number, short_consumer

_LEAST_WORDS = 6  # up to the sender
_MOST = 10**13 - 1  # no number is larger: times have 13 digits
_OPTIONAL_NUMBERS = ("n", "l", "e", "ht", "x", "a")


class IndexEntry(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A record of the index, as lua/lib/entry.lua writes and describes it; its members are in that order."""

    s: str
    d: str = ""
    q: int
    st: str
    t: int
    f: str = ""
    n: int = 0
    r: str | None = None
    l: int | None = None  # noqa: E741 - the name in the stored record
    e: int | None = None
    w: str | None = None
    h: str | None = None
    ht: int | None = None
    x: int | None = None
    a: bool | None = None

    @classmethod
    def parse(cls, text: str) -> IndexEntry:
        """Return the record that `text` is.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        if text.startswith("{"):  # of format 1
            return msgspec.json.decode(text, type=cls)
        words = text.split(" ")
        if not _LEAST_WORDS <= len(words) <= len(cls.__struct_fields__):
            raise msgspec.ValidationError("a record of the index is damaged")
        named = zip(cls.__struct_fields__, words, strict=False)
        found = msgspec.convert({name: word for name, word in named if word}, cls, strict=False)
        if max(found.q, found.n, found.t, found.l or 0, found.e or 0, found.ht or 0, found.x or 0) > _MOST:
            raise msgspec.ValidationError("a record of the index is damaged")
        return found

    @classmethod
    def told(cls, text: str) -> IndexEntry:
        """Return the record that `text` is, without those optional numbers that a disk has altered.

        Raises:
            msgspec.MsgspecError: it is none.
        """
        if text.startswith("{"):
            return cls.parse(text)
        words = text.split(" ")
        named = zip(cls.__struct_fields__, words, strict=False)
        kept = [word if name not in _OPTIONAL_NUMBERS or number(word) else "" for name, word in named]
        return cls.parse(" ".join([*kept, *words[len(kept) :]]))

    def state(self, agent: str, id: str, lease_end: int | None, now: int, ttl_ms: int) -> MessageState:
        """Return the state at `now`: an ended lease is queued again, and what has outlived `ttl_ms` is expired."""
        state = self.st
        if state == "leased" and (lease_end is None or lease_end <= now):
            state = "queued"
        if state == "queued" and int(self.s.partition("-")[0]) + ttl_ms <= now:
            state = "expired"
        leased = state == "leased"
        return MessageState(
            id=id,
            to=agent,
            from_=self.f,
            seq=self.q,
            state=state,  # type: ignore[arg-type]  # written by our own scripts
            timestamp=iso(self.t),
            deliveries=self.n,
            reader=None if self.r is None else short_consumer(self.r),
            leased_at=iso(self.l) if self.l else None,
            lease_until=iso(lease_end) if leased and lease_end else None,
            settled_at=iso(self.e) if self.e else None,
            reason=self.w,
            notified=self.h or "none",
            notified_at=iso(self.ht) if self.ht else None,
        )


class Known(msgspec.Struct, frozen=True):
    """What is known of an id: the message's state, the digest it was accepted with ('': none), and when, in ms."""

    state: MessageState
    digest: str
    accepted_ms: int
