"""Who may call: web pages of other origins, other users and strangers without the token get nothing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from postino.broker.limited_log import LimitedLog
from postino.config import load
from postino.rest import app
from postino.rest.routes import ROUTES
from tests.waiting import PATIENCE_S

TOKEN = "correct-horse-battery-staple"

OURS = ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"]
FOREIGN = [
    "evil.example",
    "evil.example:{port}",
    "localhost",
    "127.0.0.1",
    "[::1]",
    "localhost:1",
    "localhost:{port}0",
    "localhost:{port}.",
    "localhost.:{port}",
    "localhost.evil.com:{port}",
    "evil.localhost:{port}",
    "127.0.0.1.nip.io:{port}",
    "127.0.0.1.:{port}",
    "0.0.0.0:{port}",
    "0:{port}",
    "127.1:{port}",
    "127.0.0.2:{port}",
    "2130706433:{port}",
    "0x7f000001:{port}",
    "0177.0.0.1:{port}",
    "[::]:{port}",
    "[::ffff:127.0.0.1]:{port}",
    "::1:{port}",
    "[0:0:0:0:0:0:0:1]:{port}",
    "localhost:{port}@evil.example",
    "evil.example@localhost:{port}",
    "localhost:{port}/",
    "localhost:{port}#",
    "localhost:{port},evil.example",
    "localhost :{port}",
    "localhost:+{port}",
    "localhost:0{port}",
    "postino",
    "postino:{port}",
    "host.docker.internal:{port}",
    "192.168.1.1:{port}",
    "10.0.0.1:{port}",
    "xn--localhost:{port}",
    "%6cocalhost:{port}",
    "*:{port}",
]
BAD_ORIGINS = [
    "null",
    "http://evil.example",
    "https://evil.example",
    "http://localhost",
    "http://localhost:3000",
    "https://localhost:{port}",
    "https://127.0.0.1:{port}",
    "http://localhost:{port}/",
    "http://localhost:{port}.evil.example",
    "http://evil.localhost:{port}",
    "http://0.0.0.0:{port}",
    "http://localhost:{port} http://evil.example",
    "file://",
    "chrome-extension://abcdefghijklmnop",
    "moz-extension://1234",
    "vscode-webview://x",
    "http://[::]:{port}",
    "",
    "localhost:{port}",
]


async def unchanged(api: Any) -> bool:
    return bool((await api.get("agents")).json["total"] == 0)


@pytest.mark.parametrize("host", OURS)
async def test_our_own_hosts_are_let_in(api: Any, host: str) -> None:
    assert (await api.get("health", headers={"Host": host.format(port=api.port)})).status == 200


async def test_a_foreign_host_gets_nothing_and_changes_nothing(api: Any) -> None:
    for host in FOREIGN:
        answers = [
            await api.post("messages", {"to": "bob", "body": "x"}, headers={"Host": host.format(port=api.port)}),
            await api.get("agents", headers={"Host": host.format(port=api.port)}),
            await api.get("/", headers={"Host": host.format(port=api.port)}),
        ]
        for answer in answers:
            # what is no Host at all does not get past the HTTP parser
            assert answer.status in (421, 400), (host, answer.text)
            assert answer.status == 400 or answer.json["code"] == "bad_host"
    assert await unchanged(api)


async def test_refused_requests_are_logged_once_in_ten_seconds(api: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(app, "LOG", LimitedLog())
    with capture_logs() as lines:
        for _ in range(3):
            await api.get("agents", headers={"Host": "evil.example"})
    (line,) = [each for each in lines if each["event"] == "request_refused"]
    assert (line["code"], "'evil.example'" in line["reason"]) == ("bad_host", True)


async def test_a_foreign_origin_gets_nothing_whatever_its_host_says(api: Any) -> None:
    for origin in BAD_ORIGINS:
        for host in OURS:
            headers = {"Host": host.format(port=api.port), "Origin": origin.format(port=api.port)}
            posted = await api.post("messages", {"to": "bob", "body": "x"}, headers=headers)
            got = await api.get("agents", headers=headers)
            assert (posted.status, posted.json["code"]) == (403, "forbidden"), headers
            assert got.status == 403
    assert await unchanged(api)


async def test_our_own_page_may_call(api: Any) -> None:
    for host in OURS:
        name = host.format(port=api.port)
        headers = {"Host": name, "Origin": f"http://{name}", "Sec-Fetch-Site": "same-origin"}
        assert (await api.post("messages", {"to": "bob", "body": "x"}, headers=headers)).status == 200


@pytest.mark.parametrize(
    ("site", "status"),
    [("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("", 403), ("Same-Origin", 403)],
)
async def test_only_the_same_origin_or_a_person_may_fetch(api: Any, site: str, status: int) -> None:
    for path in ("/api/agents", "/", "/api/events?type=msg_dead"):
        if status == 200 and "events" in path:
            continue
        assert (await api.get(path, headers={"Sec-Fetch-Site": site})).status == status


@pytest.mark.parametrize(
    ("path", "status", "allow"),
    [
        ("/api/messages", 405, "POST"),
        ("/api/agents", 405, "GET, HEAD"),
        ("/api/agents/bob", 405, "DELETE, GET, HEAD"),
        ("/", 405, "GET, HEAD"),
        ("/nowhere", 404, None),
        ("/*", 404, None),
    ],
)
async def test_a_preflight_is_not_answered_with_any_permission(
    api: Any, path: str, status: int, allow: str | None
) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = await api.call("OPTIONS", path, headers=asked)

    assert (answer.status, answer.headers.get("Allow")) == (status, allow)
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(
    "head",
    [
        "Origin: http://localhost:{port}\r\nOrigin: http://evil.example\r\n",
        "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer y\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
    ],
)
async def test_a_header_that_contradicts_itself_is_refused(api: Any, head: str) -> None:
    request = f"POST /api/messages HTTP/1.1\r\nHost: localhost:{api.port}\r\nContent-Type: application/json\r\n"
    request += head.format(port=api.port) + "\r\n"

    assert await raw_status(api.port, request) == 400
    assert await unchanged(api)


@pytest.mark.parametrize("case", [str.upper, str.title])
async def test_host_and_origin_are_compared_without_case(api: Any, case: Callable[[str], str]) -> None:
    host = case(f"localhost:{api.port}")

    answer = await api.get("agents", headers={"Host": host, "Origin": f"http://{host}"})

    assert answer.status == 200


ALLOWED = "mail.example, https://post.example, box-a:8080"


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("mail.example", None, 200),
        ("MAIL.example", "https://mail.example", 200),
        ("mail.example:443", "https://mail.example", 200),
        ("mail.example:{port}", "http://mail.example:{port}", 200),
        ("mail.example:1", None, 421),
        ("mail.example", "http://mail.example:1", 403),
        ("post.example", "https://post.example", 200),
        ("post.example", "http://post.example", 403),
        ("post.example:8443", None, 421),
        ("box-a:8080", "http://box-a:8080", 200),
        ("box-a", None, 421),
        ("sub.mail.example", None, 421),
        ("mail.example.evil.example", None, 421),
    ],
)
async def test_further_names_are_those_of_the_setting(
    connect: Any, broker: Any, settings: Any, host: str, origin: str | None, status: int
) -> None:
    allowed = load({"POSTINO_ALLOWED_HOSTS": ALLOWED})[0].allowed_hosts
    client = await connect(broker, replace(settings, allowed_hosts=allowed))
    headers = {"Host": host} | ({"Origin": origin} if origin else {})

    async with client.get("/api/agents", headers={k: v.format(port=client.port) for k, v in headers.items()}) as answer:
        assert answer.status == status


async def test_a_foreign_host_is_told_which_host_and_which_setting(api: Any) -> None:
    error = (await api.get("agents", headers={"Host": "box-b:8080"})).json["error"]

    assert "'box-b:8080'" in error
    assert "POSTINO_ALLOWED_HOSTS" in error


async def test_a_link_from_another_site_shows_the_page_and_nothing_else(api: Any) -> None:
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    shown = await api.get("/", headers=link)
    assert shown.status == 200
    assert "frame-ancestors 'none'" in shown.headers["Content-Security-Policy"]
    assert (await api.get("/", headers=link | {"Sec-Fetch-Dest": "iframe"})).status == 403
    assert (await api.get("/api/agents", headers=link)).status == 403


async def test_every_get_answers_head_without_a_body(api: Any) -> None:
    for route in ROUTES:
        if route.method == "GET":
            path = route.path.replace("{path:.+}", "main.js").format(agent="bob", id="m1", group="team", thread="m1")
            got, head = await api.get(path) if "events" not in path else None, await api.call("HEAD", path)
            assert head.status == (got.status if got else 200), path
            assert head.text == ""
            assert got is None or head.headers["Content-Type"] == got.headers["Content-Type"]


async def test_a_foreign_caller_is_not_asked_for_its_body(api: Any) -> None:
    head = (
        "POST /api/messages HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nExpect: 100-continue\r\n"
    )

    assert await raw_status(api.port, f"{head}Host: evil.example\r\n\r\n") == 421
    assert await raw_status(api.port, f"{head}Host: localhost:{api.port}\r\n\r\n") == 100


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}])
async def test_a_refused_caller_keeps_no_connection(api: Any, headers: dict[str, str]) -> None:
    assert (await api.get("agents", headers=headers)).headers["Connection"] == "close"


async def test_no_answer_ever_permits_another_origin_or_sets_a_cookie(api: Any) -> None:
    for method, path in (
        ("GET", "agents"),
        ("POST", "messages"),
        ("GET", "nowhere"),
        ("PUT", "messages"),
        ("GET", "/"),
    ):
        answer = await api.call(method, path)
        names = {name.lower() for name in answer.headers}
        assert not [name for name in names if name.startswith("access-control") or name == "set-cookie"]


async def test_an_absolute_target_must_name_us_too(api: Any) -> None:
    for target, status in (("http://evil.example/api/agents", 421), (f"http://localhost:{api.port}/api/agents", 200)):
        assert await raw_status(api.port, f"GET {target} HTTP/1.1\r\nHost: localhost:{api.port}\r\n\r\n") == status


@pytest.mark.parametrize("head", ["", "Host: localhost:{port}\r\nHost: evil.example\r\n"])
async def test_exactly_one_host_is_needed(api: Any, head: str) -> None:
    request = f"GET /api/agents HTTP/1.1\r\n{head.format(port=api.port)}\r\n"
    assert await raw_status(api.port, request) in (400, 421)


async def test_without_the_token_nothing_but_the_page_and_the_health_is_had(
    connect: Any, broker: Any, settings: Any
) -> None:
    client = await connect(broker, replace(settings, api_token=TOKEN))
    wrong: list[dict[str, str]] = [
        {},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"X-Api-Token": TOKEN},
        {"Cookie": f"token={TOKEN}"},
    ]
    for path in (
        "/api/agents",
        "/api/events",
        "/api/openapi.json",
        "/nowhere",
        f"/api/agents?token={TOKEN}",
    ):
        for headers in wrong:
            async with client.get(path, headers=headers) as answer:
                assert answer.status == 401, (path, headers)
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert (await answer.json())["code"] == "unauthorized"
                assert TOKEN not in await answer.text()
    for path in ("/", "/api/health"):
        async with client.get(path) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("header", [TOKEN, f"Basic {TOKEN}"])
@pytest.mark.parametrize("needed", [TOKEN, None])
async def test_a_token_without_its_scheme_is_told_the_form(
    connect: Any, broker: Any, settings: Any, header: str, needed: str | None
) -> None:
    client = await connect(broker, replace(settings, api_token=needed))

    async with client.get("/api/agents", headers={"Authorization": header}) as answer:
        assert answer.status == 401
        assert (await answer.json())["error"] == "the header Authorization has to be `Bearer <token>`"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_token_lets_in(connect: Any, broker: Any, settings: Any, scheme: str) -> None:
    client = await connect(broker, replace(settings, api_token=TOKEN))

    async with client.get("/api/agents", headers={"Authorization": f"{scheme} {TOKEN}"}) as answer:
        assert answer.status == 200


async def test_a_token_of_odd_bytes_is_only_wrong(connect: Any, broker: Any, settings: Any) -> None:
    client = await connect(broker, replace(settings, api_token=TOKEN))
    request = b"GET /api/agents HTTP/1.1\r\nHost: localhost:%d\r\nAuthorization: Bearer \xff\xfe\r\n\r\n" % client.port

    assert await raw_status(client.port, request) in (400, 401)


async def test_the_token_does_not_open_the_door_to_web_pages(connect: Any, broker: Any, settings: Any) -> None:
    client = await connect(broker, replace(settings, api_token=TOKEN))
    headers = {"Authorization": f"Bearer {TOKEN}"}

    async with client.get("/api/agents", headers=headers | {"Origin": "http://evil.example"}) as answer:
        assert answer.status == 403
    async with client.get("/api/agents", headers=headers | {"Host": "evil.example"}) as answer:
        assert answer.status == 421


async def test_beyond_loopback_the_address_we_listen_on_is_ours_too(connect: Any, broker: Any, settings: Any) -> None:
    client = await connect(broker, replace(settings, web_host="0.0.0.0", api_token=TOKEN))
    headers = {"Authorization": f"Bearer {TOKEN}"}

    for host, status in ((f"{socket.gethostname()}:{client.port}", 200), ("evil.example", 421)):
        async with client.get("/api/agents", headers=headers | {"Host": host}) as answer:
            assert answer.status == status


async def raw_status(port: int, request: str | bytes) -> int:
    import asyncio

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode() if isinstance(request, str) else request)
    line = await asyncio.wait_for(reader.readline(), PATIENCE_S)
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])
