"""The route table. The router and the OpenAPI document are made from it."""

from __future__ import annotations

from typing import Any

from postino.broker.transfer import Imported
from postino.model import (
    Acknowledged,
    Agent,
    Broadcast,
    BroadcastSent,
    Check,
    Dead,
    HistoryPage,
    Lease,
    Message,
    MessageState,
    Returned,
    Sent,
)
from postino.rest import (
    agents,
    broadcasts,
    dead,
    events,
    health,
    history,
    hooks,
    messages,
    openapi,
    page,
    signin,
    transfer,
)
from postino.rest.records import (
    Abandoned,
    BroadcastBody,
    BroadcastReadQuery,
    Cleared,
    CodeBody,
    Done,
    EventsQuery,
    Forgotten,
    HealthReport,
    HistoryQuery,
    ImportQuery,
    NackBody,
    Page,
    Paging,
    ReadQuery,
    Rejected,
    RenameBody,
    RequeueBody,
    Requeued,
    Seen,
    SeenBody,
    SendBody,
    SettleBody,
    SignedIn,
    SignInCode,
    StatsReport,
    UnseenBroadcasts,
)
from postino.rest.route import NDJSON, Route

UNKNOWN = ("unknown_agent",)
REUSED = ("key_reused", "importing")
SENDING, READING = ("Idempotency-Key", "X-Postino-Via"), ("X-Postino-Consumer",)
LOST: dict[str, Any] = {"headers": READING, "refusals": ("lease_lost",), "bodies": {409: Rejected}}

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/api/messages", messages.send, Sent, body=SendBody, headers=SENDING, refusals=(*REUSED, "inbox_full")
    ),
    Route("GET", "/api/messages/{agent}", messages.peek, Page[Message], query=Paging),
    Route("DELETE", "/api/messages/{agent}", messages.clear, Cleared),
    Route("POST", "/api/messages/{agent}/read", messages.read, Lease, query=ReadQuery, body=ReadQuery, headers=READING),
    Route("POST", "/api/messages/{agent}/ack", messages.ack, Acknowledged, body=SettleBody, **LOST),
    Route("POST", "/api/messages/{agent}/nack", messages.nack, Returned, body=NackBody, **LOST),
    Route("POST", "/api/messages/{agent}/extend", messages.extend, Acknowledged, body=SettleBody, **LOST),
    Route("GET", "/api/messages/{agent}/{id}", messages.state, MessageState, refusals=("unknown_message",)),
    Route("GET", "/api/broadcasts", broadcasts.listing, Page[Broadcast], query=Paging),
    Route(
        "POST",
        "/api/broadcasts",
        broadcasts.broadcast,
        BroadcastSent,
        body=BroadcastBody,
        headers=SENDING,
        refusals=REUSED,
    ),
    Route("DELETE", "/api/broadcasts", broadcasts.clear, Cleared),
    Route(
        "POST",
        "/api/broadcasts/{agent}/read",
        broadcasts.read,
        UnseenBroadcasts,
        query=BroadcastReadQuery,
        body=BroadcastReadQuery,
    ),
    Route("POST", "/api/broadcasts/{agent}/seen", broadcasts.seen, Seen, body=SeenBody, refusals=("unknown_message",)),
    Route("GET", "/api/check/{agent}", messages.check, Check),
    Route("GET", "/api/history", history.listing, HistoryPage, query=HistoryQuery),
    Route("GET", "/api/dead/{agent}", dead.listing, Page[Dead], query=Paging),
    Route(
        "POST", "/api/dead/{agent}/requeue", dead.requeue, Requeued, body=RequeueBody, refusals=(*UNKNOWN, "importing")
    ),
    Route("DELETE", "/api/dead/{agent}", dead.clear, Cleared),
    Route("GET", "/api/agents", agents.listing, Page[Agent], query=Paging),
    Route("POST", "/api/agents/cleanup", agents.cleanup, Forgotten),
    Route("GET", "/api/agents/{agent}", agents.one, Agent, refusals=UNKNOWN),
    Route("DELETE", "/api/agents/{agent}", agents.forget, Done, refusals=(*UNKNOWN, "agent_busy")),
    Route("POST", "/api/agents/{agent}/heartbeat", agents.heartbeat, Agent),
    Route(
        "POST",
        "/api/agents/{agent}/rename",
        agents.rename,
        body=RenameBody,
        refusals=(*UNKNOWN, "name_taken", "alias_limit"),
    ),
    Route(
        "GET",
        "/api/events",
        events.events,
        query=EventsQuery,
        headers=("Last-Event-ID", "X-Postino-As"),
        refusals=("too_many",),
    ),
    Route("POST", "/api/hooks/{event}", hooks.hook, raw=True),
    Route("GET", "/api/export", transfer.export, gives=NDJSON, refusals=("importing",)),
    Route(
        "POST",
        "/api/import",
        transfer.import_,
        Imported,
        query=ImportQuery,
        raw=True,
        accepts=NDJSON,
        refusals=("bad_request", "not_empty", "importing", "name_taken"),
    ),
    Route("DELETE", "/api/import", transfer.abandon, Abandoned),
    Route("GET", "/api/stats", health.stats, StatsReport),
    Route("GET", "/api/health", health.health, HealthReport, bodies={503: HealthReport}),
    Route(
        "POST",
        "/api/signin",
        signin.sign_in,
        SignedIn,
        body=CodeBody,
        refusals=("code_spent",),
        needs_token=False,
        longest_body=1024,
    ),
    Route("POST", "/api/signin/code", signin.code, SignInCode),
    Route("GET", "/api/openapi.json", openapi.serve(lambda: ROUTES)),
    Route("GET", "/", page.index, in_api=False, needs_token=False),
    Route("GET", "/favicon.ico", page.favicon, in_api=False, needs_token=False),
    Route("GET", "/web/{path:.+}", page.file, in_api=False, needs_token=False),
)
