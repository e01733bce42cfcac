"""Routes of direct messages: send, look, read, ack, nack, extend, state, clear."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from aiohttp import web

from postino.broker import Broker
from postino.daemon.answers import answer
from postino.daemon.call import Call, merged, required
from postino.daemon.connection import is_gone, lost
from postino.daemon.records import (
    Accepted,
    Acknowledged,
    Cleared,
    Lease,
    NackBody,
    Nothing,
    Page,
    Paging,
    ReadQuery,
    Rejected,
    Returned,
    SendBody,
    SettleBody,
)
from postino.errors import LeaseLost
from postino.model import DEFAULT_PAGE, Batch, Draft, Message, MessageState, Settled, check_id, check_name, check_text


async def send(call: Call[Nothing, SendBody]) -> Accepted:
    """Accept a message for one agent."""
    asked = call.body
    draft = Draft(
        id=call.id(asked.id) or secrets.token_hex(16),
        to=check_name(asked.to, "to"),
        body=check_text(asked.body, "body"),
        thread=None if asked.thread is None else check_id(asked.thread, "thread"),
        reply_to=None if asked.reply_to is None else check_id(asked.reply_to, "reply_to"),
    )
    sent = await call.broker.send(draft, call.sender(asked.from_))
    return Accepted(
        id=sent.id,
        to=sent.to,
        seq=sent.seq,
        created=sent.created,
        known=sent.known,
        durability=sent.durability,
        names=sent.names,
    )


async def look(call: Call[Paging, Nothing]) -> Page[Message]:
    """List an inbox, oldest first, without consuming."""
    page = call.query
    items, total = await call.broker.look(call.agent(), page.limit, page.offset)
    return Page(items=items, total=total, limit=page.limit, offset=page.offset)


async def read(call: Call[ReadQuery, ReadQuery]) -> Lease:
    """Lease messages, waiting for one if asked to. A client that has gone keeps no lease."""
    asked = merged(call.query, call.body)
    agent = call.agent()
    consumer = call.consumer(asked.consumer) or f"c-{secrets.token_hex(8)}"
    options = {
        "limit": asked.limit or DEFAULT_PAGE,
        "ack_now": asked.ack == "now",
        "resume": bool(asked.resume),
    }
    batch = await _leased(call, agent, consumer, options)
    if not batch.items and asked.wait:
        batch = await _waited(call, agent, consumer, options, asked.wait, batch)
    return Lease(
        items=batch.items, more=batch.more, consumer=batch.consumer, agent=batch.agent, lease_ms=batch.lease_ms
    )


async def ack(call: Call[Nothing, SettleBody]) -> Acknowledged | web.Response:
    """Acknowledge messages that this consumer has leased."""
    agent, consumer, ids = _settling(call)
    return _acknowledged(await call.broker.ack(agent, consumer, ids))


async def nack(call: Call[Nothing, NackBody]) -> Returned | web.Response:
    """Give leased messages back, at once or after a delay."""
    agent, consumer, ids = _settling(call)
    settled = await call.broker.nack(agent, consumer, ids, call.body.delay_ms or 0)
    if settled.rejected:
        return _rejected(settled)
    return Returned(acknowledged=settled.acknowledged, rejected=[], dead=settled.dead)


async def extend(call: Call[Nothing, SettleBody]) -> Acknowledged | web.Response:
    """Prolong leases by one lease time from now."""
    agent, consumer, ids = _settling(call)
    return _acknowledged(await call.broker.extend(agent, consumer, ids))


async def state(call: Call[Nothing, Nothing]) -> MessageState:
    """Tell what became of one message."""
    return await call.broker.state(call.agent(), check_id(call.request.match_info["id"]))


async def clear(call: Call[Nothing, Nothing]) -> Cleared:
    """Drop everything in an inbox, leased messages too."""
    return Cleared(cleared=await call.broker.clear(call.agent()))


async def _leased(call: Call[Any, Any], agent: str, consumer: str, options: dict[str, Any]) -> Batch:
    batch = await call.broker.read(agent, consumer, budget=None, **options)
    if batch.items and is_gone(call.request):
        await _undo(call.broker, batch)
    return batch


async def _undo(broker: Broker, batch: Batch) -> None:
    """Give back what nobody will get to see, save what it held before; with `ack: now` it is gone, as that promises."""
    await broker.release_ids(batch.agent, batch.consumer, [message.id for message in batch.items[batch.resumed :]])


async def _waited(
    call: Call[Any, Any], agent: str, consumer: str, options: dict[str, Any], seconds: float, empty: Batch
) -> Batch:
    """Look again whenever mail may be there, until some is, the time is up, or either side goes away."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    gone, stopping = lost(call.request), asyncio.ensure_future(call.shared.stopping.wait())
    try:
        while (left := until - loop.time()) > 0:
            waiting = asyncio.ensure_future(call.broker.wait(agent, left))
            await _first_of(waiting, gone, stopping)
            if stopping.done() or gone.done() or is_gone(call.request):
                break
            batch = await _leased(call, agent, consumer, options)
            if batch.items:
                return batch
        return empty
    finally:
        stopping.cancel()


async def _first_of(waiting: asyncio.Future[None], gone: asyncio.Future[None], stopping: asyncio.Future[Any]) -> None:
    try:
        await asyncio.wait({waiting, gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            await waiting
    finally:
        waiting.cancel()


def _settling(call: Call[Nothing, Any]) -> tuple[str, str, list[str]]:
    consumer = required(call.consumer(call.body.consumer), "consumer")
    return call.agent(), consumer, [check_id(each, "ids") for each in call.body.ids]


def _acknowledged(settled: Settled) -> Acknowledged | web.Response:
    if settled.rejected:
        return _rejected(settled)
    return Acknowledged(acknowledged=settled.acknowledged, rejected=[])


def _rejected(settled: Settled) -> web.Response:
    count = len(settled.rejected)
    record = Rejected(
        ok=False,
        code=LeaseLost.code,
        error=f"{count} {'id is' if count == 1 else 'ids are'} not leased to this consumer (any more)",
        retryable=LeaseLost.retryable,
        acknowledged=settled.acknowledged,
        rejected=settled.rejected,
        dead=settled.dead,
    )
    return answer(record, LeaseLost.http)
