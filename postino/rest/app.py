"""The aiohttp application: one endpoint per route that admits, parses, calls the handler and answers."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import cache, partial
from typing import Any

import msgspec
import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from postino.broker import Broker
from postino.claude.callers import Callers
from postino.claude.turns import Turns
from postino.claude.wake import Wakes
from postino.clients.turns import ClientTurns
from postino.config import Settings
from postino.errors import (
    BadField,
    BadHost,
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    PostinoError,
    TooLarge,
    Unauthorized,
)
from postino.mcp.connected import ConnectedSessions
from postino.mcp.face import McpFace
from postino.model import Event
from postino.notify.messenger import Messenger
from postino.notify.notifications import Notifications
from postino.rest import parse, signin
from postino.rest.answers import Answer, closing, refusal
from postino.rest.call import WAITED, ApiCall, AppState
from postino.rest.connection import LOG
from postino.rest.guard import Guard
from postino.rest.known_paths import KnownPaths
from postino.rest.metrics import Metrics, Observe
from postino.rest.named_tokens import NamedTokens
from postino.rest.proofs import Proofs
from postino.rest.rates import Rates
from postino.rest.records import Nothing
from postino.rest.route import PLAIN, Route
from postino.rest.routes import ROUTES
from postino.tasks import cancelled

Path = Mapping[str, str]  # what a path names, such as `agent`
Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
PathEndpoint = Callable[[Path, web.Request], Awaitable[web.StreamResponse]]

STATE: web.AppKey[AppState] = web.AppKey("state", AppState)
GUARD: web.AppKey[Guard] = web.AppKey("guard", Guard)
KNOWN: web.AppKey[KnownPaths] = web.AppKey("known", KnownPaths)
NOTHING = Nothing()

_log = structlog.get_logger()


def build_app(
    broker: Broker,
    settings: Settings,
    tokens: NamedTokens | None = None,
    messenger: Messenger | None = None,
) -> web.Application:
    """Return the application that serves `broker`. Without `messenger` nobody is notified while no page is open."""
    sessions = ConnectedSessions()
    broker.agents.activity = sessions.activity
    wakes = Wakes(broker, sessions, settings.wake)
    tokens = NamedTokens(settings.home.tokens) if tokens is None else tokens
    mcp = McpFace(broker, sessions)
    turns, clients = Turns(broker, sessions, wakes), ClientTurns(broker, sessions, wakes)
    metrics = Metrics(broker, sessions)
    callers, proofs = Callers(broker, sessions), Proofs(settings.home.person_key)
    state = AppState(broker, settings, Rates(), turns, clients, callers, tokens, mcp, metrics, wakes, proofs)
    metrics.streams, wakes.on_wake = lambda: state.streams, metrics.woken
    works, counts = [wakes.run], [state.rates.count, metrics.count]
    if messenger is not None:
        state.notifications = notifications = Notifications(broker, messenger, lambda: signin.public_url(state))
        works, counts = [*works, notifications.run], [*counts, notifications.note]
    guard = Guard(settings, tokens)
    unrouted = _unrouted(guard, metrics)
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[_catch_unroutable(unrouted)])
    app[STATE] = state
    app[GUARD] = guard
    app[KNOWN] = known = KnownPaths()
    app.cleanup_ctx.append(_running(broker, works, counts))
    app.on_shutdown.append(_stop)
    for route in ROUTES:
        observe = metrics.of_route(route.method, route.path)
        endpoint = _noting(cache(partial(_endpoint, route, state, guard, observe)), known)
        answer_expect = _expect_handler(guard, route.needs_token)
        for method in _methods(route):
            app.router.add_route(method, route.path, endpoint, expect_handler=answer_expect)
    app.router.add_route("*", "/{anything:.*}", unrouted, expect_handler=_expect_handler(guard))
    return app


def _methods(route: Route) -> tuple[str, ...]:
    """Return the methods of a route: HEAD gives the head of what GET gives."""
    return ("GET", "HEAD") if route.method == "GET" else (route.method,)


def _noting(make_endpoint: Callable[[], PathEndpoint], known: KnownPaths) -> Endpoint:
    """Return the function that aiohttp calls where its router has found a route, which is found faster then.

    Its endpoint is made when the first request comes: all together are 10 ms of a daemon's start.
    """

    async def noting(request: web.Request) -> web.StreamResponse:
        found = partial(make_endpoint(), dict(request.match_info))
        known.note(request, found)
        return await found(request)

    return noting


def _endpoint(route: Route, state: AppState, guard: Guard, observe: Observe) -> PathEndpoint:
    """Return the function that answers `route`. What is the same for all its requests is decided here."""
    takes_body = route.method == "POST" and not route.raw
    read_body: Callable[[bytes], Any] = parse.plain_text
    if takes_body and route.accepts != PLAIN:
        read_body = parse.Body(route.body).read
    most = state.settings.max_body_bytes
    largest = min(most, route.longest_body or most)
    setting = "POSTINO_MAX_BODY_BYTES" if largest == most else ""
    broker, kind = state.broker, route.query
    handler, needs_token, is_page = route.handler, route.needs_token, not route.in_api and not route.needs_token
    accepts = route.accepts
    make_call: Callable[..., ApiCall[Any, Any]] = ApiCall  # `ApiCall[Any, Any](...)` would cost a microsecond
    no_query: Any = NOTHING if kind is Nothing else kind()

    async def serve(path: Path, request: web.Request) -> object:
        caller = guard.admit(request, needs_token=needs_token, is_page=is_page)
        call = make_call(state, broker, request, path, no_query, NOTHING, caller)
        if caller is not None:
            caller.check_role(route.role)
            if route.own:
                await call.check_own(call.recipient(), "agent")
        if takes_body:
            data = parse.arrived_body(request, largest, setting=setting, wanted=accepts)
            if data is None:
                data = await parse.body(request, largest, setting=setting, wanted=accepts)
            call.body = read_body(data)
        elif route.raw:
            parse.check_type(request, accepts)
        elif request.can_read_body:
            parse.refuse_body(request)
        if "?" in request.raw_path and request.rel_url.raw_query_string:
            call.query = _no_query(request) if kind is Nothing else parse.query(request, kind)
        if caller is not None:
            caller.check_valid()  # the body may have taken seconds
        return await handler(call)

    return _answering(serve, state.metrics, observe)


def _unrouted(guard: Guard, metrics: Metrics) -> Endpoint:
    """Return the function for paths and methods without a route."""

    async def serve(_: Path, request: web.Request) -> object:
        path = request.rel_url.path_safe  # as the router matches it: an escaped slash does not separate segments
        fitting = [route for route, pattern in _patterns() if pattern.fullmatch(path) or request.raw_path == "*"]
        fewest = min((route.path.count("{") for route in fitting), default=0)  # `/agents/cleanup` is no agent's name
        allow = sorted({method for route in fitting if route.path.count("{") == fewest for method in _methods(route)})
        try:
            guard.admit(request)
        except MethodNotAllowed as error:  # OPTIONS
            if allow:
                raise MethodNotAllowed(error.message, allow=allow) from None
        if allow:
            raise MethodNotAllowed(f"this path takes {', '.join(allow)} only", allow=allow)
        raise NotFound("there is no such path; GET /api/openapi.json lists the paths")

    return partial(_answering(serve, metrics, metrics.of_route("other", "other")), {})


def _catch_unroutable(unrouted: Endpoint) -> Middleware:
    """Return a middleware that passes to `unrouted` what the router cannot match: CONNECT, `OPTIONS *`, a bare URL."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (handler if request.match_info.http_exception is None else unrouted)(request)

    return handle


