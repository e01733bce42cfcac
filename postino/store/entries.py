"""Turns what Valkey stores, flat lists of fields, into members of records."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from postino.model import Expects, Message, Sender, digest, iso
from postino.store.keys import ALL

T = TypeVar("T")

SHOWN = 8  # characters of a consumer name
PERSON = "@"  # begins the reader of a message that a person has opened, and no consumer
#: what every message, broadcast and history entry has, as far as no disk has altered it
BLANK = {"id": "", "seq": "0", "from": "", "verified": "", "via": "", "body": "", "t": "0"}
#: what `members` raises for names and numbers that a disk has altered
_UNREADABLE = (KeyError, ValueError, OverflowError, OSError)


def decoded(text: str | None, kind: type[T]) -> T | None:
    """Return the record that a text is; None for no text, and for one that a disk or another program has altered."""
    try:
        return msgspec.json.decode(text or "", type=kind)
    except msgspec.MsgspecError:
        return None


def pairs(flat: list[str]) -> dict[str, str]:
    """Turn [field, value, ...] into a dict."""
    each = iter(flat)
    return dict(zip(each, each, strict=True))


class Extras(msgspec.Struct, frozen=True, omit_defaults=True):
    """What few messages have: a fifth member of the packed JSON, and of the digest, only where there is any.

    To whom else it went is no part of the digest: the same id with the same content may be sent to another list.
    """

    expects: Expects | None = None
    group: str | None = None  # it was sent to
    choices: list[str] | None = None
    sent_to: list[str] | None = None  # of a list of agents the first
    sent_to_total: int | None = None  # if there are more


class _Packed(msgspec.Struct, array_like=True):
    via: str
    thread: str | None
    reply_to: str | None
    body: str
    extras: msgspec.Raw = msgspec.Raw(b"")


#: how a message was sent, as one letter
_LETTERS = {"mcp": "m", "http": "h", "cli": "c", "web": "w", "system": "s"}
_VIAS = {letter: via for via, letter in _LETTERS.items()}
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Packed).decode
_decode_extras = msgspec.json.Decoder(Extras).decode
_NO_EXTRAS = Extras()


def encoded(extras: Extras) -> str:
    """Return extras as JSON, '' if there are none."""
    return "" if extras == _NO_EXTRAS else _encode(extras).decode()


def digested(extras: Extras) -> str:
    """Return as JSON what of extras is part of the digest."""
    return encoded(msgspec.structs.replace(extras, sent_to=None, sent_to_total=None))


def _digested(text: str) -> str:
    if '"sent_to"' not in text:
        return text
    with contextlib.suppress(msgspec.MsgspecError):
        return digested(_decode_extras(text))
    return text


def extras_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the extras of a message as members of a record; none that a disk has altered."""
    if not (text := fields.get("extras")):
        return {}
    with contextlib.suppress(msgspec.MsgspecError):
        found = _decode_extras(text)
        return {name: value for name in found.__struct_fields__ if (value := getattr(found, name)) is not None}
    return {}


def packed(
    id: str, sender: Sender, body: str, thread: str | None = None, reply_to: str | None = None, extras: str = ""
) -> str:
    """Return a message as its sender's daemon gives it to a script, which adds number and time; see `unpacked`."""
    flags, characters, rest = "v" if sender.verified else "-", str(len(body)), body
    if thread or reply_to or extras or sender.via not in _LETTERS:
        content = (sender.via, thread, reply_to, body, *([msgspec.Raw(extras.encode())] if extras else []))
        rest = _encode(content).decode()
    else:
        flags += _LETTERS[sender.via]
        if body.isascii():
            characters = "-"
    return f"{id} {sender.name} {flags} {characters} {rest}"


def unpacked(flat: list[str]) -> dict[str, str]:
    """Turn the fields of an entry into a dict, with the members of its message, as lua/lib/message.lua has it.

    What a disk has altered beyond recognition is left out; of the text at least what is there.
    """
    fields = pairs(flat)
    words = fields.pop("m", "").split(" ", 6)
    if len(words) == 7:  # in format 1 each member is a field
        seq, t, id, sender, flags, _, body = words
        verified = "1" if flags[:1] == "v" else ""
        fields |= {"seq": seq, "t": t, "id": id, "from": sender, "verified": verified, "body": body}
        if flags[1:] in _VIAS:
            fields |= {"via": _VIAS[flags[1:]], "thread": "", "reply_to": ""}
            return fields
        with contextlib.suppress(msgspec.DecodeError):
            rest = _decode(words[6])
            fields |= {"via": rest.via, "thread": rest.thread or "", "reply_to": rest.reply_to or "", "body": rest.body}
            if rest.extras:
                fields["extras"] = bytes(rest.extras).decode()
    return fields


