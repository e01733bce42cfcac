"""One route as data: method, path, handler, and the records it takes and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postino.rest.call import Call
from postino.rest.records import Nothing

Handler = Callable[[Call[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `answers` is the record of a 200; None: no JSON.

    `refusals` are the codes a caller has to expect here beyond those of every route; `bodies` are the records of those
    statuses whose answer is not a mere refusal.
    """

    method: str
    path: str
    handler: Handler
    answers: Any = None
    query: Any = Nothing
    body: Any = Nothing
    refusals: tuple[str, ...] = ()
    bodies: Mapping[int, Any] = field(default_factory=dict)
    raw: bool = False  # the handler reads the body itself
    in_api: bool = True  # False: the page
    needs_token: bool = True  # False: what a browser asks for before it has one

    @property
    def summary(self) -> str:
        """What it does: the first line of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0]
