"""Routes of direct messages: send, peek, read, ack, nack, extend, state, check, clear."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from postino.broker.reach import nobody
from postino.errors import BadField, LeaseLost, NotAllowed, UnknownGroup, UnknownMessage, naming
from postino.hint import hint
from postino.model import (
    ANONYMOUS,
    Acknowledged,
    Batch,
    Check,
    Draft,
    Lease,
    Message,
    MessageState,
    Returned,
    Sender,
    Sent,
)
from postino.rest.answers import answer, text
from postino.rest.call import WAITED, ApiCall, merged, required
from postino.rest.connection import is_disconnected
from postino.rest.parts import PartPage, RenderedParts, page_of, rendered
from postino.rest.records import Cleared, NackBody, Nothing, ReadQuery, Rejected, SendBody, SettleBody
from postino.rest.roles import PUBLISH
from postino.several import Delivery, ManyDraft, SentMany, addressed
from postino.tasks import first_of
from postino.values import DEFAULT_PAGE, check_id

Done = TypeVar("Done", Acknowledged, Returned)
S = TypeVar("S", Sent, Delivery)


def send(call: ApiCall[Nothing, SendBody]) -> Awaitable[Sent | SentMany]:
    """Accept a message for one agent, or for several: for all of them or for none."""
    return _send(call, call.body)


async def send_text(call: ApiCall[Nothing, str]) -> Sent | SentMany:
    """Accept a message for one agent, or a group, whose body is the request's body as it stands.

    A web page can send plain text without a preflight. It cannot add the header X-Postino-From, nor the header
    Authorization of a named token, without one.
    """
    sender = call.header("X-Postino-From")
    if sender is None and call.caller is None:
        raise BadField(
            "the header X-Postino-From is missing; it names the sender, and keeps out web pages, which cannot set it",
            field="X-Postino-From",
        )
    thread = call.header("X-Postino-Thread")
    to = call.path["agent"]
    return await _send(call, SendBody(to=to, body=call.body, from_=sender, thread=thread))


async def _send(call: ApiCall[Nothing, Any], asked: SendBody) -> Sent | SentMany:
    to, several = addressed(asked.to)
    draft = Draft(
        id=call.id(asked.id),
        to=to,
        body=asked.body,
        thread=asked.thread,
        reply_to=asked.reply_to,
        expects=asked.expects,
        choices=asked.choices,
    )
    publishes = call.caller is not None and call.caller.role == PUBLISH  # reads nothing, names of others neither
    if draft.to is None and publishes:
        raise NotAllowed("to is missing: a token with the role publish got no message that it could answer", field="to")
    if asked.wait_reply is not None and publishes:
        raise NotAllowed("wait_reply: a token with the role publish reads nothing", field="wait_reply")
    if asked.wait_reply is not None and several is not None:
        raise BadField("wait_reply waits for the reply of one agent; send to several without it", field="wait_reply")
    sender = await call.sender(asked.from_)
    if draft.to is None and sender.name == ANONYMOUS:
        raise BadField("from is missing: who answers a message has to be who got it; or give `to`", field="from")
    sent: Sent | SentMany
    with naming(draft.id):
        if several is not None:
            sent = await _send_many(call, ManyDraft(to=several, draft=draft), sender, publishes=publishes)
        elif asked.wait_reply is not None:
            return await _ask(call, draft, sender, asked, asked.wait_reply)
        else:
            sent = await call.broker.mail.send(draft, sender)
            sent = _unnamed(sent) if publishes else sent
    await call.note_act(sender)
    if draft.reply_to is not None:
        await call.broker.people.answered(sender.name, draft.reply_to)
    return sent


async def _send_many(call: ApiCall[Nothing, Any], many: ManyDraft, sender: Sender, *, publishes: bool) -> SentMany:
    """Send to several; who only `publishes` is told no names but those that it gave."""
    try:
        sent = await call.broker.groups.send_many(many, sender)
    except UnknownGroup:
        if not publishes:
            raise
        raise UnknownGroup(f"there is no group #{many.group}", names=[]) from None
    if not publishes:
        return sent
    return msgspec.structs.replace(sent, recipients=[] if sent.group else [_unnamed(each) for each in sent.recipients])


def _unnamed(sent: S) -> S:
    """Return an answer without the names of others."""
    return msgspec.structs.replace(sent, names=[], reach=sent.reach if sent.known else nobody([], []))


async def _ask(call: ApiCall[Nothing, Any], draft: Draft, sender: Sender, asked: SendBody, seconds: float) -> Sent:
    """Send and wait for the reply, until either side goes away."""
    if sender.name == ANONYMOUS:
        raise BadField("from is missing: the reply goes to the agent that it names", field="from")
    consumer, ack_now = call.consumer(asked.consumer), asked.ack != "lease"
    consumer = (consumer or f"c-{secrets.token_hex(8)}") if ack_now else required(consumer)
    call.request[WAITED] = True
    mail = call.broker.mail

    async def take(id: str) -> Message | None:
        if is_disconnected(call.request):
            return None
        agent, reply = await mail.take(sender.name, consumer, id, ack_now=ack_now)
        if reply is not None and not ack_now and is_disconnected(call.request):
            await mail.undo_read(agent, consumer, [id])
        return reply

    with call.ends() as ends:
        ask = await call.broker.asks.send(draft, sender)
        await call.note_act(sender)
        if draft.reply_to is not None:
            await call.broker.people.answered(sender.name, draft.reply_to)
        reply = await ask.reply(seconds, take, *ends)
        if reply is None and call.caller is not None:
            call.caller.check_valid()
        return ask.answer(reply)


async def peek(call: ApiCall[RenderedParts, Nothing]) -> PartPage[Message]:
    """List an inbox, oldest first, without leasing."""
    asked = call.query
    found = await call.broker.mail.part(call.recipient(), asked.limit, asked.place())
    return await rendered(call, page_of(asked, found))


async def read(call: ApiCall[ReadQuery, ReadQuery]) -> Lease:
    """Lease messages, waiting for one if `wait` says so. A client that has gone keeps no lease."""
    asked = merged(call.query, call.body)
    agent = call.recipient()  # a person's is refused with a sentence of its own
    consumer = call.consumer(asked.consumer) or f"c-{secrets.token_hex(8)}"
    options = {
        "limit": asked.limit or DEFAULT_PAGE,
        "ack_now": asked.ack == "now",
        "resume": bool(asked.resume),
    }
    batch = await _lease(call, agent, consumer, options)
    if not batch.items and asked.wait:
        call.request[WAITED] = True
        batch = await _poll(call, agent, consumer, options, asked.wait, batch)
    return batch.lease


async def ack(call: ApiCall[Nothing, SettleBody]) -> Acknowledged | web.Response:
    """Acknowledge messages that are leased to this consumer."""
    agent, consumer, ids = _leased(call)
    return _answer(await call.broker.mail.ack(agent, consumer, ids))


async def nack(call: ApiCall[Nothing, NackBody]) -> Returned | web.Response:
    """Return leased messages to the inbox, at once or after a delay."""
    agent, consumer, ids = _leased(call)
    return _answer(await call.broker.mail.nack(agent, consumer, ids, call.body.delay_ms or 0))


async def extend(call: ApiCall[Nothing, SettleBody]) -> Acknowledged | web.Response:
    """Extend leases to one lease time from now."""
    agent, consumer, ids = _leased(call)
    return _answer(await call.broker.mail.extend(agent, consumer, ids))


async def state(call: ApiCall[Nothing, Nothing]) -> MessageState:
    """Return the state of one message.

    A named token below admin sees that of what it sent, and as an agent of what it was sent.
    """
    id = check_id(call.path["id"])
    found = await call.broker.mail.state(call.recipient(), id)
    if call.restricted is not None:
        parties = (found.from_,) if call.restricted.role == PUBLISH else (found.from_, found.to)
        if not any([await call.is_own(each) for each in parties]):
            raise UnknownMessage(f"no message {id} is known in the inbox of {found.to}")  # as if there were none
    return found


async def check(call: ApiCall[Nothing, Nothing]) -> Check | web.Response:
    """Count what an agent can read now; as text/plain, one line for a hook to print, or nothing."""
    agent = call.recipient()
    found = await call.broker.agents.check(agent)
    if "text/plain" not in call.request.headers.get("Accept", ""):
        return found
    senders = await call.broker.mail.senders(agent) if found.unread_messages else []
    return text(hint(found.unread_messages, found.unseen_broadcasts, senders))


async def clear(call: ApiCall[Nothing, Nothing]) -> Cleared:
    """Delete every message of an inbox, leased ones too."""
    return Cleared(cleared=await call.broker.mail.clear(call.recipient()))


async def _lease(call: ApiCall[Any, Any], agent: str, consumer: str, options: dict[str, Any]) -> Batch:
    """Lease messages; return to the inbox what a client that has gone did not hold before and will not receive."""
    mail = call.broker.mail
    batch = await mail.read(agent, consumer, **options)
    if batch.items and is_disconnected(call.request):  # `ack: now` cannot be undone
        await mail.undo_read(batch.lease.agent, consumer, [message.id for message in batch.items[batch.resumed :]])
    return batch


async def _poll(
    call: ApiCall[Any, Any], agent: str, consumer: str, options: dict[str, Any], seconds: float, empty: Batch
) -> Batch:
    """Read again whenever a message may have arrived, until one has, time is up or either side goes away."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    with call.ends() as ends:
        while (left := until - loop.time()) > 0:
            await first_of(call.broker.mail.wait(agent, left), ends)
            if call.caller is not None:
                call.caller.check_valid()
            if any(each.done() for each in ends) or is_disconnected(call.request):
                break
            batch = await _lease(call, agent, consumer, options)
            if batch.items:
                return batch
    return empty


def _leased(call: ApiCall[Nothing, Any]) -> tuple[str, str, list[str]]:
    return call.agent(), required(call.consumer(call.body.consumer)), call.body.ids


def _answer(done: Done) -> Done | web.Response:
    """Return the record, or a 409 if an id was rejected."""
    if not done.rejected:
        return done
    count = len(done.rejected)
    record = Rejected(
        ok=False,
        code=LeaseLost.code,
        error=f"{count} {'id is' if count == 1 else 'ids are'} not leased to this consumer, or no longer; read again",
        retryable=LeaseLost.retryable,
        acknowledged=done.acknowledged,
        rejected=done.rejected,
        dead=done.dead if isinstance(done, Returned) else [],
    )
    return answer(record, LeaseLost.http)
