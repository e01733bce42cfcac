"""Parts of long lists of messages: an inbox, dead letters, the broadcasts."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Place(msgspec.Struct, frozen=True):
    """Where a part begins: after the first `offset` messages, or next to one of them, by its stream ID.

    What an offset costs grows with its distance from the nearer end; a stream ID is found at once.
    """

    offset: int = 0
    after: str | None = None
    before: str | None = None


START = Place()


class Part(msgspec.Struct, Generic[T], frozen=True):
    """Messages, oldest first, of `total`. `before`, `after`: the stream IDs next to which there are more, else None."""

    items: list[T]
    total: int
    before: str | None
    after: str | None
