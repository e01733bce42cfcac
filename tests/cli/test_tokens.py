"""The command token, with which CI gets a name of its own."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest


def call(home: Any, token: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """Call the daemon of a home over TCP with a token, as CI does."""
    parts = urlsplit(json.loads((home / "daemon.json").read_text())["url"])
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(method, f"/api/{path}", json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read())
    connection.close()
    return found


def test_a_token_is_printed_once_sends_as_its_name_is_listed_and_revoked(postino) -> None:
    token = postino.ok("token", "create", "tok-ci", "--role", "publish", "--ttl", "30d").rstrip("\n")
    other = postino.json("token", "create", "tok-ci", "--role", "agent")

    assert token.startswith("po_")
    status, answer = call(postino.home, token, "POST", "messages", {"to": "tok-bob", "body": "green"})
    assert (status, answer["ok"]) == (200, True)
    assert call(postino.home, token, "GET", "messages/tok-bob")[0] == 403
    assert "tok-ci  just now" in postino.ok("read", "tok-bob")

    listed = [each for each in postino.json("token", "list")["items"] if each["name"] == "tok-ci"]
    assert [(each["role"], each["expires"] is None, each["expired"]) for each in listed] in (
        [("publish", False, False), ("agent", True, False)],
        [("agent", True, False), ("publish", False, False)],  # both were made in the same second
    )
    assert {each["last_used"] is None for each in listed} == {True, False}
    text = postino.ok("token", "list")
    for secret in (token, other["token"]):
        assert secret.split("_", 2)[2] not in text + json.dumps(listed)
    assert "not since postino started" in text

    # rotation: the new one works before the old one is revoked by its id
    assert postino.ok("token", "revoke", "tok-ci", token.split("_")[1]) == "revoked 1 token of tok-ci\n"
    assert call(postino.home, token, "GET", "whoami")[0] == 401
    assert call(postino.home, other["token"], "GET", "whoami")[0] == 200
    assert postino.ok("token", "revoke", "tok-ci") == "revoked 1 token of tok-ci\n"
    assert call(postino.home, other["token"], "GET", "whoami")[0] == 401
    log = (postino.home / "daemon.log").read_text()
    assert log.count("token_created") >= 2
    assert token.split("_", 2)[2] not in log + (postino.home / "tokens.json").read_text()
    assert "no token of tok-ci" in postino.no(3, "token", "revoke", "tok-ci")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["create", "tok-x"], "--role publish"),
        (["create"], "name missing"),
        (["create", "all", "--role", "agent"], "reserved name"),
        (["create", "System", "--role", "admin"], "reserved name"),
        (["create", "postino", "--role", "publish"], "reserved name"),
        (["create", "a b", "--role", "agent"], "name"),
        (["create", "tok-x", "--role", "root"], "invalid choice"),
        (["create", "tok-x", "--role", "agent", "--ttl", "0d"], "such as 12h or 30d"),
        (["create", "tok-x", "--role", "agent", "--ttl", "30"], "such as 12h or 30d"),
        (["create", "tok-x", "--role", "agent", "--ttl", "11000d"], "at most ten years"),
        (["list", "tok-x"], "lists all"),
        (["revoke"], "name missing"),
        (["revoke", "tok-x", "--role", "agent"], "for `postino token create`"),
        (["remove"], "invalid choice"),
    ],
)
def test_a_mistake_is_exit_2_and_makes_no_token(postino, argv: list[str], said: str) -> None:
    assert said in postino.no(2, "token", *argv)
    assert [each for each in postino.json("token", "list")["items"] if each["name"] == "tok-x"] == []
