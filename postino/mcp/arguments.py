"""The arguments of each tool: the schema shown to the client, and the parsing of a call.

Clients and models encode loosely: a whole number as 5.0 or as text, a list as the text of one, null or "" for what is
left out. That is taken, and the schema promises it, so that a strict client may send it. Ids, names and texts are taken
as they are: a number is no id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from postino.errors import BadField, PostinoError
from postino.relay.lines import MAX_ASK_S
from postino.values import (
    ADDRESSEE,
    ID_PATTERN,
    MAX_BODY,
    MAX_IDS,
    MAX_PAGE,
    NAME_PATTERN,
    OWN_NAME,
    TEXT_PATTERN,
    TITLE_PATTERN,
    check_any_name,
    check_choices,
    check_group,
    check_id,
    check_name,
    check_recipient,
    check_text,
    check_thread,
    check_title,
    visible,
)
from postino.values import GROUP as GROUP_PATTERN

LONGEST_SHOWN = 24  # characters of a wrong value in the sentence that refuses it
MOST_SHOWN = 10  # unknown arguments that an error names
MAX_OFFSET = 999_999
MAX_SOUGHT = 256  # characters of a text to search for

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kind:
    """What one argument may be: its JSON schema, and what turns a given value into the one that is used."""

    schema: Schema
    take: Callable[[Any, str], Any]
    needed: bool = True


def _of_text(check: Callable[[str, str], str]) -> Callable[[Any, str], str]:
    def take(value: Any, field: str) -> str:
        if not isinstance(value, str):
            raise _wrong(field, "text", value)
        return check(value, field)

    return take


def _whole(low: int, high: int, pattern: str) -> Kind:
    """Return the kind of an optional whole number; `pattern` matches it as text."""
    as_text = f"^(({pattern})(\\.0+)?)?$"

    def take(value: Any, field: str) -> int:
        if isinstance(value, str) and re.fullmatch(as_text, value):
            value = int(float(value))
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise _wrong(field, f"a whole number from {low} to {high}", value)
        return value

    number = {"type": "integer", "minimum": low, "maximum": high}
    return Kind({"anyOf": [number, {"type": "string", "pattern": as_text}, {"type": "null"}]}, take, needed=False)


def _maybe(pattern: str, take: Callable[[Any, str], str], longest: int | None = None) -> Kind:
    """Return the kind of an optional text; `pattern` matches "" too, which stands for one that is left out."""
    length = {"maxLength": longest} if longest else {}
    return Kind({"type": ["string", "null"], **length, "pattern": pattern}, take, needed=False)


def _take_flag(value: Any, field: str) -> bool:
    if isinstance(value, str) and re.fullmatch(_FLAG, value):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _wrong(field, "true or false", value)
    return value


def _take_expects(value: Any, field: str) -> str:
    if value not in ("reply", "none"):
        raise _wrong(field, "reply or none", value)
    return str(value)


def _take_ids(value: Any, field: str) -> list[str]:
    if isinstance(value, str) and re.fullmatch(_IDS, value):
        value = json.loads(value)
    if not isinstance(value, list):
        raise _wrong(field, "a list of ids", value)
    if not 1 <= len(value) <= MAX_IDS:
        raise BadField(f"{field}: must be a list of 1 to {MAX_IDS} ids, not of {len(value)}", field=field)
    return [ID.take(each, f"{field}[{at}]") for at, each in enumerate(value)]


def _take_choices(value: Any, field: str) -> list[str]:
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    if not isinstance(value, list):
        raise _wrong(field, "a list of texts", value)
    return check_choices([TEXT.take(each, f"{field}[{at}]") for at, each in enumerate(value)], field)


def _take_recipients(value: Any, field: str) -> str | list[str]:
    """Return an agent, `#group` or list. A list is only looked at by the draft: schemas that say more are long."""
    if isinstance(value, str) and re.fullmatch(_AS_TEXT, value):
        value = re.findall(r'[^\s",\[\]]+', value)
    if isinstance(value, str):
        if "," in value:
            check_recipient(value, field)  # which says how a list is written
        check_any_name(value.removeprefix("#"), field)
        return value
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise _wrong(field, "an agent, #group or a list of agents", value)
    return value


def _take_asked(value: Any, field: str) -> str:
    if isinstance(value, list) or (isinstance(value, str) and ("," in value or value.startswith("#"))):
        raise BadField(f"{field}: a question goes to one agent; msg_send writes to several", field=field)
    return MAILBOX.take(value, field)  # type: ignore[no-any-return]


_AS_TEXT = r"\s*\[.*\]\s*"  # a list as text
_FLAG = "([Tt]rue|[Ff]alse)?"
_IDS = rf'\s*\[\s*"{ID_PATTERN}"\s*(,\s*"{ID_PATTERN}"\s*){{0,{MAX_IDS - 1}}}\]\s*'  # a JSON array as text

NAME = Kind({"type": "string", "pattern": OWN_NAME}, _of_text(check_name))
MAILBOX = Kind({"type": "string", "pattern": ADDRESSEE}, _of_text(check_recipient))  # also that of all people
TEXT = Kind({"type": "string", "minLength": 1, "maxLength": MAX_BODY, "pattern": TEXT_PATTERN}, _of_text(check_text))
ID = Kind({"type": "string", "pattern": f"^{ID_PATTERN}$"}, _of_text(check_id))
RECIPIENTS = Kind(
    {
        "type": ["string", "array", "null"],
        "pattern": f"^(#?{NAME_PATTERN}|{_AS_TEXT})?$",
        "items": {"type": "string"},
    },
    _take_recipients,
    needed=False,
)
GROUP = Kind({"type": "string", "pattern": GROUP_PATTERN}, _of_text(check_group))
_ID_LIST = {"type": "array", "items": ID.schema, "minItems": 1, "maxItems": MAX_IDS}
IDS = Kind({"anyOf": [_ID_LIST, {"type": "string", "pattern": f"^{_IDS}$"}]}, _take_ids)
MAYBE_IDS = Kind(
    {"anyOf": [_ID_LIST, {"type": "string", "pattern": f"^({_IDS})?$"}, {"type": "null"}]}, _take_ids, needed=False
)
CHOICES = Kind({"type": ["array", "null"]}, _take_choices, needed=False)
MAYBE_TITLE = _maybe(f"^({TITLE_PATTERN})?$", _of_text(check_title))
MAYBE_MAILBOX = _maybe(f"^$|{ADDRESSEE}", MAILBOX.take)
MAYBE_THREAD = _maybe(f"^({ID_PATTERN}|{TITLE_PATTERN})?$", _of_text(check_thread))
SOUGHT = _maybe(
    f"^$|{TEXT_PATTERN}", _of_text(lambda value, field: check_text(value, field, longest=MAX_SOUGHT)), MAX_SOUGHT
)
ASKED = Kind(MAILBOX.schema, _take_asked)
MAYBE_ID = _maybe(f"^{ID_PATTERN.replace('{1,', '{0,')}$", ID.take)
LIMIT = _whole(1, MAX_PAGE, "[1-9][0-9]?|1[0-9]{2}|200")
TIMEOUT = _whole(1, MAX_ASK_S, "[1-9][0-9]?|[1-5][0-9]{2}|600")
OFFSET = _whole(0, MAX_OFFSET, "[0-9]{1,6}")
EXPECTS = Kind({"enum": ["reply", "none", "", None]}, _take_expects, needed=False)
FLAG = Kind({"type": ["boolean", "string", "null"], "pattern": f"^{_FLAG}$"}, _take_flag, needed=False)


def _argument(kind: Kind, description: str) -> Any:
    shown = kind.schema | ({"description": description} if description else {})
    default = dataclasses.MISSING if kind.needed else None
    return dataclasses.field(default=default, metadata={"kind": kind, "schema": shown})


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Base of the arguments of a tool."""


