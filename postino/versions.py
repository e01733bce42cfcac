"""Which of two versions is older. Standard library only, because the relay imports it."""

from __future__ import annotations


def is_older(version: str, other: str) -> bool:
    """Return whether `version` is older than `other`, by the numbers between their points; other text counts as 0."""
    return _numbers(version) < _numbers(other)


def _numbers(version: str) -> list[int]:
    parts = version.partition("+")[0].split(".")[:4]
    numbers = [int(part) if part.isascii() and part.isdigit() else 0 for part in parts]
    return numbers + [0] * (4 - len(numbers))
