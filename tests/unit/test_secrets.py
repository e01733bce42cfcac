"""Secrets: given in a file too, and never shown, however malformed the address that holds one is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from postino.config import KNOBS, SECRET, Settings, comparable, in_effect, load
from postino.errors import BadField
from postino.home_store import HomeStore
from postino.store_address import MALFORMED, without_credentials
from tests.attacks import attacked

#: each holds the password `se?cret` or a part of it, with a separator that is not encoded, or is malformed otherwise
MALFORMED_ADDRESSES = [
    "redis://:12secret/aBc=@host:6379/0",
    "redis://:12345/secret=@host:6379/0",
    "redis://user:12345/secret@host",
    "redis://user:12345/secret",
    "redis://:12345?secret@host:6379/0",
    "redis://user:12345?secret=1",
    "redis://:12345#secret@host:6379/0",
    "redis://user:12345#secret",
    "redis://user:secret",
    "redis://:secret",
    "redis://:se@secret@host:6379",
    "redis://:se/cr@secret@host:6379",
    "redis://:secret@",
    "redis://:secret@:6379",
    "redis://:secret@/0",
    "redis://:secret@host:port",
    "redis://:secret@host:99999",
    "redis://:[secret@host",
    "redis://:secret@ho st",
    "redis:secret@host",
    "redis:/:secret@host",
    "valkeyx://:secret@host",
    ":secret@host:6379",
    "unix://:12345/secret@/tmp/x.sock",
    "unix://secret",
    "unix://:secret@",
    "redis://host/0?password=x@secret",
    "redis://host/0?pass=secret",
    "redis://host/0?db=secret",
    "redis://host/secret",
]


@pytest.mark.parametrize("url", MALFORMED_ADDRESSES)
def test_nothing_of_a_malformed_address_is_shown(url: str) -> None:
    with pytest.raises(BadField) as refused:
        load({"POSTINO_VALKEY_URL": url})

    assert "secret" not in str(refused.value.body())
    assert "%40" in refused.value.message  # says how to write the character
    if without_credentials(url) != MALFORMED:  # the rest of it is a server
        assert "secret" not in without_credentials(url)
    remembered = HomeStore(url, "po:")
    assert "secret" not in remembered.address
    settings = load({"POSTINO_HOME": "/tmp/x"})[0]
    with pytest.raises(BadField, match=r"store\.json is malformed") as refused:
        in_effect(settings, remembered)
    assert "secret" not in str(refused.value.body())


def test_as_many_malformed_addresses_are_tried_as_security_md_says() -> None:
    attacked(
        "Addresses of a store that are malformed so that the password looks like another part", len(MALFORMED_ADDRESSES)
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:12345%2FaBc=%40@host:6379/0", "redis://host:6379/0"),
        ("REDISS://me:secret@[::1]:6380/1?ssl_ca_certs=%2Ftmp%2Fx", "rediss://[::1]:6380/1"),
        ("redis://host?password=secret&username=me&db=3", "redis://host"),
        ("unix://me:secret@/tmp/x%40.sock?db=1", "unix:///tmp/x%40.sock"),
    ],
)
def test_of_a_good_address_all_but_the_credentials_is_shown(url: str, shown: str) -> None:
    settings = load({"POSTINO_VALKEY_URL": url})[0]

    assert without_credentials(url) == comparable(settings)["POSTINO_VALKEY_URL"] == shown
    assert "secret" not in repr(settings)


SECRETS = {"api_token": "t0ken", "valkey_url": "redis://:pw@host", "notify_url": "ntfy://pw@host/topic"}


@pytest.mark.parametrize("name", sorted(SECRET))
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_secret_may_stand_in_a_file(name: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRETS[name] + end)

    settings, warnings = load({f"POSTINO_{name.upper()}_FILE": str(file)})

    assert getattr(settings, name) == SECRETS[name]
    assert warnings == []


def test_only_a_secret_may_stand_in_a_file(tmp_path: Path) -> None:
    assert [knob.variables[1] for knob in KNOBS if len(knob.variables) > 1] == [
        "POSTINO_VALKEY_URL_FILE",
        "POSTINO_API_TOKEN_FILE",
        "POSTINO_NOTIFY_URL_FILE",
    ]
    assert load({"POSTINO_WEB_PORT_FILE": str(tmp_path)})[1]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("absent", "No such file or directory"),
        ("folder", "it is not a regular file"),
        ("pipe", "it is not a regular file"),
        ("long", "it has more than 65536 bytes"),
        ("bytes", "it is not UTF-8"),
        ("relative", "the path is not absolute"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(given: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * 65_537)
    (tmp_path / "bytes").write_bytes(b"\xff")
    path = "secret" if given == "relative" else str(tmp_path / given)

    with pytest.raises(BadField) as refused:
        load({"POSTINO_API_TOKEN_FILE": path})

    assert refused.value.message == f"POSTINO_API_TOKEN_FILE={path} cannot be read: {reason}"
    assert refused.value.exit == 2


def test_the_content_of_a_file_is_checked_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for content in ("", "\n", "two words", "a\nb"):
        file.write_text(content)
        with pytest.raises(BadField) as refused:
            load({"POSTINO_API_TOKEN_FILE": str(file)})
        assert refused.value.message.startswith("POSTINO_API_TOKEN_FILE: its content (hidden) is not allowed")


def test_a_secret_that_is_given_twice_is_refused_with_both_names(tmp_path: Path) -> None:
    with pytest.raises(BadField, match="POSTINO_API_TOKEN and POSTINO_API_TOKEN_FILE are both set"):
        load({"POSTINO_API_TOKEN": "x", "POSTINO_API_TOKEN_FILE": str(tmp_path)})
    assert isinstance(load({"POSTINO_API_TOKEN": "x", "POSTINO_API_TOKEN_FILE": ""})[0], Settings)