@dataclass(frozen=True, kw_only=True)
class Nothing(Arguments):
    """No arguments."""


@dataclass(frozen=True, kw_only=True)
class Send(Arguments):
    """Of msg_send."""

    to: str | list[str] | None = _argument(RECIPIENTS, "Agent, #group, or a list")  # noqa: RUF009 - as below
    body: str = _argument(TEXT, "The text")
    id: str | None = _argument(MAYBE_ID, "The same id is stored once")
    thread: str | None = _argument(MAYBE_TITLE, "Conversation title")
    reply_to: str | None = _argument(MAYBE_ID, "Id it answers; `to` defaults to its sender")
    expects: str | None = _argument(EXPECTS, "")
    choices: list[str] | None = _argument(CHOICES, "Buttons for people")  # noqa: RUF009 - as below


@dataclass(frozen=True, kw_only=True)
class Ask(Arguments):
    """Of msg_ask."""

    to: str = _argument(ASKED, "Agent name")
    body: str = _argument(TEXT, "The question, complete in itself")
    timeout: int | None = _argument(TIMEOUT, "Seconds to wait")
    thread: str | None = _argument(MAYBE_TITLE, "Title of a conversation")
    id: str | None = _argument(MAYBE_ID, "The same id is stored once: the call then waits on")


@dataclass(frozen=True, kw_only=True)
class Status(Arguments):
    """Of msg_status."""

    ids: list[str] | None = _argument(MAYBE_IDS, "Ids of messages you sent; default: your last ten")  # noqa: RUF009


