"""What OpenAPI cannot say about a request, for Schemathesis, which loads this file. See test_openapi.py."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    body, query, headers = case.body, case.query or {}, case.headers or {}
    if query.get("wait"):
        query["wait"] = 0  # a long poll is an answer too, but a slow one
    if case.path != "/api/history":  # a part of a list begins in one place
        for name in [each for each in ("after", "before", "offset") if query.get(each) not in (None, "0", 0)][1:]:
            del query[name]
    if not isinstance(body, dict):
        return
    for name, value in body.items():
        if isinstance(value, float) and value.is_integer():
            body[name] = int(value)  # JSON Schema takes 1.0 for an integer
    if body.get("wait"):
        body["wait"] = 0
    if case.path == "/api/messages" and body.get("to") is None:
        body["to"] = "bob"  # may be absent where `reply_to` is a message that `from` got
    names = body.get("to")
    if isinstance(names, list) and all(isinstance(each, str) for each in names) and len({*names}) == len(names):
        body["to"] = list({each.casefold(): each for each in names}.values())  # names that differ in case are one agent
    if case.path == "/api/messages":
        _ask(body)
    for name in set(body) & set(query):  # a member may be in either, and must not differ
        del query[name]
    if "id" in body:
        headers.pop("Idempotency-Key", None)
    if (
        "ids" in body
        and not body.get("consumer")
        and "X-Postino-Consumer" not in headers
        and not any(verb in case.path for verb in ("requeue", "seen", "done"))
    ):
        body["consumer"] = "c1"  # the consumer must be in either


def _ask(body: dict[str, Any]) -> None:
    """Make what belongs to an ask fit together, where each member is right by itself; wait no longer than needed."""
    seconds, of_reply = body.get("wait_reply"), [body.get("ack"), body.get("consumer")]
    if seconds is None and of_reply == [None, None]:
        return
    if seconds is None or (isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 < seconds <= 60):
        body["wait_reply"] = 0.01
    if body.get("from") is None:
        body["from"] = "asker"
    if body.get("ack") == "lease" and body.get("consumer") is None:
        body["consumer"] = "c1"
    if body.get("expects") == "none":
        body["expects"] = "reply"
    to = body["to"]
    if isinstance(to, list) and to and all(isinstance(each, str) for each in to):
        body["to"] = to[0]
    elif isinstance(to, str) and to.startswith("#"):
        body["to"] = to[1:] or to
