"""A scripted model on loopback that speaks OpenAI Responses (Codex), Gemini, and Chat Completions (opencode)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

from aiohttp import web

from tests.scripted.model import Calls, Json, ScriptedModel, stream


class Model(ScriptedModel):
    """Says what the test wrote down, one step per request that offers our tools; calls name a tool by its end."""

    def __init__(self) -> None:
        super().__init__()
        self._answered = 0

    def shown(self, request: int = -1) -> str:
        """Return what the model was shown in one request, as JSON."""
        return json.dumps(_conversation(self.requests[request])) if self.requests else ""

    async def until_shown(self, text: str, seconds: float = 90) -> int:
        """Wait until a request holds `text`; return the number of the first one."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            for number in range(len(self.requests)):
                if text in self.shown(number):
                    return number
            assert asyncio.get_running_loop().time() < deadline, f"never shown: {text}; last: {self.shown()[-3000:]}"
            await asyncio.sleep(0.05)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a client."""
        if request.method != "POST":
            return web.json_response({"object": "list", "data": [{"id": "scripted", "object": "model"}], "models": []})
        body = await request.json()
        names = [name for name in _tool_names(body) if "msg_" in name]
        step = await self.next_step(body) if names else "Done."
        calls = [] if isinstance(step, str) else [(_full_name(names, name), given) for name, given in step]
        self._answered += 1
        events = _protocol(request.path)(self._answered, step if isinstance(step, str) else "", calls)
        return await stream(request, events, Connection="close")


def _conversation(body: Json) -> Any:
    return [body.get(each) for each in ("input", "contents", "messages", "systemInstruction") if body.get(each)]


def _tool_names(body: Json) -> Iterator[str]:
    for tool in body.get("tools") or []:
        if "functionDeclarations" in tool:
            yield from (each["name"] for each in tool["functionDeclarations"])
        elif tool.get("type") == "namespace":
            yield from (f"{tool['name']} :: {each.get('name', '?')}" for each in tool.get("tools", []))
        else:
            yield str(tool.get("name") or (tool.get("function") or {}).get("name") or tool.get("type"))


def _full_name(names: list[str], end: str) -> str:
    return next((name for name in names if name.endswith(end)), end)


def _protocol(path: str) -> Callable[[int, str, Calls], Iterator[Json | str]]:
    if "enerateContent" in path:
        return _gemini
    return _responses if path.endswith("/responses") else _chat


def _gemini(_: int, text: str, calls: Calls) -> Iterator[Json | str]:
    parts: list[Json] = [{"functionCall": {"name": name, "args": given}} for name, given in calls] or [{"text": text}]
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    content = {"role": "model", "parts": parts}
    yield {"candidates": [{"content": content, "finishReason": "STOP", "index": 0}], "usageMetadata": usage}


def _responses(number: int, text: str, calls: Calls) -> Iterator[Json | str]:
    usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None}
    yield {"type": "response.created", "response": {"id": f"resp_{number}"}}
    for at, (name, given) in enumerate(calls):
        space, _, short = name.rpartition(" :: ")
        item = {
            "type": "function_call",
            "call_id": f"call_{number}_{at}",
            "name": short,
            "arguments": json.dumps(given),
        }
        yield {"type": "response.output_item.done", "item": item | ({"namespace": space} if space else {})}
    if not calls:
        said = [{"type": "output_text", "text": text}]
        item = {"type": "message", "role": "assistant", "id": f"msg_{number}", "content": said}
        yield {"type": "response.output_item.done", "item": item}
    yield {"type": "response.completed", "response": {"id": f"resp_{number}", "usage": usage | {"total_tokens": 2}}}


def _chat(number: int, text: str, calls: Calls) -> Iterator[Json | str]:
    base = {"id": f"c{number}", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
    delta: Json = {"role": "assistant", "content": text}
    if calls:
        delta = {
            "role": "assistant",
            "tool_calls": [
                {
                    "index": at,
                    "id": f"call_{number}_{at}",
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(given)},
                }
                for at, (name, given) in enumerate(calls)
            ],
        }
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    yield base | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    end = "tool_calls" if calls else "stop"
    yield base | {"choices": [{"index": 0, "delta": {}, "finish_reason": end}], "usage": usage}
    yield "[DONE]"
