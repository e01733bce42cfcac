"""GET /api/export, POST and DELETE /api/import: the whole mailroom as lines of JSON, on the unix socket only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog
from aiohttp import web

from postino.broker.import_file import LONGEST_LINE
from postino.broker.transfer import Imported
from postino.errors import BadRequest, PostinoError
from postino.rest.call import ApiCall
from postino.rest.records import Abandoned, ImportQuery, Nothing
from postino.rest.route import NDJSON

UNIX_ONLY = "export and import work on the unix socket only"
STALLED_S = 60.0  # without a byte, after which the other end counts as gone

_log = structlog.get_logger()


async def export(call: ApiCall[Nothing, Nothing]) -> web.StreamResponse:
    """Export the mailroom, one JSON object in each line; the last line has the counts. On the unix socket only."""
    call.check_unix(UNIX_ONLY)
    head = {"Content-Type": NDJSON, "Server": "postino"}
    if call.request.method == "HEAD":
        return web.Response(headers=head)  # a StreamResponse would send its body all the same
    parts = call.broker.transfer.export()
    first = await anext(parts)  # if the store is away, this still becomes an answer of its own
    stream = web.StreamResponse(headers=head)
    await stream.prepare(call.request)
    try:
        await _write(stream, first)
        async for part in parts:
            await _write(stream, part)
        await stream.write_eof()
    except (PostinoError, ConnectionError, TimeoutError) as error:
        _log.error("export_failed", error=str(error))
        if call.request.transport is not None:
            call.request.transport.abort()  # after the head, only a broken connection tells that it is not whole
    return stream


async def import_(call: ApiCall[ImportQuery, Nothing]) -> Imported:
    """Import an export into an empty mailroom; with `check` only read it. On the unix socket only."""
    call.check_unix(UNIX_ONLY)
    return await call.broker.transfer.import_(_lines(call.request), check=bool(call.query.check))


async def abandon(call: ApiCall[Nothing, Nothing]) -> Abandoned:
    """End an import that was interrupted: what it has stored stays, and mail is accepted again. Unix socket only."""
    call.check_unix(UNIX_ONLY)
    return Abandoned(abandoned=await call.broker.transfer.abandon())


async def _write(stream: web.StreamResponse, part: bytes) -> None:
    async with asyncio.timeout(STALLED_S):
        await stream.write(part)


async def _lines(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the lines of the body without their ends. One that is too long comes cut, and so is refused."""
    rest = b""
    while chunk := await _chunk(request):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield rest


async def _chunk(request: web.Request) -> bytes:
    try:
        async with asyncio.timeout(STALLED_S):
            return await request.content.readany()
    except TimeoutError:
        raise BadRequest(f"nothing arrived for {STALLED_S:.0f} s; import the file again") from None
    except (web.RequestPayloadError, ConnectionError, ValueError):
        raise BadRequest("the file ended early; import it again") from None
