"""GET /api/openapi.json: the route table and its records as an OpenAPI 3.1 document."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from postino import __version__
from postino.claude import hook_events
from postino.errors import ERRORS
from postino.rest.call import ApiCall
from postino.rest.records import Nothing, Refusal
from postino.rest.roles import ROLES
from postino.rest.route import JSON, PLAIN, Handler, Route
from postino.values import EVENT_ID, ID_PATTERN, MAX_BODY, OWN_NAME, TEXT_PATTERN, TITLE_PATTERN

Json = dict[str, Any]

#: error codes of every route
EVERYWHERE = ("bad_field", "unauthorized", "forbidden", "not_allowed", "bad_host", "store_away", "store_full")
WITH_BODY = ("bad_json", "too_large", "unsupported_type")

_PLAIN_BODY = {"type": "string", "minLength": 1, "maxLength": MAX_BODY, "pattern": TEXT_PATTERN}
_ID = {"type": "string", "pattern": f"^{ID_PATTERN}$"}
#: header -> its schema and what it means
HEADERS: dict[str, tuple[Json, str]] = {
    "Idempotency-Key": (_ID, "The id of the message; the same as the field id, if that is given too"),
    "X-Postino-Consumer": (_ID, "The reading session, if the body does not name it"),
    "X-Postino-Via": ({"type": "string"}, "The face that sends, cli or web; any other value is ignored"),
    "X-Claude-Pid": ({"type": "string"}, "On the unix socket: the pid of the client's process that runs the caller"),
    "X-Claude-Socket": ({"type": "string"}, "On the unix socket: the file name of its inbox socket"),
    "X-Claude-Session": ({"type": "string"}, "On the unix socket: its present session id"),
    "X-Postino-Inside": (
        {"type": "string"},
        "On the unix socket: the client that runs the caller: codex:SESSION, gemini or opencode",
    ),
    "Last-Event-ID": ({"type": "string", "pattern": EVENT_ID}, "Resume after this event; counts before since"),
    "X-Postino-From": (
        {"type": "string", "pattern": OWN_NAME},
        "The sender; with a named token not needed",
    ),
    "X-Postino-Person": ({"type": "string"}, "The proof of a signed-in page: it sends as that person, verified"),
    "X-Postino-Thread": ({"type": "string", "pattern": f"^{TITLE_PATTERN}$"}, "The thread of the message"),
    "X-Postino-As": ({"type": "string", "pattern": OWN_NAME}, "The agent that is online while the stream is open"),
}
PARAMETERS: dict[str, Json] = {
    "agent": {"type": "string", "pattern": OWN_NAME},
    "group": {"type": "string", "pattern": OWN_NAME},
    "id": _ID,
    "thread": {"type": "string", "pattern": f"^({ID_PATTERN}|{TITLE_PATTERN})$"},
    "event": {"enum": sorted(hook_events.EVENTS)},
}
_EVENT = {
    "type": "object",
    "properties": {"id": {"type": "string"}, "event": {"const": "update"}, "data": {"type": "string"}},
    "required": ["event", "data"],
}


def serve(routes: Callable[[], Iterable[Route]]) -> Handler:
    """Return the handler that answers with the document of `routes`, which is built on first use."""
    describe_once = functools.cache(lambda: describe(routes()))

    async def document(call: ApiCall[Nothing, Nothing]) -> Json:
        """Describe this API."""
        return describe_once()

    return document


def describe(every: Iterable[Route]) -> Json:
    """Return the OpenAPI document of the routes below /api."""
    routes = [route for route in every if route.in_api]
    kinds = list(dict.fromkeys([*(kind for route in routes for kind in _kinds(route)), Refusal]))
    references, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    named = dict(zip(kinds, references, strict=True))
    paths: dict[str, Json] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, named)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "postino",
            "version": __version__,
            "description": "A durable mailbox for coding agents. On loopback no token is needed. "
            "/mcp (POST, GET, DELETE) is MCP over streamable HTTP, which the MCP specification describes.",
        },
        "paths": paths,
        "components": {
            "schemas": {name: each for name, each in components.items() if name != "Nothing"},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _kinds(route: Route) -> tuple[Any, ...]:
    return (*route.answers, route.query, route.body, *route.bodies.values())


def _operation(route: Route, named: dict[Any, Json]) -> Json:
    operation: Json = {
        "summary": route.summary,
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "parameters": [*_in_path(route.path), *_in_query(route.query), *_in_head(route.headers)],
        "responses": _responses(route, named),
        "x-postino-role": route.role,
    }
    if route.needs_token:
        operation["description"] = _permission(route)
    if route.method == "POST":
        content = {"type": "object", "maxProperties": 0} if route.body is Nothing else named[route.body]
        if route.accepts != JSON:
            content = _PLAIN_BODY if route.accepts == PLAIN else {"type": "string"}
        operation["requestBody"] = {"required": True, "content": {route.accepts: {"schema": content}}}
    return operation


def _permission(route: Route) -> str:
    """Return who of the holders of named tokens may use a route."""
    roles = ROLES[ROLES.index(route.role) :]
    own = "; below admin only with the name of the token, or an alias of it, as `agent`" if route.own else ""
    return f"A named token needs the role {' or '.join(roles)}{own}."


def _in_path(path: str) -> list[Json]:
    return [
        {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]}
        for name in re.findall(r"{(\w+)", path)
    ]


def _in_query(kind: Any) -> list[Json]:
    properties = msgspec.json.schema_components([kind])[1][kind.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": _given(each)}
        for name, each in properties.items()
        if not each.get("deprecated")
    ]


def _given(schema: Json) -> Json:
    """Return the schema of a parameter that is given: absence is its null."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    return kinds[0] if len(kinds) == 1 else {name: each for name, each in schema.items() if name != "default"}


def _in_head(names: Iterable[str]) -> list[Json]:
    return [
        {
            "name": name,
            "in": "header",
            "required": name == "X-Postino-From",
            "schema": HEADERS[name][0],
            "description": HEADERS[name][1],
        }
        for name in names
    ]


def _responses(route: Route, named: dict[Any, Json]) -> Json:
    good: Json = {"description": "Done"}
    if route.answers:
        kinds = [named[kind] for kind in route.answers]
        good["content"] = {"application/json": {"schema": kinds[0] if len(kinds) == 1 else {"anyOf": kinds}}}
    elif route.gives != JSON:
        good["content"] = {route.gives: {"schema": {"type": "string"}}}
    elif route.path == "/api/events":
        good["content"] = {"text/event-stream": {"schema": _EVENT}}
    found: dict[int, list[str]] = {}
    for code in (*EVERYWHERE, *(WITH_BODY if route.method == "POST" else ()), *route.refusals):
        found.setdefault(ERRORS[code].http, []).append(code)
    bad = {status: _answer(", ".join(codes), named[Refusal]) for status, codes in found.items()}
    bad |= {status: _answer(kind.__doc__.partition("\n")[0], named[kind]) for status, kind in route.bodies.items()}
    return {"200": good} | {str(status): bad[status] for status in sorted(bad)}


def _answer(description: str, content: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": content}}}
