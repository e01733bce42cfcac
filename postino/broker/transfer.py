"""Export and import of the whole mailroom, as lines of JSON.

An export is not one moment: mail goes on while it runs. It holds everything that was accepted before it began and that
nobody has acknowledged or cleared since; of what happens meanwhile it may hold any part.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable

import msgspec
import structlog

from postino import __version__
from postino.broker.import_file import ImportFile
from postino.errors import Importing, PostinoError, StoreAway
from postino.model import Done, iso
from postino.store.keys import ALL
from postino.store.lines import FORMAT, DeadLine, EndLine, Header, HistoryLine, IdLine, Line, MessageLine, type_of
from postino.store.store import Store
from postino.store.transfer import TransferTable

_BATCH = 100  # lines of one script: a few milliseconds for the store
_BATCH_BYTES = 500_000
END_S = 20.0  # a failover takes five seconds, and the return of an only replica more
END_RETRY_S = 0.2
_encode = msgspec.json.Encoder().encode

log = structlog.get_logger()


class Imported(Done, frozen=True, kw_only=True):
    """The answer to an import: how many lines of each type there are, and how many of them were stored just now."""

    export: str
    exported: str
    counts: dict[str, int]
    stored: int


class Transfer:
    """Export and import."""

    def __init__(self, store: Store, table: TransferTable) -> None:
        self._store = store
        self._table = table

    async def export(self) -> AsyncIterator[bytes]:
        """Yield the lines of an export, some at a time; in memory is one page, and the ids of one agent's mail.

        Raises:
            Importing: an import has not finished, so that this is not the whole of anything.
            StoreAway: no reply; what was yielded is not a whole export.
        """
        if await self._table.is_importing():
            raise Importing("an import into this mailroom has not finished; finish that first")
        header = Header(
            postino=__version__,
            format=FORMAT,
            export=secrets.token_hex(8),
            exported=iso(await self._store.now_ms()),
        )
        yield _encode(header) + b"\n"
        counts: Counter[str] = Counter()
        async for lines in self._lines():
            counts.update(type_of(line) for line in lines)
            yield _joined(lines)
        if counts["damaged"]:
            log.error("export_damaged", entries=counts["damaged"])
        yield _joined([EndLine(counts=counts)])

    async def _lines(self) -> AsyncIterator[list[Line]]:
        agents, damaged = await self._table.agents()
        yield damaged
        for agent in agents:
            yield [msgspec.structs.replace(agent, seq=await self._table.last_seq(agent.name))]
            done: set[str] = set()
            async for lines in self._mail(agent.name, done):
                yield lines
            yield await self._table.open(agent.name)
            async for lines in self._table.ids(agent.name):
                yield [line for line in lines if not isinstance(line, IdLine) or line.id not in done]
        yield await self._table.notices()
        for part in (self._table.claude(), self._table.history(), self._table.broadcasts(), self._table.ids(ALL)):
            async for lines in part:
                yield lines
        yield await self._table.broadcast_numbers()
        yield await self._table.groups()

    async def _mail(self, agent: str, done: set[str]) -> AsyncIterator[list[Line]]:
        """Yield the messages and dead letters of an agent, each once; put their ids into `done`.

        A message may die, and a dead letter be requeued, between two pages. Both move to the tail of a stream, so each
        stream is read again from where its reading stopped.
        """
        after = {"dead": "0-0", "inbox": "0-0"}
        for kind in ("dead", "inbox", "dead", "inbox"):
            while True:
                lines, after[kind] = await self._table.entries(agent, kind, after[kind])
                if not lines:
                    break
                yield [line for line in lines if not isinstance(line, (MessageLine, DeadLine)) or line.id not in done]
                done.update(line.id for line in lines if isinstance(line, (MessageLine, DeadLine)))

    async def import_(self, lines: AsyncIterator[bytes], *, check: bool = False) -> Imported:
        """Store the lines of an export in this empty mailroom, in which nothing else can be stored meanwhile.

        When an import is interrupted, repeating it continues it: what is stored already is left out. With `check` the
        file is only read.

        Raises:
            BadField: the file is damaged; `line` names the line. What precedes it is stored, unless `check` is set.
            NotEmpty: the mailroom has had mail.
            Importing: the import of another file has not finished.
            NameTaken: an agent has a name by now that another agent has in the file.
        """
        file = ImportFile(await self._store.now_ms())
        header = file.read_header(await anext(lines, b""))
        if check:
            async for raw in lines:
                file.read(raw)
            file.finish()
            return _imported(file, header, 0)
        continued = await self._table.begin(header.export)
        stored, started = 0, continued
        try:
            async for batch in _batches(file, lines):
                started = True
                stored += await self._table.add(batch)
            file.finish()
        except PostinoError:
            if not started:  # else nothing can be sent until the import is repeated or abandoned
                await self._end()
            raise
        await self._end()
        return _imported(file, header, stored)

    async def abandon(self) -> bool:
        """End an import that was interrupted and will not be repeated; return whether there was one.

        What it has stored stays, and other mail is accepted again.
        """
        return await self._end()

    async def _end(self) -> bool:
        """End an import; return whether there was one.

        Repeated for END_S, also through a failover: all is stored by now, and the same import again would be refused.
        """
        unknown, until = False, time.monotonic() + END_S
        while True:
            try:
                return await self._table.end() or unknown
            except StoreAway as error:
                if time.monotonic() > until:
                    raise
                unknown = unknown or error.detail["outcome"] == "unknown"
            await asyncio.sleep(END_RETRY_S)


async def _batches(file: ImportFile, lines: AsyncIterator[bytes]) -> AsyncIterator[list[Line]]:
    """Yield the checked lines of a file, in order, each batch of one type and one agent."""
    batch: list[Line] = []
    size = 0
    about: tuple[str, str] | None = None
    async for raw in lines:
        line = file.read(raw)
        kind = type_of(line), "" if isinstance(line, HistoryLine) else getattr(line, "to", "")
        if batch and (kind != about or len(batch) == _BATCH or size + len(raw) > _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        about = kind
        batch.append(line)
        size += len(raw)
    if batch:
        yield batch


def _joined(lines: Iterable[Line]) -> bytes:
    return b"".join([_encode(line) + b"\n" for line in lines])


def _imported(file: ImportFile, header: Header, stored: int) -> Imported:
    return Imported(export=header.export, exported=header.exported, counts=dict(file.counts), stored=stored)
