"""Turns what Valkey stores, flat lists of fields, into members of records."""

from __future__ import annotations

from typing import Any

from postino.model import Message, iso

SHOWN = 8  # characters of a consumer name


def pairs(flat: list[str]) -> dict[str, str]:
    """Turn [field, value, ...] into a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def members(fields: dict[str, str]) -> dict[str, Any]:
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


def message(agent: str, fields: dict[str, str], *, delivery: int = 0, redelivered: bool = False) -> Message:
    """Return the message that an inbox or dead-letter entry of `agent` stores."""
    return Message(
        **members(fields),
        to=agent,
        thread=fields["thread"] or None,
        reply_to=fields["reply_to"] or None,
        delivery=delivery,
        redelivered=redelivered,
    )


def short_consumer(consumer: str) -> str:
    """Return what others may see of a reading session: whoever knows all of it can acknowledge in its place."""
    return consumer[:SHOWN]


def alias_target(value: str | None) -> str | None:
    """Return the present name that a value of the agents hash points to; None unless it is an alias."""
    return value[1:].partition(" ")[0] if value and value.startswith("@") else None