def _answering(
    serve: Callable[[Path, web.Request], Awaitable[object]], metrics: Metrics, observe: Observe
) -> PathEndpoint:
    """Return `serve` with its record or error turned into a response, and counted."""

    async def endpoint(path: Path, request: web.Request) -> web.StreamResponse:
        began, is_stream = time.monotonic(), False
        connection: Any = request.protocol  # an HttpConnection, as in `connection_of`, at less cost
        connection.request_started(request)
        try:
            result = await serve(path, request)
            if isinstance(result, msgspec.Struct) or not isinstance(result, web.StreamResponse):
                return Answer(result)
            is_stream = not isinstance(result, web.Response)
            result.headers.setdefault("Server", "postino")
            return result
        except PostinoError as error:
            metrics.refused("http", error.code)
            return _error_response(request, error)
        except Exception:
            metrics.refused("http", PostinoError.code)
            _log.exception("internal_error", method=request.method, path=request.path)
            return refusal(PostinoError("postino has a bug; the daemon's log has the traceback"))
        finally:
            connection.request_finished()
            if not is_stream and not (len(request) and WAITED in request):  # a stream ends when its reader wants
                observe(time.monotonic() - began)

    return endpoint


def _error_response(request: web.Request, error: PostinoError) -> web.Response:
    if type(error) is PostinoError:
        _log.error("internal_error", method=request.method, path=request.path, error=error.message)
    response = refusal(error)
    # The rest of a body that was not read would be parsed as the next request. A refused caller gets no place among
    # the connections.
    refused = isinstance(error, (BadHost, Forbidden, Unauthorized))
    if refused:
        LOG.warning("request_refused", code=error.code, reason=error.message)
    close = refused or isinstance(error, TooLarge) or not request.content.is_eof()
    return closing(response) if close else response


def _no_query(request: web.Request) -> Nothing:
    parse.query(request, Nothing)
    raise BadField("this route takes no query", field="query")  # the query has no parameter that could be named


def _expect_handler(guard: Guard, needs_token: bool = True) -> Callable[[web.Request], Awaitable[web.Response | None]]:
    """Return the function that answers `Expect: 100-continue` of an admitted caller, and anything else in JSON."""

    async def answer_expect(request: web.Request) -> web.Response | None:
        try:
            guard.admit(request, needs_token=needs_token)
            if request.headers["Expect"].lower() != "100-continue":
                raise BadRequest("only Expect: 100-continue is supported")
        except PostinoError as error:
            return closing(refusal(error))
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
        return None

    return answer_expect


def _running(
    broker: Broker, works: Sequence[Callable[[], Coroutine[Any, Any, None]]], counts: Sequence[Callable[[Event], None]]
) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a cleanup context: while the application runs, so do `works`, and `counts` are called with every event."""

    async def run(_: web.Application) -> AsyncIterator[None]:
        with broker.events.counted_by(*counts):
            tasks = [asyncio.create_task(work(), name=work.__qualname__) for work in works]
            yield
            await cancelled(*tasks)

    return run


async def _stop(app: web.Application) -> None:
    """Let long polls answer and streams end before the sockets close; end the MCP sessions over HTTP."""
    app[STATE].stopping.set()
    app[STATE].renderer.close()
    await app[STATE].mcp.close()


@cache
def _patterns() -> list[tuple[Route, re.Pattern[str]]]:
    return [(route, re.compile(re.sub(r"{\w+(?::[^}]+)?}", "[^/]+", route.path))) for route in ROUTES]
