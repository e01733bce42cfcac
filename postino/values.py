"""What a name, an id and a text may be: limits, and the checks that enforce them."""

from __future__ import annotations

from postino.errors import BadField, BadName, NameReserved
from postino.light import pattern

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ID_PATTERN = r"[A-Za-z0-9._:-]{1,128}"
EVENT_ID = "^[0-9]{1,15}(-[0-9]{1,19}([eh][0-9]{1,15}-[0-9]{1,19})?)?$"  # as in Last-Event-ID
RESERVED = frozenset({"all", "human", "system", "postino"})
HUMAN = "human"  # the mailbox of all people: reserved as the name of a sender only
SYSTEM = "system"
ANONYMOUS = "anonymous"
LEAST_MEMORY = 8 << 20  # bytes that a server is allowed at least; an empty one takes 2 MB
MAX_BODY = 32_768  # characters
MAX_RECIPIENTS = 50  # names in one list of recipients
MAX_MEMBERS = 200  # of a group
MAX_GROUPS = 64  # of one agent
MAX_TITLE = 120  # characters of a thread
MAX_IDS = 200  # ids in one ack, nack, extend or requeue: as many as one read returns
MAX_PAGE = 200
MOST_RIGHT = 2048  # names that are known to be right
MAX_CHOICES = 5
MAX_CHOICE = 40  # characters
DEFAULT_PAGE = 50
ESCAPE = "\x1b"
COLOURS = ": it begins a colour or another terminal sequence, which `postino send --strip-ansi` takes out"


def _any_case(names: frozenset[str]) -> str:
    return "|".join("".join(f"[{each}{each.upper()}]" for each in name) for name in sorted(names))


_OWN = f"(?!(?:{_any_case(RESERVED)})$)"
_NAMED = f"(?!(?:{_any_case(RESERVED - {HUMAN})})$)"
OWN_NAME = f"^{_OWN}{NAME_PATTERN}$"
ADDRESSEE = f"^{_NAMED}{NAME_PATTERN}$"  # an agent, a person, or all people
GROUP = f"^#?{_OWN}{NAME_PATTERN}$"
RECIPIENT = f"^(?:{_NAMED}|#{_OWN}){NAME_PATTERN}$"  # an addressee, or `#` and a group
# C0 except \t \n \r, DEL and C1, bidi overrides and isolates, tag characters, lone surrogates
_REFUSED_CHARACTERS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f"
TEXT_PATTERN = f"^[^{_REFUSED_CHARACTERS}]+$"  # for a schema, whose texts have no lone surrogates
# also without \t \n \r, and without blanks at its ends: such titles would look alike
_TITLE_CHARACTERS = "[^\x00-\x1f" + _REFUSED_CHARACTERS[_REFUSED_CHARACTERS.index("\x7f") :] + "]"
TITLE_PATTERN = rf"(?!\s|.*\s$){_TITLE_CHARACTERS}{{1,{MAX_TITLE}}}"
CHOICE_PATTERN = rf"(?!\s|.*\s$){_TITLE_CHARACTERS}{{1,{MAX_CHOICE}}}"

_REFUSED = f"[{_REFUSED_CHARACTERS}\ud800-\udfff]"


def check_text(value: str, field: str, *, longest: int = MAX_BODY) -> str:
    """Return `value`, or raise BadField if it is empty, too long or has a character that is not allowed."""
    if not value:
        raise BadField(f"{field} must not be empty", field=field)
    if len(value) > longest:
        raise BadField(f"{field} has {len(value)} characters; at most {longest} are allowed", field=field)
    found = None if _is_plain(value) else pattern(_REFUSED).search(value)
    if found:
        raise BadField(
            f"{field} contains U+{ord(found.group()):04X} at position {found.start()}, which is not allowed; remove it"
            f"{COLOURS if found.group() == ESCAPE else ''}",
            field=field,
            position=found.start(),
        )
    return value


def check_title(value: str, field: str = "thread", *, longest: int = MAX_TITLE) -> str:
    """Return `value`, or raise BadField if it cannot be the title of a thread: one line of text."""
    check_text(value, field, longest=longest)
    at = next((at for at, each in enumerate(value) if each in "\t\n\r"), None)
    if at is not None:
        raise BadField(f"{field} must be one line; it has a tab or line break at position {at}", field=field)
    if value != value.strip():
        raise BadField(f"{field} must not begin or end with a blank", field=field)
    return value


