"""A scripted Messages API on loopback, which the real client takes for its model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from tests.scripted.model import Json, ScriptedModel, stream


class Model(ScriptedModel):
    """A Messages API that says what the test wrote down."""

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
            return await stream(request, _events([_text("{}")], "end_turn"))
        step = await self.next_step(body)
        if isinstance(step, str):
            return await stream(request, _events([_text(step)], "end_turn"))
        return await stream(request, _events([_tool(*each) for each in step], "tool_use"))


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
