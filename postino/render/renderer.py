"""Renders bodies in a thread of its own, one at a time, and keeps what it rendered."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from postino.render.bounds import Bounds, Exceeded

KEPT_BYTES = 8_000_000  # of rendered trees: some thousand messages, or 130 of the longest
PAGE_S = 0.4  # for the bodies of one answer; the others have no tree in it, and are asked for one by one
_OVERHEAD = 150  # bytes of an entry besides its tree
AS_WRITTEN = b"null"


class Renderer:
    """Renders bodies to trees as JSON. `null`: the body is to be shown as it is written."""

    def __init__(self) -> None:
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self.size = 0  # bytes that are kept
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    def __contains__(self, body: str) -> bool:
        """Return whether `body` needs no rendering."""
        return _key(body) in self._kept

    async def one(self, body: str) -> msgspec.Raw:
        """Return the tree of `body` as JSON; after `close` `null`, unless it is kept."""
        key = _key(body)
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
        elif (found := await self._rendered(body)) is not None:
            self._keep(key, found)
        return msgspec.Raw(AS_WRITTEN if found is None else found)

    async def page(self, bodies: Sequence[str]) -> list[msgspec.Raw | msgspec.UnsetType]:
        """Return the trees of `bodies`, as many of them as take `PAGE_S` together; for the others UNSET."""
        loop = asyncio.get_running_loop()
        if self._thread is None:  # the import, once, is not at the expense of the first answer
            await self._rendered("")
        clock = loop.time
        until = clock() + PAGE_S
        found: list[msgspec.Raw | msgspec.UnsetType] = []
        for body in bodies:
            if body in self or (clock() < until and not self._closed):
                found.append(await self.one(body))
            else:
                found.append(msgspec.UNSET)
        return found

    def close(self) -> None:
        """End the thread; a body that is being rendered ends within the bounds, those that wait are not rendered."""
        self._closed = True
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)

    async def _rendered(self, body: str) -> bytes | None:
        """Render in the thread; None if `close` comes before that has begun."""
        if self._closed:
            return None
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="render")
        future = asyncio.get_running_loop().run_in_executor(self._thread, render, body)
        try:
            return await future
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not self._closed or (task is not None and task.cancelling()):
                raise
            return None

    def _keep(self, key: bytes, tree: bytes) -> None:
        if key in self._kept:  # two callers asked for the same
            return
        self._kept[key] = tree
        self.size += len(tree) + _OVERHEAD
        while self.size > KEPT_BYTES:
            _, oldest = self._kept.popitem(last=False)
            self.size -= len(oldest) + _OVERHEAD


def render(body: str) -> bytes:
    """Return the tree of `body` as JSON; `null` if it exceeds the bounds. One thread may call this at a time.

    It takes 1 ms for a report of 2 KB and at most about 120 ms, in which other threads run.
    """
    from postino.render.parser import parser
    from postino.render.tree import Tree

    markdown = parser()
    bounds = Bounds()
    try:
        tokens = markdown.tokens(body, bounds)
        return msgspec.json.encode(Tree(bounds, markdown.written).build(tokens, body))
    except (Exceeded, RecursionError, UnicodeEncodeError):
        return AS_WRITTEN


def _key(body: str) -> bytes:
    return hashlib.blake2b(body.encode("utf-8", "surrogatepass"), digest_size=16).digest()
