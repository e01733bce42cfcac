"""The application: one function per route, made from the table; admission, parsing, answer and refusal in one layer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from postino.broker import Broker
from postino.claude.turns import Turns
from postino.claude.wake import Wakes
from postino.config import Settings
from postino.errors import BadField, BadRequest, MethodNotAllowed, NotFound, PostinoError, TooLarge
from postino.mcp.connected import ConnectedSessions
from postino.rest import parse
from postino.rest.answers import answer, closing, refusal
from postino.rest.call import Call, Shared
from postino.rest.connection import Connection
from postino.rest.guard import Guard
from postino.rest.rates import Rates
from postino.rest.records import Nothing
from postino.rest.route import Route
from postino.rest.routes import ROUTES

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHARED: web.AppKey[Shared] = web.AppKey("shared", Shared)
GUARD: web.AppKey[Guard] = web.AppKey("guard", Guard)
NOTHING = Nothing()

_log = structlog.get_logger()


def build_app(broker: Broker, settings: Settings, sessions: ConnectedSessions | None = None) -> web.Application:
    """Return the application that serves `broker`; `sessions` are the connected relays."""
    sessions = ConnectedSessions() if sessions is None else sessions
    wakes = Wakes(broker, sessions, settings.wake)
    shared = Shared(broker, settings, Rates(broker), Turns(broker, sessions, wakes))
    guard = Guard(settings)
    elsewhere = _elsewhere(guard)
    app = web.Application(client_max_size=settings.max_body_bytes, middlewares=[_without_path(elsewhere)])
    app[SHARED] = shared
    app[GUARD] = guard
    app.cleanup_ctx.append(_owning(shared.rates.run, wakes.run))
    app.on_shutdown.append(_stop)
    for route in ROUTES:
        _add(app, route.method, route.path, _endpoint(route, shared, guard))
    _add(app, "*", "/{anything:.*}", elsewhere)
    return app


def _add(app: web.Application, method: str, path: str, endpoint: Endpoint) -> None:
    app.router.add_route(method, path, endpoint, expect_handler=_expected)


def _endpoint(route: Route, shared: Shared, guard: Guard) -> Endpoint:
    """Return the function aiohttp calls. What can be decided here once is not decided again per request."""
    takes_body, takes_query = route.method == "POST" and not route.raw, route.query is not Nothing
    read_body = parse.Body(route.body).read
    largest, handler, needs_token = shared.settings.max_body_bytes, route.handler, route.needs_token
    no_query = NOTHING if route.query is Nothing else route.query()

    async def serve(request: web.Request) -> object:
        guard.admit(request, needs_token=needs_token)
        body: Any = NOTHING
        if takes_body:
            body = read_body(await parse.body(request, largest))
        elif route.raw:
            parse.check_type(request)
        elif request.can_read_body:
            parse.refuse_body(request)
        query: Any = no_query
        if request.rel_url.raw_query_string:
            query = parse.query(request, route.query) if takes_query else _no_query(request)
        return await handler(Call(shared, request, query, body))

    return _answering(serve)


def _elsewhere(guard: Guard) -> Endpoint:
    """Return the function for every path and method that no route has."""

    async def serve(request: web.Request) -> object:
        guard.admit(request)
        path = request.rel_url.path_safe  # as the router matches it: an escaped slash is none between two segments
        allow = sorted({route.method for route, pattern in _PATTERNS if pattern.fullmatch(path)})
        if allow:
            raise MethodNotAllowed(f"this path takes {' and '.join(allow)}", allow=allow)
        raise NotFound("there is no such path; GET /api/openapi.json lists them")

    return _answering(serve)


def _without_path(elsewhere: Endpoint) -> Middleware:
    """Return what sends to `elsewhere` the requests that no route can catch: CONNECT, `OPTIONS *`, a URL alone."""

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        return await (handler if request.match_info.http_exception is None else elsewhere)(request)

    return handle


def _answering(serve: Callable[[web.Request], Awaitable[object]]) -> Endpoint:
    """Return `serve` with its record or its refusal made an answer."""

    async def endpoint(request: web.Request) -> web.StreamResponse:
        connection = request.protocol
        watched = isinstance(connection, Connection)
        if watched:
            connection.began(request)  # type: ignore[attr-defined]
        try:
            done = await serve(request)
            if not isinstance(done, web.StreamResponse):
                return answer(done)
            done.headers.setdefault("Server", "postino")
            return done
        except PostinoError as error:
            return _refused(request, error)
        except asyncio.CancelledError:
            raise
        except Exception:
            _log.exception("bug", method=request.method, path=request.path)
            return refusal(PostinoError("postino has a bug here; its log has the traceback"))
        finally:
            if watched:
                connection.ended()  # type: ignore[attr-defined]

    return endpoint


def _refused(request: web.Request, error: PostinoError) -> web.Response:
    if type(error) is PostinoError:
        _log.error("bug", method=request.method, path=request.path, error=error.message)
    response = refusal(error)
    # a body that stalls or is too long would be taken for the next request
    return closing(response) if isinstance(error, TooLarge) or not request.content.is_eof() else response


def _no_query(request: web.Request) -> Nothing:
    parse.query(request, Nothing)
    raise BadField("no query is taken here", field="query")  # `?` with nothing that could be named


async def _expected(request: web.Request) -> web.Response | None:
    """Answer `Expect: 100-continue` as HTTP asks; aiohttp's own refusal of anything else is no JSON."""
    if request.headers["Expect"].lower() != "100-continue":
        return closing(refusal(BadRequest("only Expect: 100-continue is understood")))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0
    return None


def _owning(*works: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what runs `works` as long as the application does."""

    async def own(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work(), name=work.__qualname__) for work in works]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return own


async def _stop(app: web.Application) -> None:
    """Let long polls answer and streams end before the sockets are closed."""
    app[SHARED].stopping.set()


_PATTERNS = [(route, re.compile(re.sub(r"{\w+(?::[^}]+)?}", "[^/]+", route.path))) for route in ROUTES]
