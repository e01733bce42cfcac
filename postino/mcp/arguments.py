"""What each tool takes: the schema the client is shown, and the strict reading of what comes."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from postino.errors import BadField
from postino.model import Id, Ids, Limit, Name, Record, Text, visible
from postino.wording import worded

To = Annotated[Name, Meta(description="Agent name")]
Key = Annotated[Id, Meta(description="Repeat a call with the same id and it is stored once; left out, one is made")]
Body = Annotated[Text, Meta(description="The text")]
MessageIds = Annotated[Ids, Meta(description="Message ids")]
Most = Annotated[Limit, Meta(description="At most so many")]


class Arguments(Record, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what a tool takes: an unknown argument is refused."""


class Nothing(Arguments, frozen=True, kw_only=True):
    """No arguments."""


class Send(Arguments, frozen=True, kw_only=True):
    """A message to one agent."""

    to: To
    body: Body
    id: Key | None = None
    thread: Annotated[Id | None, Meta(description="Groups messages of one conversation")] = None
    reply_to: Annotated[Id | None, Meta(description="Id of the message this answers")] = None


class Read(Arguments, frozen=True, kw_only=True):
    """How many messages."""

    limit: Most | None = None


class Ack(Arguments, frozen=True, kw_only=True):
    """Which messages."""

    ids: MessageIds


class Announce(Arguments, frozen=True, kw_only=True):
    """A message to all."""

    body: Body
    id: Key | None = None


class ReadBroadcasts(Arguments, frozen=True, kw_only=True):
    """Which broadcasts."""

    all: Annotated[bool | None, Meta(description="Also those seen before; the newest, and nothing counts as seen")] = (
        None
    )
    limit: Most | None = None


class Rename(Arguments, frozen=True, kw_only=True):
    """The new name."""

    name: To


T = TypeVar("T", bound=Arguments)


def parse(tool: str, kind: type[T], given: dict[str, Any]) -> T:
    """Return the arguments of a call as a record.

    Raises:
        BadField: names every unknown or every missing argument, else the first wrong one.
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

    An optional one may be null as well, which models send; that is left out, since every session pays for each word.
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
