"""Every setting: name, variable, default, unit, range and help. No other module parses the environment."""

from __future__ import annotations

from postino import private_files
from postino.errors import BadField, BadName
from postino.home import placeholders
from postino.home_store import DEFAULT_PREFIX, SWITCH, HomeStore
from postino.light import dataclass, replace
from postino.paths import Home
from postino.setting_values import (
    choice,
    file_path,
    flag,
    home_path,
    host_names,
    key_prefix,
    memory_size,
    notify_url,
    replicas,
    store_url,
    whole_number,
    word,
)
from postino.store_address import BadAddress, without_credentials
from postino.values import check_name

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any, Literal

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one process, made once at its start."""

    home: Home
    valkey_url: str | None = None
    web_host: str = "127.0.0.1"
    web_port: int = 3333
    web_enabled: bool = True
    api_token: str | None = None
    agent_name: str | None = None
    human_name: str | None = None
    msg_ttl: int = 86_400
    message_lease: int = 120
    max_deliveries: int = 5
    key_prefix: str = DEFAULT_PREFIX
    max_inbox: int = 1000
    max_broadcasts: int = 500
    max_body_bytes: int = 196_608
    send_rate: int = 120
    pair_rate: int = 30
    max_memory: int | None = None
    replicas: int | Literal["strict"] = 0
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_proxy: bool = False
    allowed_hosts: tuple[str, ...] = ()
    proxy_uid: int | None = None
    notify_url: str | None = None
    wake: str = "auto"
    inline: str = "verified"
    log_level: str = "info"
    log_format: str | None = None

    def __repr__(self) -> str:
        shown = [name for name in self.__slots__ if name not in SECRET]
        return f"Settings({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


SECRET = frozenset({"api_token", "valkey_url", "notify_url"})

#: not part of `comparable`: the home is how a daemon is found, and the agent name belongs to the process that starts it
NOT_COMPARED = frozenset({"home", "agent_name"})


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as it stands in the environment, docs/settings.md and the error messages."""

    name: str
    allowed: str
    help: str
    parse: Callable[[str], Any]

    @property
    def variable(self) -> str:
        """The environment variable."""
        return f"POSTINO_{self.name.upper()}"

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that give it: of a secret also the one that names a file."""
        return (self.variable, f"{self.variable}_FILE") if self.name in SECRET else (self.variable,)


AGENT_NAME = "1 to 64 of A-Z a-z 0-9 . _ -, the first a letter or digit, and not all, human, system or postino"
KNOBS: tuple[Knob, ...] = (
    Knob(
        "valkey_url",
        "redis://, rediss:// (or valkey…), redis+sentinel://…/NAME, redis+cluster:// or unix://; "
        "in a password write / ? # @ as %2F %3F %23 %40",
        "Your own server; unset: the embedded server",
        store_url,
    ),
    Knob(
        "home",
        "an absolute path, also one that begins with ~/; at most about 90 characters",
        "Directory of the socket, lock, log and data",
        home_path,
    ),
    Knob(
        "web_host",
        "an address",
        "Address of the TCP listener; other than loopback only with a token, and TLS or a proxy that provides it",
        word,
    ),
    Knob(
        "web_port",
        "0 to 65535",
        "TCP port; if it is taken, the next free one, which `up` and `status` print; 0: any",
        whole_number(0, 65535),
    ),
    Knob("web_enabled", "true or false", "false: no TCP, only the unix socket", flag),
    Knob(
        "api_token",
        "printable ASCII without blanks",
        "Bearer token of every TCP request; a named token is accepted too",
        word,
    ),
    Knob("agent_name", AGENT_NAME, "Name of this session, instead of a derived one", check_name),
    Knob("human_name", AGENT_NAME, "Name of the person whose daemon this is; unset: the login name", check_name),
    Knob(
        "msg_ttl",
        "1 to 31536000 s",
        "How long unread messages and the history are kept",
        whole_number(1, 31_536_000),
    ),
    Knob(
        "message_lease",
        "1 to 86400 s",
        "How long a reader holds a message that it has read",
        whole_number(1, 86_400),
    ),
    Knob(
        "max_deliveries",
        "1 to 100",
        "Deliveries without acknowledgement before a message becomes a dead letter",
        whole_number(1, 100),
    ),
    Knob("key_prefix", "1 to 64 of A-Z a-z 0-9 : . _ -", "Hash tag of every key", key_prefix),
    Knob("max_inbox", "1 to 100000", "Unacknowledged messages that one inbox holds", whole_number(1, 100_000)),
    Knob("max_broadcasts", "1 to 100000", "Broadcasts that are kept", whole_number(1, 100_000)),
    Knob("max_body_bytes", "1024 to 16777216 bytes", "Largest request", whole_number(1024, 16_777_216)),
    Knob(
        "send_rate",
        "0 to 100000 per minute",
        "Messages and broadcasts of one verified sender; 0: no limit",
        whole_number(0, 100_000),
    ),
    Knob(
        "pair_rate",
        "0 to 100000 per minute",
        "Answers that two to five agents give each other by turns; a person's message to one of them starts again; "
        "0: no limit",
        whole_number(0, 100_000),
    ),
    Knob(
        "tls_cert",
        "an absolute path",
        "PEM file of the certificate chain; the TCP listener then speaks HTTPS only",
        file_path,
    ),
    Knob("tls_key", "an absolute path", "PEM file of the certificate's key, without a password", file_path),
    Knob(
        "behind_proxy",
        "true or false",
        "true: a reverse proxy provides TLS; every TCP request then needs a token",
        flag,
    ),
    Knob(
        "allowed_hosts",
        "hosts, host:port pairs or origins such as https://mail.example, separated by commas",
        "Further names by which a proxy, container or tunnel reaches the daemon",
        host_names,
    ),
    Knob(
        "proxy_uid",
        "a user id",
        "User of a reverse proxy on this machine, admitted with the token only",
        whole_number(0, 4_294_967_294),
    ),
    Knob(
        "max_memory",
        "bytes, or a number with kb, mb or gb; at least 8mb",
        "Memory of the embedded server; unset: a quarter of the machine's, or of the cgroup's limit",
        memory_size,
    ),
    Knob(
        "replicas",
        "0 to 9, or strict",
        "Replicas that must have a message on disk before it is accepted; strict: every one that may be promoted",
        replicas,
    ),
    Knob(
        "notify_url",
        "addresses of Apprise such as ntfys://host/topic or mailto://…, separated by commas",
        "Where people are notified while no page is open; needs the extra `notify`",
        notify_url,
    ),
    Knob(
        "wake",
        "auto, channel or off",
        "How an idle session is woken",
        choice("auto", "channel", "off"),
    ),
    Knob(
        "inline",
        "verified or off",
        "Whether the line that wakes a session holds short messages of verified senders",
        choice("verified", "off"),
    ),
    Knob(
        "log_level",
        "debug, info, warning or error",
        "Least level that is logged",
        choice("debug", "info", "warning", "error"),
    ),
    Knob(
        "log_format",
        "console or json",
        "Unset: console on a terminal, otherwise json",
        choice("console", "json"),
    ),
)


FLAGS = frozenset(knob.variable for knob in KNOBS if knob.parse is flag)

#: defaults that are parsed like a value: `~` may not resolve
DEFAULTS = {"home": "~/.postino"}


def in_effect(settings: Settings, remembered: HomeStore | None) -> Settings:
    """Return the settings of a daemon: where no store is configured, with the one that its home remembers.

    Raises:
        BadField: its address is malformed.
    """
    if remembered is None or settings.valkey_url is not None:
        return settings
    try:
        store_url(remembered.url or "unix:///embedded")
    except ValueError:
        raise BadField(
            f"the address of the store in {settings.home.store} is malformed; set POSTINO_VALKEY_URL and run {SWITCH}",
            field="POSTINO_HOME",
        ) from None
    prefix = remembered.prefix if settings.key_prefix == DEFAULT_PREFIX else settings.key_prefix
    return replace(settings, valkey_url=remembered.url, key_prefix=prefix)


def check_replicas(settings: Settings) -> None:
    """Refuse to wait for replicas of the embedded server, which has none: nothing would ever be accepted.

    Raises:
        BadField: they are waited for.
    """
    if settings.valkey_url is None and settings.replicas not in (0, "strict"):
        raise BadField(
            f"POSTINO_REPLICAS: {settings.replicas}, but the embedded Valkey has no replicas: set POSTINO_VALKEY_URL, "
            "or unset it",
            field="POSTINO_REPLICAS",
        )


def comparable(settings: Settings) -> dict[str, str]:
    """Return a daemon's settings by variable, as text to compare; of a secret only what is none."""
    values = {knob: getattr(settings, knob.name) for knob in KNOBS if knob.name not in NOT_COMPARED}
    shown = {
        knob.variable: "" if value in (None, ()) else "(set)" if knob.name in SECRET else str(value)
        for knob, value in values.items()
    }
    if settings.valkey_url is not None:
        shown["POSTINO_VALKEY_URL"] = without_credentials(settings.valkey_url)
    return shown


