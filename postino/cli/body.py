"""The BODY of a message on the command line: given as an argument, or the text or log that standard input brings."""

from __future__ import annotations

import sys

from postino.cli.arguments import Parser, wrong
from postino.errors import BadField
from postino.light import pattern
from postino.values import MAX_BODY

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    import argparse

PART = 1 << 16  # bytes of one read of standard input
LONGEST_LOG = 1 << 20  # bytes of the end of standard input that are kept for --tail: a message has at most 131,072
LONGEST_NOTE = 40  # characters of the line that says what is left out
SHORTER = f"a message has at most {MAX_BODY:,} characters; --tail 200 sends the last 200 lines"

#: CSI, OSC and the like up to their end, other escape sequences, in 7 and 8 bits; then what is left of C0, DEL and C1
_TERMINAL = (
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"
    "|(?:\x1b[\\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\\\|\x9c)?"
    "|\x1b[ -/]*[0-~]?"
    "|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)


def add_options(parser: Parser) -> None:
    """Add the argument BODY and what may be done to it."""
    parser.add_argument("body", metavar="BODY", help="the text; - reads it from standard input")
    parser.add_argument(
        "--tail", type=_lines, metavar="N", help="send the last N lines, or as many of them as a message may have"
    )
    parser.add_argument("--strip-ansi", action="store_true", help="take out colours and other terminal sequences")


def of(args: argparse.Namespace) -> str:
    """Return BODY, or all of standard input for `-`, as it stands, including the last newline, which a patch needs.

    Raises:
        BadField: it is too long, or standard input is closed or not UTF-8.
    """
    if args.body != "-":
        text, cut, size = str(args.body), False, 0
    else:
        data, size = _standard_input()
        cut = size > len(data)
        text = _decoded(data, cut)
    if args.strip_ansi:
        text = without_terminal_sequences(text)
    if args.tail is not None:
        return last_lines(text, args.tail, cut)
    if cut:
        raise BadField(f"body: standard input has {size:,} bytes; {SHORTER}", field="body")
    if len(text) > MAX_BODY:
        raise BadField(f"body has {len(text):,} characters; {SHORTER}", field="body")
    return text


def without_terminal_sequences(text: str) -> str:
    """Return `text` without escape sequences and control characters other than newline, tab and carriage return."""
    return pattern(_TERMINAL).sub("", text)


def last_lines(text: str, most: int, cut: bool = False) -> str:
    """Return the last `most` lines of `text`, or as many of them as a message may have; of one long line, its end.

    If something is left out, or `cut` says that something was before, a first line says so.
    """
    lines = pattern("[^\n]*\n|[^\n]+").findall(text)  # `splitlines` also splits at characters that end no line
    from_line = max(0, len(lines) - most)
    length = sum(map(len, lines[from_line:]))
    if from_line == 0 and not cut and length <= MAX_BODY:
        return text
    while from_line < len(lines) - 1 and length > MAX_BODY - LONGEST_NOTE:
        length -= len(lines[from_line])
        from_line += 1
    room, kept = MAX_BODY - LONGEST_NOTE, "".join(lines[from_line:])
    many = f"last {len(lines) - from_line:,} lines" if from_line < len(lines) - 1 else "last line"
    return f"[the {'end of the ' if length > room else ''}{many}]\n{kept[-room:]}"


def _standard_input() -> tuple[bytes, int]:
    """Return the end of standard input, at most LONGEST_LOG bytes, and how many bytes there were.

    It is read to its end, even when it is too long: what writes it must not fail because a message is shorter.
    """
    if sys.stdin is None:
        raise BadField("body: standard input is closed", field="body")
    kept, size = bytearray(), 0
    for part in iter(lambda: sys.stdin.buffer.read(PART), b""):
        size += len(part)
        kept += part
        if len(kept) > 2 * LONGEST_LOG:
            del kept[:-LONGEST_LOG]
    return bytes(kept[-LONGEST_LOG:]), size


def _decoded(data: bytes, cut: bool) -> str:
    """Return `data` as text; `cut`: it may begin within a character, or within a line, which then is left out."""
    if cut:
        start = data.find(b"\n") + 1
        data = data[start:] if 0 < start < len(data) else data.lstrip(bytes(range(0x80, 0xC0)))
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        place = f"byte {error.start}{' of its last part' if cut else ''}"
        raise BadField(f"body: standard input is not UTF-8 at {place}", field="body") from None


def _lines(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1_000_000:
        raise wrong("must be a number of lines from 1 to 1000000")
    return int(text)
