"""A model on loopback that says what a test wrote down, in whatever protocol a client speaks with its vendor."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiohttp import web

Json = dict[str, Any]
Calls = list[tuple[str, Json]]  # tools to call as (name, input)
#: a text ends the turn; a function of the request gives either
Step = str | Calls | Callable[[Json], Awaitable["str | Calls"]]


class ScriptedModel:
    """Takes one step per request of the main conversation, and then only says `Done.`"""

    def __init__(self) -> None:
        self.steps: deque[Step] = deque()
        self.requests: list[Json] = []  # those of the main conversation: clients also ask for titles and summaries
        self.url = ""

    def script(self, *steps: Step) -> None:
        """Queue answers."""
        self.steps.extend(steps)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of a client."""
        raise NotImplementedError

    async def next_step(self, body: Json) -> str | Calls:
        """Note a request, and return what is to be answered."""
        self.requests.append(body)
        step: Any = self.steps.popleft() if self.steps else "Done."
        return await step(body) if callable(step) else step  # type: ignore[no-any-return]


M = TypeVar("M", bound=ScriptedModel)


async def stream(request: web.Request, events: Iterable[Json | str], **headers: str) -> web.StreamResponse:
    """Answer with server-sent events: objects, named by their type if they have one, or texts."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"} | headers)
    with contextlib.suppress(ConnectionError):  # a client that is ended in the middle of a turn
        await response.prepare(request)
        for event in events:
            data = event if isinstance(event, str) else json.dumps(event)
            kind = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
            await response.write(f"{kind}data: {data}\n\n".encode())
        await response.write_eof()
    return response


@contextlib.asynccontextmanager
async def serving(model: M) -> AsyncIterator[M]:
    """Serve a model on a free port of loopback."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{any:.*}", model.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    model.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield model
    await runner.cleanup()