def load(environ: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Return the settings in `environ`, and a warning for each unknown or unexpanded POSTINO_* variable.

    An empty variable counts as unset, and so does one that still holds a placeholder.

    Raises:
        BadField: a value is not allowed; names the variable, the value unless secret, and what is allowed.
    """
    values: dict[str, Any] = {}
    unexpanded = placeholders(environ)
    environ = {name: value for name, value in environ.items() if name not in unexpanded}
    for knob in KNOBS:
        text = environ.get(knob.variable, "") or DEFAULTS.get(knob.name, "")
        file = "".join(environ.get(variable, "") for variable in knob.variables[1:])
        if file:
            values[knob.name] = _parse(knob, _secret(knob, text, file), f"{knob.variables[1]}: its content (hidden)")
        elif text:
            values[knob.name] = _parse(knob, text)
    settings = Settings(**values)
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise BadField(
            "POSTINO_TLS_CERT and POSTINO_TLS_KEY belong together; set both or neither", field="POSTINO_TLS_CERT"
        )
    warnings = [f"{name} holds a placeholder that was not expanded; it counts as unset" for name in unexpanded]
    return settings, [*warnings, *_unknown(environ)]


def check_exposure(settings: Settings, *, named_tokens: bool) -> None:
    """Raise BadField if a daemon would be reachable from other machines without a token or without TLS.

    `named_tokens`: there is a valid one.
    """
    if not settings.web_enabled or settings.web_host in LOOPBACK:
        return
    missing = []
    if not (settings.api_token or named_tokens):
        missing.append("a token (POSTINO_API_TOKEN, or `postino token create` while POSTINO_WEB_HOST is unset)")
    if not (settings.tls_cert or settings.behind_proxy):
        missing.append("TLS (POSTINO_TLS_CERT and POSTINO_TLS_KEY, or POSTINO_BEHIND_PROXY=1 if a proxy provides it)")
    if missing:
        raise BadField(
            f"POSTINO_WEB_HOST={settings.web_host} is reachable from other machines, which needs "
            f"{' and '.join(missing)}; or use 127.0.0.1",
            field="POSTINO_WEB_HOST",
        )


def _secret(knob: Knob, text: str, file: str) -> str:
    """Return the content of a secret's file without the newline at its end.

    Raises:
        BadField: the variable itself is set too, or the file cannot be read.
    """
    from pathlib import Path

    variable = knob.variables[1]
    if text:
        raise BadField(f"{knob.variable} and {variable} are both set; set one of them", field=variable)
    try:
        content = private_files.read_secret(Path(file)).decode()
    except UnicodeDecodeError:
        raise BadField(f"{variable}={file} cannot be read: it is not UTF-8", field=variable) from None
    except OSError as error:
        raise BadField(f"{variable}={file} cannot be read: {error.strerror}", field=variable) from None
    return content.removesuffix("\n").removesuffix("\r")


def _parse(knob: Knob, text: str, shown: str | None = None) -> Any:
    try:
        return knob.parse(text)
    except (ValueError, KeyError, RuntimeError, BadName) as error:  # RuntimeError: `~` of an unknown user
        shown = shown or f"{knob.variable}={'(hidden)' if knob.name in SECRET else repr(text)}"
        reason = f": {error}" if isinstance(error, BadAddress) else ""
        raise BadField(f"{shown} is not allowed{reason}; it must be {knob.allowed}", field=knob.variable) from None


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = [variable for knob in KNOBS for variable in knob.variables]
    warnings = []
    for name in sorted(environ):
        if name.startswith("POSTINO_") and name not in known:
            import difflib

            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            warnings.append(f"{name} is not a setting of postino{hint}")
    return warnings
