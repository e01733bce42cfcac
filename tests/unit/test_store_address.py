"""Addresses of stores: what each form means, what is refused with which sentence, and that no secret is shown."""

from __future__ import annotations

import re

import pytest

from postino.config import load
from postino.errors import BadField
from postino.home_store import HomeStore
from postino.store_address import BadAddress, parse, without_credentials


@pytest.mark.parametrize(
    ("text", "kind", "servers", "name", "node"),
    [
        ("valkey://u:p@h:1/2", "server", [("h", 1)], "", "redis://u:p@x:7/2"),
        ("valkeys://h?ssl_ca_certs=%2Fca", "server", [("h", 6379)], "", "rediss://x:7?ssl_ca_certs=%2Fca"),
        ("redis://[::1]:6380", "server", [("::1", 6380)], "", "redis://x:7"),
        ("REDIS+SENTINEL://:p%40@a,b:7,[::1]:8/mail-1", "sentinel", [("a", 26379), ("b", 7), ("::1", 8)], "mail-1",
         "redis://:p%40@x:7"),
        ("valkeys+sentinel://a/m?db=3&sentinel_password=s&sentinel_username=w", "sentinel", [("a", 26379)], "m",
         "rediss://x:7?db=3"),
        ("redis+cluster://u:p@a:1,b", "cluster", [("a", 1), ("b", 6379)], "", "redis://u:p@x:7"),
        ("rediss+cluster://a?ssl_certfile=c", "cluster", [("a", 6379)], "", "rediss://x:7?ssl_certfile=c"),
    ],
)  # fmt: skip
def test_each_form_names_servers_and_how_to_reach_a_node(
    text: str, kind: str, servers: list[tuple[str, int]], name: str, node: str
) -> None:
    found = parse(text)

    assert (found.kind, list(found.servers), found.name, found.of("x", 7)) == (kind, servers, name, node)


def test_the_sentinels_have_a_user_and_a_password_of_their_own() -> None:
    found = parse("redis+sentinel://u:p@a/m?sentinel_username=w&sentinel_password=s%2Ft")

    assert (found.sentinel_user, found.sentinel_password) == ("w", "s/t")
    assert "s%2Ft" not in found.of("x", 7)


def test_a_node_with_an_ipv6_address_is_written_in_brackets() -> None:
    assert parse("redis+cluster://a").of("::1", 7) == "redis://[::1]:7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis+sentinel://a,b", "/NAME, the name of the primary"),
        ("redis+sentinel://a/m/2", "/NAME, the name of the primary"),
        ("redis+sentinel:///m", "HOST"),
        ("redis+sentinel://a,,b/m", "HOST"),
        ("redis+cluster://a/0", "without a path"),
        ("redis+cluster://@", "HOST[:PORT]"),
        ("redis+mirror://a", "each also with +sentinel or +cluster"),
        ("unix+cluster:///x", "each also with +sentinel or +cluster"),
        ("sentinel://a/m", "it must begin with redis, rediss, valkey or valkeys"),
        ("redis://h,i", "malformed"),
        ("redis+cluster://a:0", "a port must be 1 to 65535"),
        ("redis+cluster://a,b:70000", "a port must be 1 to 65535"),
        ("redis://h?db=x", "its option db must be a number"),
        ("redis://h?protocol=3", "it holds the option protocol, which postino does not take; it takes client_name, db"),
        ("redis://h?sentinel_password=s", "it holds an option that postino does not take"),
        ("redis+cluster://h?secret=1", "it holds an option that postino does not take"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(BadAddress, match=re.escape(said)):
        parse(text)
    with pytest.raises(BadField) as refused:
        load({"POSTINO_VALKEY_URL": text})

    assert said in refused.value.message
    assert text not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "redis+sentinel://u:se/cret@a,b/m",
        "redis+sentinel://u:se,cret@a@b/m",
        "redis+sentinel://u:secret",
        "redis+sentinel://:secret@/m",
        "redis+sentinel://a/secret/m",
        "redis+sentinel://a/m?sentinel_password=x#secret",
        "redis+cluster://a,secret:x",
        "redis+cluster://u:se?cret@a",
        "valkey://:se#cret@a",
        "valkeys://user:secret",
        "redis+sentinel://u:secret@a:99999/m",
        "redis+sentinel://u:pw@a/m?secret=1",
    ],
)
def test_nothing_that_may_be_a_password_is_shown(text: str) -> None:
    with pytest.raises(BadField) as refused:
        load({"POSTINO_VALKEY_URL": text})

    shown = f"{refused.value.body()} {HomeStore(text, 'po:').address}"
    assert not any(part in shown for part in ("secret", "cret@", "u:se", ":se#"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis+sentinel://u:secret@a:1,b/m?sentinel_password=secret", "redis+sentinel://a:1,b/m"),
        ("VALKEYS+CLUSTER://:secret@[::1]:1,b", "valkeys+cluster://[::1]:1,b"),
        ("valkey://:secret@h/3", "valkey://h/3"),
    ],
)
def test_a_good_address_is_shown_without_its_secrets(text: str, shown: str) -> None:
    parse(text)

    assert without_credentials(text) == shown


def test_valkey_and_redis_are_one_address() -> None:
    assert HomeStore("valkey://u:p@h/1", "po:").same_address(HomeStore("redis://h/1", "po:"))
    assert not HomeStore("valkey://h", "po:").same_address(HomeStore("redis+cluster://h", "po:"))