def of_history(flat: list[str]) -> dict[str, str]:
    """Return `unpacked` of a history entry, with `kind` and `to`, the recipients with one space between them.

    The recipients are the name of its only field, whose value is the message; a broadcast is to `all`.
    """
    if len(flat) == 2:  # before format 4 there are at least the fields `to` and `m`
        to, text = flat
        return unpacked(["m", text]) | {"to": to, "kind": "broadcast" if to == ALL else "message"}
    return {"kind": "message"} | unpacked(flat)


def sent_event(flat: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Return type and data of the event that a history entry is, without a look at its body.

    None where it is none: for several agents, which have no common number, it has events of its own; one that was
    imported, or is older than format 4, has another form.

    Raises:
        ValueError: a disk has altered it.
    """
    if len(flat) != 2:
        return None
    to, text = flat
    words = text.split(" ", 6)
    if words[0] == "0":
        return None
    seq = number(words[0])
    if not seq or len(words) != 7:
        raise ValueError("neither number nor members")
    _, _, id, sender, flags, _, content = words
    via = _VIAS.get(flags[1:]) if flags[1:] else content[2 : content.find('"', 2)]  # in JSON it is the first
    if via is None:
        raise ValueError("not how it was sent")
    if to == ALL:
        return "broadcast", {"id": id, "from": sender, "seq": seq, "via": via}
    return "msg_send", {"id": id, "from": sender, "via": via, "to": to, "seq": seq}


def leased_items(flat: list[str]) -> Iterator[tuple[str, int, bool, list[str], str]]:
    """Yield stream ID, delivery, whether it is a repeat, fields and digest of the items of the script `read`."""
    at = 0
    while at < len(flat):
        stream_id, delivery, redelivered, count, fingerprint = flat[at].split(" ")
        first, at = at + 1, at + 1 + int(count)
        yield stream_id, int(delivery), redelivered == "1", flat[first:at], fingerprint


def number(text: str | None) -> int:
    """Return a stored number of up to 13 digits, as times have; 0 for one that a disk has altered."""
    return int(text) if text and text.isdecimal() and len(text) <= 13 else 0


def time_of(score: str | None) -> int | None:
    """Return a score in ms; None for none, and for one that a disk has altered so that it is no time."""
    ms = float(score or -1)
    return int(ms) if 0 <= ms < 10**13 else None


def cursor_of(value: str | None) -> tuple[str, int] | None:
    """Return stream ID and number of the last broadcast that an agent has seen, as lua/lib/cursor.lua takes them.

    None for no cursor, and for one that a disk has altered.
    """
    place, _, text = (value or "").partition(" ")
    if not (re.fullmatch(r"[0-9]+-[0-9]+", place) and re.fullmatch(r"[0-9]{1,13}", text)):
        return None
    return place, int(text)


def members(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the members that messages, broadcasts and history entries have in common."""
    return {
        "id": fields["id"],
        "seq": int(fields["seq"]),
        "from_": fields["from"],
        "verified": bool(fields["verified"]),
        "via": fields["via"],
        "body": fields["body"],
        "timestamp": iso(int(fields["t"])),
    }


def listed(fields: Mapping[str, str], fingerprint: str) -> dict[str, Any]:
    """Return `members`, marked as altered if the content is no longer what was accepted under `fingerprint`.

    What cannot be read is blank. '' for a fingerprint that is not known.
    """
    try:
        found = members(fields)
    except _UNREADABLE:
        kept = {name: value for name, value in fields.items() if name not in ("seq", "t")}
        return members(BLANK | kept) | {"altered": True}
    if fingerprint:
        thread, reply_to = fields.get("thread") or None, fields.get("reply_to") or None
        if digest(fields["from"], fields["body"], thread, reply_to, _digested(fields.get("extras", ""))) != fingerprint:
            found["altered"] = True
    return found


def letter(fields: Mapping[str, str], fingerprint: str) -> dict[str, Any]:
    """Return `listed`, and what only messages have, wherever they lie."""
    thread, reply_to = fields.get("thread") or None, fields.get("reply_to") or None
    return {**listed(fields, fingerprint), "thread": thread, "reply_to": reply_to, **extras_of(fields)}


def message(
    agent: str, fields: Mapping[str, str], fingerprint: str = "", *, delivery: int = 0, redelivered: bool = False
) -> Message:
    """Return the message that an inbox entry of `agent` stores, marked if it does not fit its digest."""
    return Message(**letter(fields, fingerprint), to=agent, delivery=delivery, redelivered=redelivered)


def short_consumer(consumer: str) -> str:
    """Return what others may see of a reading session: whoever knows all of it can acknowledge in its place."""
    return consumer.removeprefix(PERSON) if consumer.startswith(PERSON) else consumer[:SHOWN]


def alias_target(value: str | None) -> str | None:
    """Return the present name that a value of the agents hash points to; None unless it is an alias."""
    return value[1:].partition(" ")[0] if value and value.startswith("@") else None


def id_array(ids: list[str]) -> str:
    """Return `ids` as a JSON array, each once: a script would reject the second of a pair for what the first did."""
    return msgspec.json.encode(list(dict.fromkeys(ids))).decode()
