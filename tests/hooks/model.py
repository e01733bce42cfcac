"""A scripted Messages API on loopback, which the real client takes for its model."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from aiohttp import web

Json = dict[str, Any]
Step = str | list[tuple[str, Json]] | Callable[[Json], Awaitable["str | list[tuple[str, Json]]"]]


class Model:
    """A Messages API that says what the test wrote down, one step per request, and then only `Done.`"""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.requests: list[Json] = []
        self.url = ""

    def script(self, *steps: Step) -> None:
        """Queue answers: a text, tools to call as (name, input), or a function of the request that gives either."""
        self.steps.extend(steps)

    def seen(self) -> str:
        """Everything the model was shown, as JSON."""
        return json.dumps([each["messages"] for each in self.requests])

    def answers(self) -> list[str]:
        """Return the tool results in the last request that has some."""
        for request in reversed(self.requests):
            found = [_plain(each["content"]) for each in _blocks(request) if each["type"] == "tool_result"]
            if found:
                return found
        return []

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response()
        body = await request.json()
        if request.path != "/v1/messages" or not body.get("tools"):
            return await self._answer(request, [_text("{}")], "end_turn")
        self.requests.append(body)
        step: Any = self.steps.popleft() if self.steps else "Done."
        if callable(step):
            step = await step(body)
        if isinstance(step, str):
            return await self._answer(request, [_text(step)], "end_turn")
        return await self._answer(request, [_tool(*each) for each in step], "tool_use")

    async def _answer(self, request: web.Request, blocks: list[Json], reason: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        with contextlib.suppress(ConnectionError):  # a client that is ended in the middle of a turn
            await response.prepare(request)
            for event in _events(blocks, reason):
                await response.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
            await response.write_eof()
        return response


def _blocks(request: Json) -> list[Json]:
    return [
        each for message in request["messages"] if isinstance(message["content"], list) for each in message["content"]
    ]


def _plain(content: Any) -> str:
    return content if isinstance(content, str) else "".join(each.get("text", "") for each in content)


def _text(words: str) -> Json:
    return {"start": {"type": "text", "text": ""}, "delta": {"type": "text_delta", "text": words}}


_calls = iter(range(1, 1 << 30))


def _tool(name: str, arguments: Json) -> Json:
    start = {"type": "tool_use", "id": f"toolu_{next(_calls):08}", "name": name, "input": {}}
    return {"start": start, "delta": {"type": "input_json_delta", "partial_json": json.dumps(arguments)}}


def _events(blocks: list[Json], reason: str) -> Iterator[Json]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {
        "id": f"msg_{next(_calls):08}",
        "type": "message",
        "role": "assistant",
        "model": "scripted",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    yield {"type": "message_start", "message": message}
    for at, block in enumerate(blocks):
        yield {"type": "content_block_start", "index": at, "content_block": block["start"]}
        yield {"type": "content_block_delta", "index": at, "delta": block["delta"]}
        yield {"type": "content_block_stop", "index": at}
    yield {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}
    yield {"type": "message_stop"}


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Model]:
    """Serve a model on a free port of loopback."""
    made = Model()
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{any:.*}", made.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
