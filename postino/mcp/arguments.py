"""The arguments of each tool: the schema shown to the client, and the strict parsing of a call."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from postino.errors import BadField
from postino.model import Record
from postino.values import Id, Ids, Limit, Name, Text, visible
from postino.wording import worded

AgentName = Annotated[Name, Meta(description="Agent name")]
IdempotencyKey = Annotated[Id, Meta(description="A repeated call with the same id is stored once; default: a new id")]
Body = Annotated[Text, Meta(description="The text")]
MessageIds = Annotated[Ids, Meta(description="Message ids")]
MaxItems = Annotated[Limit, Meta(description="Maximum number")]


class Arguments(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the arguments of a tool; an unknown one is refused."""


class Nothing(Arguments, frozen=True, kw_only=True):
    """No arguments."""


class Send(Arguments, frozen=True, kw_only=True):
    """Of msg_send."""

    to: AgentName
    body: Body
    id: IdempotencyKey | None = None
    thread: Annotated[Id | None, Meta(description="Groups the messages of a conversation")] = None
    reply_to: Annotated[Id | None, Meta(description="Id of the message this answers")] = None


class Read(Arguments, frozen=True, kw_only=True):
    """Of msg_read."""

    limit: MaxItems | None = None


class Ack(Arguments, frozen=True, kw_only=True):
    """Of msg_ack."""

    ids: MessageIds


class Broadcast(Arguments, frozen=True, kw_only=True):
    """Of msg_broadcast."""

    body: Body
    id: IdempotencyKey | None = None


class ReadBroadcasts(Arguments, frozen=True, kw_only=True):
    """Of msg_broadcasts."""

    all: Annotated[bool | None, Meta(description="Return the newest ones, seen or not; marks none as seen")] = None
    limit: MaxItems | None = None


class Rename(Arguments, frozen=True, kw_only=True):
    """Of msg_rename."""

    name: AgentName


T = TypeVar("T", bound=Arguments)


def parse(tool: str, kind: type[T], given: dict[str, Any]) -> T:
    """Return the arguments of a call as a record.

    Raises:
        BadField: names all unknown or all missing arguments, else the first one with a wrong value.
    """
    fields = msgspec.structs.fields(kind)
    names = [each.encode_name for each in fields]
    unknown = [visible(each)[:64] for each in given if each not in names]
    if unknown:
        takes = ", ".join(names) or "no arguments"
        raise BadField(f"{tool} does not know {', '.join(unknown)}; it takes {takes}", field=unknown[0])
    missing = [each.encode_name for each in fields if each.required and each.encode_name not in given]
    if missing:
        raise BadField(f"{tool} needs {', '.join(missing)}", field=missing[0])
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        problem, _, place = str(error).partition(" - at `$.")
        field = place.rstrip("`") or "arguments"
        raise BadField(f"{field}: {worded(problem)}", field=field) from None


def schema(kind: type[Arguments]) -> dict[str, Any]:
    """Return the JSON schema of a tool's arguments.

    It leaves out that an optional argument may be null, as models send it: every session pays for the schema's length.
    """
    (whole,) = msgspec.json.schema_components([kind])[1].values()
    shown = {name: _without_null(each) for name, each in whole["properties"].items()}
    return {
        "type": "object",
        "properties": shown,
        **({"required": whole["required"]} if whole["required"] else {}),
        "additionalProperties": False,
    }


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in described.items() if name not in ("anyOf", "default")}
    return {**described.get("anyOf", [{}])[0], **rest}
