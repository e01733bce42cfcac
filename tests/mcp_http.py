"""A client of MCP over HTTP by hand: one request at a time, each answer read to its end."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from typing import Any

import aiohttp

from tests.relays import INITIALIZE, PATIENCE, WRITTEN_AGO, said

ACCEPT = "application/json, text/event-stream"
READ = {"name": "msg_read", "arguments": {}}
Answer = tuple[int, Any, Any]  # status, content, headers


class HttpClient:
    """One session; `headers` go with every request."""

    def __init__(self, http: Any, url: str, **headers: str) -> None:
        self.http = http  # whatever has aiohttp's `request`
        self.url = url
        self.headers = {"Accept": ACCEPT} | {name.replace("_", "-"): text for name, text in headers.items()}
        self._ids = itertools.count(1)

    async def send(self, method: str, message: Any = None, **options: Any) -> Answer:
        headers = self.headers | options.pop("headers", {})
        if method == "POST":
            headers = {"Content-Type": "application/json"} | headers
            options.setdefault("data", json.dumps(message))
        async with asyncio.timeout(PATIENCE), self.http.request(method, self.url, headers=headers, **options) as answer:
            return answer.status, _content(answer.content_type, await answer.text()), answer.headers

    def message(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params or {}}

    async def ask(self, method: str, params: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        status, content, _ = await self.send("POST", self.message(method, params), **options)
        assert status == 200, (status, content)
        assert isinstance(content, dict), content
        return content

    async def notify(self, method: str, params: dict[str, Any] | None = None) -> None:
        message = {"jsonrpc": "2.0", "method": method, "params": params or {}}
        assert (await self.send("POST", message))[0] == 202

    async def call(self, name: str, /, **arguments: Any) -> Any:
        return said(await self.ask("tools/call", {"name": name, "arguments": arguments}))

    async def open(self) -> HttpClient:
        """Open a session, a new one if there was one."""
        self.headers.pop("Mcp-Session-Id", None)
        status, content, headers = await self.send("POST", self.message("initialize", INITIALIZE))
        assert status == 200, (status, content)
        self.headers["Mcp-Session-Id"] = headers["Mcp-Session-Id"]
        await self.notify("notifications/initialized")
        return self

    async def think(self) -> None:
        """Let so much time pass that the last answer counts as seen."""
        await asyncio.sleep(WRITTEN_AGO)

    async def end(self) -> Answer:
        return await self.send("DELETE")

    def stream(self) -> Any:
        """Return the notifications' stream, to be entered."""
        return self.http.request("GET", self.url, headers=self.headers)


async def event(stream: aiohttp.ClientResponse) -> dict[str, Any] | None:
    """Return the next event's content, None at the end of the stream."""
    async with asyncio.timeout(PATIENCE):
        while line := await stream.content.readline():
            if line.startswith(b"data: "):
                found = json.loads(line[6:])
                assert isinstance(found, dict)
                return found
    return None


def post_unread(client: HttpClient, port: int, message: dict[str, Any]) -> socket.socket:
    """Send a request and read nothing."""
    body = json.dumps(message).encode()
    headers = client.headers | {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    line = socket.create_connection(("127.0.0.1", port), 20)
    line.sendall(f"POST /mcp HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return line


def _content(kind: str, text: str) -> Any:
    if kind == "text/event-stream":
        return next((json.loads(line[6:]) for line in reversed(text.splitlines()) if line.startswith("data: ")), None)
    return json.loads(text) if text else None