def check_thread(value: str, field: str = "thread") -> str:
    """Return `value`, or raise BadField if no thread can have this title: earlier ones were ids, up to 128 long."""
    return value if pattern(ID_PATTERN).fullmatch(value) else check_title(value, field)


_right_names: set[str] = set()  # seen lately: the same ones come again and again


def check_name(value: str, field: str = "name") -> str:
    """Return `value`, or raise BadName if it cannot name an agent."""
    if value in _right_names:
        return value
    check_any_name(value, field)
    if value.lower() in RESERVED:
        raise NameReserved(
            f"{field}: {value!r} is a reserved name (all, human, system, postino); choose another", field=field
        )
    if len(_right_names) >= MOST_RIGHT:
        _right_names.clear()
    _right_names.add(value)
    return value


def check_recipient(value: str, field: str = "to") -> str:
    """Return the name that `value` addresses, or raise BadName. `human` is the mailbox of all people."""
    if value in _right_names:
        return value
    if "," in value:
        raise BadName(f'{field}: several agents are a list, as in ["ada", "bob"], not a text with commas', field=field)
    return HUMAN if value.lower() == HUMAN else check_name(value, field)


def check_choices(values: list[str], field: str = "choices") -> list[str]:
    """Return `values`, or raise BadField if they cannot be shown as buttons."""
    if not 1 <= len(values) <= MAX_CHOICES:
        raise BadField(f"{field}: there must be 1 to {MAX_CHOICES} of them, not {len(values)}", field=field)
    for at, each in enumerate(values):
        check_title(each, f"{field}[{at}]", longest=MAX_CHOICE)
    if len(set(values)) < len(values):
        raise BadField(f"{field}: two of them are the same", field=field)
    return values


def check_group(value: str, field: str = "group") -> str:
    """Return the name of a group without its `#`, or raise BadName if it cannot name one."""
    return check_name(value.removeprefix("#"), field)


def check_recipients(value: str | list[str]) -> None:
    """Raise BadName or BadField unless `value` is an agent's name, `#` and a group's, or a list of 1 to 50 agents."""
    if isinstance(value, str):
        check_name(value.removeprefix("#"), "to")
        return
    if not 1 <= len(value) <= MAX_RECIPIENTS:
        raise BadField(
            f"to has {len(value)} names; a list has 1 to {MAX_RECIPIENTS}: more agents are reached as a group "
            f"(#name, up to {MAX_MEMBERS} members)",
            field="to",
        )
    for at, each in enumerate(value):
        if each.startswith("#"):
            raise BadName(f"to[{at}]: {visible(each)} is a group; a group cannot be in a list", field="to")
        check_recipient(each, f"to[{at}]")
    twice = next((each for at, each in enumerate(value) if each.lower() in map(str.lower, value[:at])), None)
    if twice is not None:
        raise BadField(f"to names {twice} twice", field="to")


def check_any_name(value: str, field: str) -> str:
    """Return `value`, or raise BadName if it is not a name. Reserved names pass: `system` sends notices."""
    rest = value.replace("-", "0").replace(".", "0").replace("_", "0")
    if not (value.isascii() and rest.isalnum() and value[0].isalnum() and len(value) <= 64):  # NAME_PATTERN, without re
        given = f"not {visible(repr(value))}" if len(value) <= 64 else f"it has {len(value)} characters"
        raise BadName(
            f"{field} must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit; {given}", field=field
        )
    return value


def check_id(value: str, field: str = "id") -> str:
    """Return `value`, or raise BadField if it cannot identify a message."""
    if not pattern(ID_PATTERN).fullmatch(value):
        raise BadField(f"{field} must be 1 to 128 of A-Z a-z 0-9 . _ : -", field=field)
    return value


_PLAIN = b"\t\n\r" + bytes(range(0x20, 0x7F))  # allowed, and no part of another character in UTF-8


def _is_plain(text: str) -> bool:
    """Return whether a text certainly has no refused character: true for most, and found many times faster."""
    rest = text.encode(errors="surrogatepass").translate(None, _PLAIN)
    return rest.decode(errors="surrogatepass").isprintable()


def visible(text: str) -> str:
    """Return `text` with every control character escaped, for terminals, hooks and logs."""
    if _is_plain(text):
        return text
    return pattern(_REFUSED).sub(lambda found: f"\\u{{{ord(found.group()):x}}}", text)


def count(number: int, noun: str) -> str:
    """Return `1 message` or `2 messages`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
