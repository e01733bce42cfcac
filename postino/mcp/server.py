"""The SDK's server for one session: dispatches each request, and turns each failure into an answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import mcp_types as types
import structlog
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.models import InitializationOptions
from mcp.server.runner import serve_dual_era_loop, serve_loop
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import SessionMessage

from postino import __version__
from postino.errors import PostinoError
from postino.mcp import answers, prompts, resources
from postino.mcp.arguments import parse
from postino.mcp.instructions import instructions
from postino.mcp.pending_read import RequestId
from postino.mcp.session import Session
from postino.mcp.tool import ToolCall
from postino.mcp.tools import TOOLS
from postino.values import visible

BUG = "unexpected error in postino; the daemon's log has the traceback"
CHANNEL: dict[str, dict[str, Any]] = {"claude/channel": {}}  # lets the server send notifications/claude/channel

Context = ServerRequestContext[Any, Any]
T = TypeVar("T")

log = structlog.get_logger()


class PostinoServer(Server[Any]):
    """The MCP server of one session."""

    def __init__(self, session: Session) -> None:
        super().__init__(
            "postino",
            version=__version__,
            title="postino",
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            on_list_resources=self._list_resources,
            on_list_resource_templates=self._list_resource_templates,
            on_read_resource=self._read_resource,
            on_subscribe_resource=self._subscribe,
            on_unsubscribe_resource=self._unsubscribe,
            on_list_prompts=self._list_prompts,
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
        )
        self.middleware.clear()  # removes the tracing that is installed by default
        self.session = session

    async def serve(
        self,
        incoming: MemoryObjectReceiveStream[SessionMessage | Exception],
        outgoing: MemoryObjectSendStream[SessionMessage],
        *,
        modern: bool = False,
    ) -> None:
        """Serve one connection until `incoming` closes.

        `Server.run` would let the client choose a protocol of 2026-07-28 or later, which cannot carry channel
        notifications; `serve_loop` speaks the earlier ones only. With `modern` the first request decides.
        """
        if modern:
            self.instructions = instructions("")  # each request names its client
            await serve_dual_era_loop(self, incoming, outgoing, lifespan_state=None)
            return
        await serve_loop(self, incoming, outgoing, lifespan_state=None)

    def create_initialization_options(self, *_: Any, **__: Any) -> InitializationOptions:
        """Return what the answer to `initialize` holds; the SDK asks for it then, when the client is known."""
        self.instructions = instructions(self.session.hello.client or "", has_hooks=self.session.caller.has_hooks)
        return super().create_initialization_options(experimental_capabilities=CHANNEL)

    async def _list_tools(self, _: Context, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[each.definition for each in TOOLS.values()])

    async def _call_tool(self, context: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = TOOLS.get(params.name)
        if tool is None:
            name = visible(params.name)[:64]
            raise MCPError(types.INVALID_PARAMS, f"there is no tool {name}; the tools are {', '.join(TOOLS)}")
        report = context.session.report_progress if (context.meta or {}).get("progress_token") is not None else None
        call, began, code = ToolCall(self.session, _id(context), report), time.monotonic(), None
        try:
            self.session.caller.check_tool(params.name)
            arguments = parse(params.name, tool.arguments, params.arguments or {})
            run = self._in_time if params.name == "msg_read" else self.session.run
            answer = await run(call.request, tool.handler(call, arguments))
        except PostinoError as error:
            code = error.code
            return _result(error.body(), failed=True)
        except Exception:
            code = PostinoError.code
            log.exception("tool_failed", tool=params.name, session=self.session.id)
            return _result(PostinoError(BUG).body(), failed=True)
        finally:
            self.session.broker.on_tool_call(params.name, time.monotonic() - began, code)
        return _result(answer)

    async def _list_resources(self, _: Context, params: Any) -> types.ListResourcesResult:
        return await _refusals(resources.list_resources(self.session))

    async def _list_resource_templates(self, _: Context, params: Any) -> types.ListResourceTemplatesResult:
        return resources.list_templates()

    async def _read_resource(
        self, context: Context, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        request = _id(context)
        return await _refusals(self._in_time(request, resources.read(self.session, request, str(params.uri))))

    async def _in_time(self, request: RequestId, operation: Awaitable[T]) -> T:
        """Run what may read mail; raise StoreAway if others may have been given that mail meanwhile."""
        mail = self.session.broker.mail
        began = mail.clock()
        answer = await self.session.run(request, operation)
        mail.check_lease(began)
        return answer

    async def _subscribe(self, _: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        await _refusals(resources.check_own(self.session, str(params.uri)))
        self.session.subscribed.set()
        return types.EmptyResult()

    async def _unsubscribe(self, _: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        await _refusals(resources.check_own(self.session, str(params.uri)))
        self.session.subscribed.clear()
        return types.EmptyResult()

    async def _list_prompts(self, _: Context, params: Any) -> types.ListPromptsResult:
        return prompts.list_prompts()

    async def _get_prompt(self, _: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        return prompts.get_prompt(params.name, params.arguments or {})

    async def _complete(self, _: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        return await _refusals(prompts.complete(self.session, params))


def _id(context: Context) -> str | int:
    """Return the id of a request in the form in which the SDK matches cancellations: "7" as 7."""
    assert context.request_id is not None  # None for notifications only
    return coerce_request_id(context.request_id)


def _result(answer: Any, *, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=answers.to_json(answer))], is_error=failed)


async def _refusals(answer: Awaitable[T]) -> T:
    """Turn a refusal into a JSON-RPC error with the same sentence. The text of an unexpected error is only logged."""
    try:
        return await answer
    except PostinoError as error:
        raise MCPError(types.INTERNAL_ERROR, error.message, error.body()) from None
    except MCPError:
        raise
    except Exception:
        log.exception("request_failed")
        raise MCPError(types.INTERNAL_ERROR, BUG) from None
