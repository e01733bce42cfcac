"""`postino open`: the page's address, with a sign-in code where a token is wanted."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Any

from postino.rest import signin_codes

TOKEN = "a-token-of-this-test"


def post(url: str, body: dict[str, str], **headers: str) -> tuple[int, Any]:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def test_without_a_token_the_code_only_tells_who_you_are(bare) -> None:
    shown = bare.ok("open", "--print", POSTINO_HUMAN_NAME="robert")
    assert re.fullmatch(r"http://localhost:\d+/#code=[\w-]{32}\n", shown)
    url, _, code = shown.strip().partition("#code=")

    status, answer = post(f"{url}api/signin", {"code": code})

    assert (status, answer["token"], answer["person"]) == (200, None, "robert")
    sent = post(
        f"{url}api/messages",
        {"to": "bob", "body": "x"},
        **{"X-Postino-Via": "web", "X-Postino-Person": answer["proof"]},
    )[1]
    found = bare.json("history", "--search", sent["id"])["items"][0]
    assert (found["from"], found["verified"]) == ("robert", True)


def test_where_there_is_no_screen_the_address_is_printed(bare) -> None:
    done = bare.json("open", DISPLAY="", WAYLAND_DISPLAY="", BROWSER="")
    assert done["opened"] is False


def test_a_browser_gets_the_code_and_the_terminal_does_not(bare, tmp_path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/address\n')
    browser.chmod(0o755)

    bare.serve(POSTINO_API_TOKEN=TOKEN)
    shown = bare.ok("open", POSTINO_API_TOKEN=TOKEN, BROWSER=f"{browser} %s")

    assert re.fullmatch(r"opened http://localhost:\d+/\n", shown)
    assert re.fullmatch(r"http://localhost:\d+/#code=[\w-]{32}", (tmp_path / "address").read_text())


def test_a_code_is_changed_into_the_token_once(bare) -> None:
    bare.serve(POSTINO_API_TOKEN=TOKEN)
    url, _, code = bare.json("open", "--print", POSTINO_API_TOKEN=TOKEN)["url"].partition("#code=")

    status, answer = post(f"{url}api/signin", {"code": code})
    assert (status, answer["token"]) == (200, TOKEN)
    status, refusal = post(f"{url}api/signin", {"code": code})
    assert (status, refusal["code"]) == (403, "code_spent")


def test_a_code_is_made_for_the_unix_socket_alone(bare) -> None:
    bare.serve(POSTINO_API_TOKEN=TOKEN)
    url = bare.json("open", "--print", POSTINO_API_TOKEN=TOKEN)["url"].partition("#")[0]

    assert post(f"{url}api/signin/code", {})[0] == 401
    status, refusal = post(f"{url}api/signin/code", {}, Authorization=f"Bearer {TOKEN}")
    assert (status, refusal["code"]) == (403, "forbidden")


def test_a_code_that_nobody_made_is_none(postino) -> None:
    url = postino.json("open", "--print")["url"].partition("#")[0]

    for code in ("", "x", "ä" * 40):
        assert post(f"{url}api/signin", {"code": code})[0] == 403


def test_without_tcp_there_is_no_page(bare) -> None:
    assert "POSTINO_WEB_ENABLED" in bare.no(4, "open", POSTINO_WEB_ENABLED="false")


def test_a_code_ends_by_time_and_the_oldest_by_number(monkeypatch) -> None:
    kept = signin_codes.SignInCodes()
    first, *others = [kept.make("robert") for _ in range(signin_codes.MOST + 1)]
    assert kept.spend(first) == (False, None)
    assert all(kept.spend(each) == (True, "robert") for each in others)

    monkeypatch.setattr(signin_codes, "CODE_S", 0)
    assert not kept.spend(kept.make(None))[0]
