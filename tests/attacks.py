"""What the tests of SECURITY.md's table share: the table itself, hostile values, and the check of a daemon's log."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

SECURITY = Path(__file__).resolve().parents[1] / "SECURITY.md"
#: the text of a log line that must not be there, whatever is sent
FAILURES = ("Traceback", "internal_error", "relay_failed", '"level": "error"', '"level":"error"', "never retrieved")

#: terminal sequences, in 7 and 8 bits, and what reorders or hides text
ESCAPES = [
    "\x1b[31m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJm\x07",
    "\x1bPq#0;2;0;0;0\x1b\\",
    "\x1b^private\x1b\\",
    "\x1b_application\x1b\\",
    "\x1bXstart\x1b\\",
    "\x1bc",
    "\x9b31m",
    "\x9d0;title\x9c",
    "\x90q\x9c",
    "\x00",
    "\x07",
    "\x08\x08\x08",
    "\x0b\x0c",
    "\x7f",
    "\u202egnp.exe",
    "\u2066isolate\u2069",
    "\U000e0041\U000e0042",
]
_SHOWN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f\ud800-\udfff]")


class Row(NamedTuple):
    """A row of SECURITY.md's table."""

    attack: str
    cases: int
    through: int
    command: str


def rows() -> list[Row]:
    """Return the table of SECURITY.md."""
    found = re.findall(r"^\| ([^|]+) \| ([0-9,]+) \| ([0-9]+) \| `([^`]+)` \|$", SECURITY.read_text(), re.MULTILINE)
    return [
        Row(attack, int(cases.replace(",", "")), int(through), command) for attack, cases, through, command in found
    ]


def attacked(attack: str, cases: int) -> None:
    """Check that a test has tried as many cases of an attack as SECURITY.md says, now that none of them got through."""
    claimed = next((row.cases for row in rows() if row.attack == attack), None)
    assert claimed is not None and claimed <= cases, f"SECURITY.md says {claimed} cases of {attack!r}; tried: {cases}"


def no_failure_in(log: Path) -> None:
    """Check that a daemon's log has no traceback and no error."""
    text = log.read_text()
    found = [line[:500] for line in text.splitlines() if any(each in line for each in FAILURES)]
    assert found == [], found[:5]


def raw_controls(text: str) -> list[str]:
    """Return what a terminal would act on in `text`: everything but newline and tab that is not a plain character."""
    return _SHOWN.findall(text)


def value(random: Random, depth: int = 3) -> Any:
    """Return a JSON value of any kind, hostile ones among them."""
    scalars: list[Callable[[], Any]] = [
        lambda: random.choice([None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, -(2**63), 10**30, 0.5, 1e300]),
        lambda: random.choice(["", "bob", "s-1", "#group", "../../etc", "\u2028", "x" * 5000, "\ud800", "__proto__"]),
        lambda: random.choice(ESCAPES),
        lambda: "".join(chr(random.randrange(0x2500)) for _ in range(random.randrange(12))),
    ]
    if depth == 0 or random.random() < 0.7:
        return random.choice(scalars)()
    if random.random() < 0.5:
        return [value(random, depth - 1) for _ in range(random.randrange(4))]
    return {str(value(random, 0)): value(random, depth - 1) for _ in range(random.randrange(4))}


def damaged(random: Random, data: bytes) -> bytes:
    """Return bytes with some cut out, changed, doubled or put in."""
    kind, at, end = random.randrange(5), *sorted(random.randrange(len(data) + 1) for _ in range(2))
    if kind == 0:
        return data[:at]
    if kind == 1:
        return data[:at] + data[end:]
    if kind == 2:
        return data[:at] + random.randbytes(random.randrange(1, 5)) + data[at:]
    if kind == 3:
        return data[:end] + data[at:]
    return bytes(byte ^ (1 << random.randrange(8)) if random.random() < 0.02 else byte for byte in data)


def with_hostile_field(random: Random, record: dict[str, Any]) -> dict[str, Any]:
    """Return a record in which one field, on some level, is gone, strange, or added."""
    made = dict(record)
    key = random.choice([*made, "extra"])
    if isinstance(made.get(key), dict) and random.random() < 0.7:
        made[key] = with_hostile_field(random, made[key])
    elif random.random() < 0.2:
        made.pop(key, None)
    else:
        made[key] = value(random)
    return made


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close a connection, and return when it is."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def in_parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    """Yield a list in pieces."""
    for at in range(0, len(items), size):
        yield items[at : at + size]
