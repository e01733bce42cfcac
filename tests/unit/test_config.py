"""Settings: every knob has a default, a range and a sentence for what is not in it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from postino.config import KNOBS, SECRET, Settings, check_exposure, load
from postino.errors import BadField
from postino.home import home_of

#: variable -> (good text, what it becomes), (bad texts)
CASES: dict[str, tuple[tuple[str, object], tuple[str, ...]]] = {
    "POSTINO_VALKEY_URL": (
        ("rediss://me:pw@host:6380/1", "rediss://me:pw@host:6380/1"),
        (
            "redis+sentinel://h1,h2",
            "redis+cluster://h/0",
            "redis+x://h",
            "unix+cluster:///x",
            "localhost:6379",
            "http://localhost",
            "redis://",
            "memcached://x",
            "redis://[::1",
        ),
    ),
    "POSTINO_WEB_HOST": (("localhost", "localhost"), ("a b", "ho\x01st", "hö")),
    "POSTINO_WEB_PORT": (("65535", 65535), ("-1", "65536", "http", "1.5", "0x10")),
    "POSTINO_WEB_ENABLED": (("No", False), ("maybe", "2", "on/off")),
    "POSTINO_API_TOKEN": (("s3cret-token", "s3cret-token"), ("with blank", "tab\t", "ümlaut")),
    "POSTINO_AGENT_NAME": (("reviewer-1", "reviewer-1"), ("all", "System", "-x", "a b", "x" * 65)),
    "POSTINO_HUMAN_NAME": (("robert.m", "robert.m"), ("human", "a b", "-x")),
    "POSTINO_MSG_TTL": (("1", 1), ("0", "-5", "31536001", "1h", "1e3")),
    "POSTINO_MESSAGE_LEASE": (("86400", 86400), ("0", "86401", "2m")),
    "POSTINO_MAX_DELIVERIES": (("1", 1), ("0", "101", "five")),
    "POSTINO_KEY_PREFIX": (("team-a:", "team-a:"), ("{x}", "a b", "x" * 65, "ü")),
    "POSTINO_MAX_INBOX": (("100000", 100_000), ("0", "100001", "many")),
    "POSTINO_MAX_BROADCASTS": (("1", 1), ("0", "100001", "")),
    "POSTINO_MAX_BODY_BYTES": (("16777216", 16_777_216), ("1023", "16777217", "1M")),
    "POSTINO_SEND_RATE": (("0", 0), ("-1", "100001", "2/s")),
    "POSTINO_PAIR_RATE": (("0", 0), ("-1", "100001", "2/s")),
    "POSTINO_TLS_CERT": (("/etc/ssl/x.pem", Path("/etc/ssl/x.pem")), ("x.pem", "./x")),
    "POSTINO_TLS_KEY": (("/etc/ssl/x.key", Path("/etc/ssl/x.key")), ("x.key",)),
    "POSTINO_BEHIND_PROXY": (("1", True), ("nginx",)),
    "POSTINO_ALLOWED_HOSTS": (
        ("Mail.example, https://x.example:8443", ("mail.example", "https://x.example:8443")),
        ("a b/c", "ftp://x", "http://", "*", "x:y", "http://x/path", "[zz]"),
    ),
    "POSTINO_PROXY_UID": (("33", 33), ("-1", "www-data")),
    "POSTINO_REPLICAS": (("Strict", "strict"), ("-1", "10", "all", "majority")),
    "POSTINO_MAX_MEMORY": (("8MB", 8 << 20), ("7mb", "1.5gb", "8388607", "-1", "1tb", "8 mb", "all")),
    "POSTINO_NOTIFY_URL": (
        (" ntfys://h/t, mailto://me:pw@h ", "ntfys://h/t, mailto://me:pw@h"),
        ("h/t", "ntfy:", "://x", "ntfy://", "1x://h", "ntfy://h/\n"),
    ),
    "POSTINO_WAKE": (("OFF", "off"), ("on", "no", "channels")),
    "POSTINO_INLINE": (("Verified", "verified"), ("on", "all")),
    "POSTINO_LOG_LEVEL": (("Debug", "debug"), ("verbose", "trace")),
    "POSTINO_LOG_FORMAT": (("json", "json"), ("text", "pretty")),
}
BAD = [(variable, text) for variable, (_, bad) in CASES.items() for text in bad if text]


def test_every_knob_is_tried_here() -> None:
    assert {knob.variable for knob in KNOBS} == {*CASES, "POSTINO_HOME"}
    assert {knob.name for knob in KNOBS} == {each.name for each in fields(Settings)}


def test_the_defaults_are_those_of_the_contract() -> None:
    settings, warnings = load({})

    assert warnings == []
    assert settings.home.root.name == ".postino"
    contract = {
        "valkey_url": None, "web_host": "127.0.0.1", "web_port": 3333, "web_enabled": True, "api_token": None,
        "agent_name": None, "msg_ttl": 86400, "message_lease": 120, "max_deliveries": 5, "key_prefix": "po:",
        "max_inbox": 1000, "max_broadcasts": 500, "max_body_bytes": 196608, "send_rate": 120, "pair_rate": 30,
        "max_memory": None, "replicas": 0, "wake": "auto", "inline": "verified",
        "log_level": "info", "log_format": None, "allowed_hosts": (), "proxy_uid": None,
        "tls_cert": None, "tls_key": None, "behind_proxy": False,
    }  # fmt: skip
    assert {name: getattr(settings, name) for name in contract} == contract


@pytest.mark.parametrize("variable", CASES)
def test_a_good_value_is_taken_and_an_empty_one_counts_as_unset(variable: str) -> None:
    text, value = CASES[variable][0]
    name = variable.removeprefix("POSTINO_").lower()
    if variable in TLS:
        assert [load(dict.fromkeys(TLS, text))[0].tls_cert, load(dict.fromkeys(TLS, ""))[0].tls_cert] == [value, None]
        return

    assert getattr(load({variable: text})[0], name) == value
    assert getattr(load({variable: ""})[0], name) == getattr(load({})[0], name)


@pytest.mark.parametrize("variable", CASES)
@pytest.mark.parametrize("form", ["${%s}", "${%s:-}", "${user_config.x}"])
def test_a_placeholder_that_was_not_expanded_counts_as_unset_and_is_warned_about(variable: str, form: str) -> None:
    text = form.replace("%s", variable)

    settings, warnings = load({variable: text})

    assert settings == load({})[0]
    assert warnings == [f"{variable} holds a placeholder that was not expanded; it counts as unset"]


@pytest.mark.parametrize(("variable", "text"), BAD)
def test_a_bad_value_stops_with_its_name_the_value_and_what_is_allowed(variable: str, text: str) -> None:
    knob = next(each for each in KNOBS if each.variable == variable)

    with pytest.raises(BadField) as refusal:
        load({variable: text})

    said = refusal.value.message
    assert said.startswith(f"{variable}=")
    assert knob.allowed in said
    assert refusal.value.detail["field"] == variable
    if knob.name in SECRET:
        assert f"={text}" not in said
    else:
        assert repr(text) in said
    assert refusal.value.exit == 2


def test_secrets_are_not_shown() -> None:
    settings, _ = load({"POSTINO_API_TOKEN": "tok-s3cret", "POSTINO_VALKEY_URL": "redis://u:pw-s3cret@h"})

    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)


def test_a_home_may_begin_with_a_tilde_and_becomes_absolute() -> None:
    assert load({"POSTINO_HOME": "~/x"})[0].home.root.is_absolute()
    assert "~" not in str(load({"POSTINO_HOME": "~/x"})[0].home.root)


@pytest.mark.parametrize("given", ["rel", "./rel", "../rel", "."])
def test_a_home_that_depends_on_the_working_directory_is_refused(given: str) -> None:
    with pytest.raises(BadField, match="it must be an absolute path") as refused:
        load({"POSTINO_HOME": given})

    assert home_of(given)[1] == refused.value.message


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("POSTINO_MSG_TLL", "POSTINO_MSG_TTL"),
        ("POSTINO_VALKEY", "POSTINO_VALKEY_URL"),
        ("POSTINO_PORT", "POSTINO_WEB_PORT"),
        ("POSTINO_XYZZY_PLUGH_QUUX", None),
    ],
)
def test_an_unknown_variable_is_warned_about_with_the_nearest_name(name: str, near: str | None) -> None:
    _, warnings = load({name: "1", "PATH": "/bin", "postino_home": "x"})

    assert len(warnings) == 1
    assert name in warnings[0]
    assert ("did you mean" in warnings[0]) == (near is not None)
    if near:
        assert f"{near}?" in warnings[0]


TOKEN, TLS = {"POSTINO_API_TOKEN": "t"}, {"POSTINO_TLS_CERT": "/c", "POSTINO_TLS_KEY": "/k"}
PROXY = {"POSTINO_BEHIND_PROXY": "1"}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org"])
@pytest.mark.parametrize(
    ("given", "named_tokens", "missing"),
    [
        ({}, False, ("POSTINO_API_TOKEN", "POSTINO_TLS_CERT")),
        (TOKEN, False, ("POSTINO_TLS_CERT",)),
        (PROXY, False, ("POSTINO_API_TOKEN",)),
        (TLS, False, ("POSTINO_API_TOKEN",)),
        ({}, True, ("POSTINO_TLS_CERT",)),
        (TOKEN | TLS, False, ()),
        (TOKEN | PROXY, False, ()),
        (TLS, True, ()),
        (PROXY, True, ()),
        ({"POSTINO_WEB_ENABLED": "false"}, False, ()),
    ],
)
def test_beyond_loopback_needs_a_token_and_tls(
    host: str, given: dict[str, str], named_tokens: bool, missing: tuple[str, ...]
) -> None:
    settings = load({"POSTINO_WEB_HOST": host} | given)[0]
    if not missing:
        return check_exposure(settings, named_tokens=named_tokens)

    with pytest.raises(BadField) as refusal:
        check_exposure(settings, named_tokens=named_tokens)

    said = refusal.value.message
    assert said.startswith(f"POSTINO_WEB_HOST={host} is reachable from other machines")
    assert tuple(each for each in ("POSTINO_API_TOKEN", "POSTINO_TLS_CERT") if each in said) == missing
    assert ("POSTINO_BEHIND_PROXY=1" in said) == ("POSTINO_TLS_CERT" in missing)
    return None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_needs_neither(host: str) -> None:
    check_exposure(load({"POSTINO_WEB_HOST": host})[0], named_tokens=False)


@pytest.mark.parametrize("one", sorted(TLS))
def test_a_certificate_without_a_key_is_refused(one: str) -> None:
    with pytest.raises(BadField, match="POSTINO_TLS_CERT and POSTINO_TLS_KEY"):
        load({one: "/x"})


def test_every_knob_says_in_words_what_it_is_for() -> None:
    for knob in KNOBS:
        assert re.fullmatch(r".{10,}[^.]", knob.help), knob.name
        assert knob.allowed


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("POSTINO_VALKEY_URL", "redis://host:99999"),
        ("POSTINO_VALKEY_URL", "redis://host:abc"),
        ("POSTINO_KEY_PREFIX", ":"),
        ("POSTINO_MSG_TTL", "1_000"),
        ("POSTINO_MSG_TTL", " 7 "),
        ("POSTINO_MSG_TTL", "٣"),
    ],
)
def test_what_only_looks_right_is_refused_too(variable: str, value: str) -> None:
    with pytest.raises(BadField) as caught:
        load({variable: value})

    assert variable in caught.value.message
