"""The operations of one session that are under way: in which order they run, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

from postino.mcp.pending_read import RequestId

T = TypeVar("T")


class SessionTasks:
    """Tasks that the end of a session waits for, and calls that wait for something."""

    def __init__(self) -> None:
        self._preceding: set[asyncio.Task[None]] = set()  # acks and nacks under way; the next operation waits for them
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waits: dict[RequestId, asyncio.Future[object]] = {}  # done: nobody waits for the answer any more

    @property
    def is_waiting(self) -> bool:
        """Whether a call of the client waits for a reply; then its model is busy."""
        return bool(self._waits)

    def begin_wait(self, request: RequestId) -> asyncio.Future[object]:
        """Return a future that is done when nobody waits for the answer of `request` any more; see `end_wait`."""
        return self._waits.setdefault(request, asyncio.get_running_loop().create_future())

    def end_wait(self, request: RequestId) -> None:
        """Forget the future of `begin_wait`; call it in any case."""
        self._waits.pop(request, None)

    def _abandon(self, request: RequestId) -> None:
        """End the wait of a request, if there is one."""
        wait = self._waits.get(request)
        if wait is not None and not wait.done():
            wait.set_result(None)

    async def _after_preceding(self, operation: Awaitable[T]) -> T:
        if self._preceding:
            await asyncio.wait(self._preceding)
        return await operation

    def _precede(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that acknowledges or gives back reads; the session's next operation waits for it."""
        task = self._spawn(work)
        self._preceding.add(task)
        return task

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start a task that the end of the session waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._preceding.discard(task)
        if not task.cancelled():
            task.exception()  # marks it as retrieved; whoever awaits the task has it, and a cancelled call has nobody
