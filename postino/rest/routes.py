"""The route table. The router and the OpenAPI document are made from it."""

from __future__ import annotations

from typing import Any

from postino.rest import (
    agents,
    broadcasts,
    dead,
    events,
    groups,
    health,
    history,
    hooks,
    mcp,
    messages,
    openapi,
    page,
    people,
    render,
    sessions,
    signin,
    tokens,
    transfer,
)
from postino.rest.client_process import IN_SESSION
from postino.rest.records import HealthReport, Rejected
from postino.rest.roles import AGENT, PUBLISH
from postino.rest.route import NDJSON, PLAIN, Route

OWN: dict[str, Any] = {"role": AGENT, "own": True}
UNKNOWN, TO_GROUP = ("unknown_agent",), ("unknown_group", "empty_group")
REUSED = ("key_reused", "importing", "rate_limited", "too_fast")
SENDING, READING = ("Idempotency-Key", "X-Postino-Via", "X-Postino-Person", *IN_SESSION), ("X-Postino-Consumer",)
LOST: dict[str, Any] = {"headers": READING, "refusals": ("lease_lost",), "bodies": {409: Rejected}}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/api/messages",
        messages.send,
        headers=SENDING,
        refusals=(*REUSED, *TO_GROUP, "inbox_full", "unknown_message"),
        role=PUBLISH,
    ),
    Route("GET", "/api/messages/{agent}", messages.peek, **OWN),
    Route(
        "POST",
        "/api/messages/{agent}",
        messages.send_text,
        accepts=PLAIN,
        headers=("X-Postino-From", "X-Postino-Thread", *SENDING),
        refusals=(*REUSED, *TO_GROUP, "inbox_full"),
        role=PUBLISH,
    ),
    Route("DELETE", "/api/messages/{agent}", messages.clear, **OWN),
    Route("POST", "/api/messages/{agent}/read", messages.read, headers=READING, refusals=("is_person",), **OWN),
    Route("POST", "/api/messages/{agent}/ack", messages.ack, **OWN, **LOST),
    Route("POST", "/api/messages/{agent}/nack", messages.nack, **OWN, **LOST),
    Route("POST", "/api/messages/{agent}/extend", messages.extend, **OWN, **LOST),
    Route("GET", "/api/messages/{agent}/{id}", messages.state, refusals=("unknown_message",), role=PUBLISH),
    Route("GET", "/api/broadcasts", broadcasts.listing, role=AGENT),
    Route("POST", "/api/broadcasts", broadcasts.broadcast, headers=SENDING, refusals=REUSED, role=PUBLISH),
    Route("DELETE", "/api/broadcasts", broadcasts.clear),
    Route("POST", "/api/broadcasts/{agent}/read", broadcasts.read, **OWN),
    Route("POST", "/api/broadcasts/{agent}/seen", broadcasts.seen, refusals=("unknown_message",), **OWN),
    Route("GET", "/api/check/{agent}", messages.check, **OWN),
    Route("GET", "/api/history", history.listing, role=AGENT),
    Route("GET", "/api/threads", history.threads, role=AGENT),
    Route("GET", "/api/threads/{thread}", history.thread, role=AGENT),
    Route("POST", "/api/render", render.render, refusals=("rate_limited",), role=AGENT),
    Route("GET", "/api/dead/{agent}", dead.listing, **OWN),
    Route("POST", "/api/dead/{agent}/requeue", dead.requeue, refusals=(*UNKNOWN, "importing"), **OWN),
    Route("DELETE", "/api/dead/{agent}", dead.clear, **OWN),
    Route("GET", "/api/whoami", agents.whoami, headers=(*IN_SESSION, "X-Postino-Person"), role=PUBLISH),
    Route("GET", "/api/people", people.listing, role=AGENT),
    Route("GET", "/api/people/{agent}", people.inbox, refusals=UNKNOWN, **OWN),
    Route("POST", "/api/people/{agent}", people.register, refusals=("name_taken",)),
    Route("POST", "/api/people/{agent}/seen", people.seen, refusals=UNKNOWN, **OWN),
    Route("POST", "/api/people/{agent}/done", people.done, refusals=UNKNOWN, **OWN),
    Route("GET", "/api/agents", agents.listing, role=AGENT),
    Route("POST", "/api/agents/cleanup", agents.cleanup),
    Route("GET", "/api/agents/{agent}", agents.one, refusals=UNKNOWN, role=AGENT),
    Route("DELETE", "/api/agents/{agent}", agents.forget, refusals=(*UNKNOWN, "agent_busy")),
    Route("POST", "/api/agents/{agent}/heartbeat", agents.heartbeat, **OWN),
    Route("POST", "/api/agents/{agent}/rename", agents.rename, refusals=(*UNKNOWN, "name_taken", "alias_limit")),
    Route("GET", "/api/groups", groups.listing, role=AGENT),
    Route("POST", "/api/groups/{group}/members/{agent}", groups.join, refusals=("group_full",), **OWN),
    Route("DELETE", "/api/groups/{group}/members/{agent}", groups.leave, **OWN),
    Route(
        "GET",
        "/api/events",
        events.events,
        headers=("Last-Event-ID", "X-Postino-As"),
        refusals=("too_many",),
        role=AGENT,
    ),
    Route("POST", "/api/hooks/{event}", hooks.hook, raw=True),
    Route("GET", "/api/export", transfer.export, gives=NDJSON, refusals=("importing",)),
    Route(
        "POST",
        "/api/import",
        transfer.import_,
        raw=True,
        accepts=NDJSON,
        refusals=("bad_request", "not_empty", "importing", "name_taken"),
    ),
    Route("DELETE", "/api/import", transfer.abandon),
    Route("GET", "/api/sessions", sessions.listing),
    Route("GET", "/api/stats", health.stats, role=AGENT),
    Route("GET", "/api/health", health.health, needs_token=False, bodies={503: HealthReport}, role=PUBLISH),
    Route("POST", "/api/signin", signin.sign_in, refusals=("code_spent",), needs_token=False, longest_body=1024),
    Route("POST", "/api/notify", health.notify, refusals=("bad_request", "notify_failed")),
    Route("POST", "/api/signin/code", signin.code),
    Route("GET", "/api/tokens", tokens.listing),
    Route("POST", "/api/tokens", tokens.create),
    Route("DELETE", "/api/tokens/{agent}", tokens.revoke_all, refusals=("unknown_token",)),
    Route("DELETE", "/api/tokens/{agent}/{id}", tokens.revoke, refusals=("unknown_token",)),
    Route("GET", "/api/openapi.json", openapi.serve(lambda: ROUTES), role=AGENT),
    Route("POST", "/mcp", mcp.post, raw=True, in_api=False, role=AGENT),
    Route("GET", "/mcp", mcp.stream, in_api=False, role=AGENT),
    Route("DELETE", "/mcp", mcp.end, in_api=False, role=AGENT),
    Route("GET", "/metrics", health.metrics, in_api=False, gives="text/plain"),
    Route("GET", "/", page.index, in_api=False, needs_token=False),
    Route("GET", "/favicon.ico", page.favicon, in_api=False, needs_token=False),
    Route("GET", "/web/{path:.+}", page.file, in_api=False, needs_token=False),
)