@dataclass(frozen=True, kw_only=True)
class History(Arguments):
    """Of msg_history."""

    with_: str | None = _argument(MAYBE_MAILBOX, "Only mail with this agent")
    thread: str | None = _argument(MAYBE_THREAD, "Only this conversation")
    q: str | None = _argument(SOUGHT, "A part of the text, or an id")
    limit: int | None = _argument(LIMIT, "Maximum number")


@dataclass(frozen=True, kw_only=True)
class Read(Arguments):
    """Of msg_read."""

    limit: int | None = _argument(LIMIT, "At most")


@dataclass(frozen=True, kw_only=True)
class Ack(Arguments):
    """Of msg_ack."""

    ids: list[str] = _argument(IDS, "Message ids")  # noqa: RUF009 - `field` makes no default here


@dataclass(frozen=True, kw_only=True)
class Broadcast(Arguments):
    """Of msg_broadcast."""

    body: str = _argument(TEXT, "The text")
    id: str | None = _argument(MAYBE_ID, "A repeated call with the same id is stored once; default: a new id")


@dataclass(frozen=True, kw_only=True)
class ReadBroadcasts(Arguments):
    """Of msg_broadcasts."""

    all: bool | None = _argument(FLAG, "Return the newest ones, seen or not; marks none as seen")
    limit: int | None = _argument(LIMIT, "At most")


@dataclass(frozen=True, kw_only=True)
class ListAgents(Arguments):
    """Of msg_list_agents."""

    limit: int | None = _argument(LIMIT, "At most")
    offset: int | None = _argument(OFFSET, "How many to skip")


@dataclass(frozen=True, kw_only=True)
class Membership(Arguments):
    """Of msg_join and msg_leave."""

    group: str = _argument(GROUP, "Name of the group")


@dataclass(frozen=True, kw_only=True)
class Rename(Arguments):
    """Of msg_rename."""

    name: str = _argument(NAME, "Agent name")


T = TypeVar("T", bound=Arguments)


def parse(tool: str, kind: type[T], given: dict[str, Any]) -> T:
    """Return the arguments of a call as a record.

    Raises:
        BadField, BadName: names every fault of the call; `faults` lists them where there are several.
    """
    fields = {_told(each.name): each for each in dataclasses.fields(kind)}
    faults, taken = _unknown(tool, list(fields), given), dict[str, Any]()
    for name, field in fields.items():
        argument, value = field.metadata["kind"], given.get(name)
        if not argument.needed and value in (None, ""):
            continue
        try:
            if name not in given:
                raise BadField(f"{tool} needs {name}", field=name)
            taken[field.name] = argument.take(value, name)
        except PostinoError as fault:
            faults.append(fault)
    if faults:
        raise _all(faults)
    return kind(**taken)


def _told(name: str) -> str:
    """Return the name of an argument as clients know it: a word of Python has an underscore behind it here."""
    return name.removesuffix("_")


def _unknown(tool: str, fields: list[str], given: dict[str, Any]) -> list[PostinoError]:
    unknown = [each for each in given if each not in fields]
    if not unknown:
        return []
    names, takes = [visible(each)[:64] for each in unknown[:MOST_SHOWN]], ", ".join(fields) or "no arguments"
    more = f" and {len(unknown) - MOST_SHOWN} more" if len(unknown) > MOST_SHOWN else ""
    return [BadField(f"{tool} does not know {', '.join(names)}{more}; it takes {takes}", field=names[0])]


def _all(faults: list[PostinoError]) -> PostinoError:
    """Return one error for all of `faults`: the code of the first one if they agree, with the sentence of each."""
    first = faults[0]
    if len(faults) == 1:
        return first
    error = type(first) if len({each.code for each in faults}) == 1 else BadField
    listed = [{"field": each.detail["field"], "error": each.message} for each in faults]
    return error("; ".join(each.message for each in faults), field=first.detail["field"], faults=listed)


def _wrong(field: str, wanted: str, value: Any) -> BadField:
    return BadField(f"{field}: must be {wanted}, not {_shown(value)}", field=field)


def _shown(value: Any) -> str:
    """Return a wrong value in words, itself if it is short and plain."""
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = visible(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def schema(kind: type[Arguments]) -> Schema:
    """Return the JSON schema of a tool's arguments: exactly what `parse` takes."""
    fields = dataclasses.fields(kind)
    required = [_told(each.name) for each in fields if each.metadata["kind"].needed]
    return {
        "type": "object",
        "properties": {_told(each.name): each.metadata["schema"] for each in fields},
        **({"required": required} if required else {}),
        "additionalProperties": False,
    }
