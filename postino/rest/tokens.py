"""Routes of named tokens: create, list, revoke. On the unix socket only."""

from __future__ import annotations

import structlog

from postino.model import iso
from postino.rest.call import ApiCall
from postino.rest.named_tokens import Caller
from postino.rest.records import Nothing, Page, Paging
from postino.rest.token_records import NewToken, Token, TokenBody, TokensRevoked
from postino.values import check_id

UNIX_ONLY = "tokens are managed on the unix socket only; run `postino token`"

_log = structlog.get_logger()


async def create(call: ApiCall[Nothing, TokenBody]) -> NewToken:
    """Create a token for a name; only this answer has it. On the unix socket only."""
    call.check_unix(UNIX_ONLY)
    asked = call.body
    token, holder = await call.state.tokens.create(asked.name, asked.role, asked.ttl_s)
    described = _described(holder)
    _log.info("token_created", id=described.id, name=asked.name, role=asked.role, expires=described.expires)
    return NewToken(
        token=token, id=described.id, name=asked.name, role=asked.role, created=described.created,
        expires=described.expires,
    )  # fmt: skip


async def listing(call: ApiCall[Paging, Nothing]) -> Page[Token]:
    """List the tokens, without their secrets. On the unix socket only."""
    call.check_unix(UNIX_ONLY)
    asked, found = call.query, call.state.tokens.all()
    items = [_described(each) for each in found[asked.offset : asked.offset + asked.limit]]
    return asked.page(items, len(found))


async def revoke_all(call: ApiCall[Nothing, Nothing]) -> TokensRevoked:
    """Revoke every token of a name, at once. On the unix socket only."""
    return await _revoke(call, None)


async def revoke(call: ApiCall[Nothing, Nothing]) -> TokensRevoked:
    """Revoke one token of a name, at once. On the unix socket only."""
    return await _revoke(call, check_id(call.path["id"]))


async def _revoke(call: ApiCall[Nothing, Nothing], id: str | None) -> TokensRevoked:
    call.check_unix(UNIX_ONLY)
    revoked = await call.state.tokens.revoke(call.agent(), id)
    for each in revoked:
        _log.info("token_revoked", id=each.token.id, name=each.name)
    return TokensRevoked(revoked=[each.token.id for each in revoked])


def _described(holder: Caller) -> Token:
    token = holder.token
    return Token(
        id=token.id,
        name=token.name,
        role=token.role,
        created=iso(token.created * 1000),
        expires=None if token.expires is None else iso(token.expires * 1000),
        expired=holder.has_expired,
        last_used=None if holder.last_used is None else iso(int(holder.last_used * 1000)),
    )
