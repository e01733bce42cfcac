"""The real application on the real broker, spoken to over real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from postino.broker import Broker
from postino.config import Settings
from postino.rest.app import GUARD, KNOWN, build_app
from postino.rest.connection import HttpConnections
from tests.mcp_http import HttpClient
from tests.rest.mcp_sessions import Open
from tests.waiting import eventually

AppClient = TestClient[web.Request, web.Application]
Connect = Callable[..., Awaitable[AppClient]]


@dataclass(frozen=True)
class Reply:
    """An answer, read to its end."""

    status: int
    json: Any
    text: str
    headers: Any


class Api:
    """A caller: `await api.post("messages", {...})`."""

    def __init__(self, client: AppClient) -> None:
        self.client = client

    @property
    def port(self) -> int:
        assert self.client.port is not None
        return self.client.port

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> Reply:
        headers = dict(options.pop("headers", {}))
        if method == "POST" and "data" not in options:
            options["data"] = json.dumps({} if body is None else body, ensure_ascii=False).encode()
        if method == "POST":
            headers.setdefault("Content-Type", "application/json")
        target = path if path.startswith("/") else f"/api/{path}"
        async with self.client.request(method, target, headers=headers, **options) as answer:
            return await _read(answer)

    async def get(self, path: str, **options: Any) -> Reply:
        return await self.call("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> Reply:
        return await self.call("POST", path, body, **options)

    async def delete(self, path: str, **options: Any) -> Reply:
        return await self.call("DELETE", path, **options)

    async def send(self, to: str = "bob", body: str = "hello", **more: Any) -> Any:
        answer = await self.post("messages", {"to": to, "body": body} | more)
        assert answer.status == 200, answer.text
        return answer.json

    async def read(self, agent: str = "bob", consumer: str = "c1", **asked: Any) -> list[Any]:
        answer = await self.post(f"messages/{agent}/read", asked, headers={"X-Postino-Consumer": consumer})
        assert answer.status == 200, answer.text
        items: list[Any] = answer.json["items"]
        return items


async def _read(answer: ClientResponse) -> Reply:
    text = await answer.text()
    is_json = answer.content_type == "application/json"
    return Reply(answer.status, json.loads(text) if is_json and text else None, text, answer.headers)


class _Runner(web.AppRunner):
    """Makes the connections the daemon makes, where aiohttp would make its own."""

    @property
    def server(self) -> Any:
        made = super().server
        return None if made is None else self._factory(made)

    def _factory(self, server: web.Server) -> Any:
        if not hasattr(self, "connections"):
            self.connections = HttpConnections(
                server, asyncio.get_running_loop(), self.app[GUARD].policy, self.app[KNOWN].find
            )
        return self.connections.tcp


class _Server(TestServer):
    async def _make_runner(self, **_: Any) -> web.AppRunner:
        return _Runner(self.app, shutdown_timeout=0.4)


@pytest.fixture
async def connect(aiohttp_client: Any) -> Connect:
    """Serve a broker under given settings: `await connect(broker, settings)`."""

    async def serve(broker: Broker, settings: Settings) -> AppClient:
        client: AppClient = await aiohttp_client(_Server(build_app(broker, settings)))
        return client

    return serve


@pytest.fixture
async def api(connect: Connect, broker: Broker, settings: Settings) -> AsyncIterator[Api]:
    """The application as it is by default."""
    yield Api(await connect(broker, settings))


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """Wait for an async condition: `await until(lambda: ..., "what")`; return its first true value."""
    return eventually


@pytest.fixture
def connect_mcp(api: Any) -> Open:
    """Open a session: `await connect_mcp(X_Postino_Agent="bob")`, which is the default."""

    async def one(client: Any = api.client, **headers: str) -> HttpClient:
        return await HttpClient(client, "/mcp", **(headers or {"X-Postino-Agent": "bob"})).open()

    return one
