"""One route as data: method, path and handler, whose annotations name the records of query, body and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import cached_property
from inspect import get_annotations
from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

from postino.rest.call import ApiCall
from postino.rest.records import Nothing
from postino.rest.roles import ADMIN, Role

JSON = "application/json"
NDJSON = "application/x-ndjson"
PLAIN = "text/plain"

Handler = Callable[[ApiCall[Any, Any]], Awaitable[object]]


class Route(msgspec.Struct, frozen=True, dict=True):
    """One method of one path.

    `refusals` are the error codes beyond those of every route. `bodies` has the records of those statuses whose answer
    is more than an error.
    """

    method: str
    path: str
    handler: Handler
    refusals: tuple[str, ...] = ()
    bodies: Mapping[int, Any] = msgspec.field(default_factory=dict)
    raw: bool = False  # the handler reads the body itself
    accepts: str = JSON  # the content type of the body of a POST
    gives: str = JSON  # the content type of a 200
    headers: tuple[str, ...] = ()  # that the handler reads, see openapi.HEADERS
    in_api: bool = True  # False: the page, and MCP and metrics, which their own specifications describe
    needs_token: bool = True  # False: the caller has none yet, such as a browser or a load balancer
    role: Role = ADMIN  # the least one of a named token that may use this route
    own: bool = False  # below admin, the agent in the path must be the token's own
    longest_body: int | None = None  # bytes, where the setting allows more than this route needs

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").partition("\n")[0]

    @cached_property
    def _named(self) -> dict[str, Any]:
        return get_annotations(self.handler, eval_str=True)

    @property
    def query(self) -> Any:
        """The record of the query."""
        return get_args(self._named["call"])[0]

    @property
    def body(self) -> Any:
        """The record of the body; Nothing for one that is no JSON."""
        body = get_args(self._named["call"])[1]
        return body if _is_record(body) else Nothing

    @property
    def answers(self) -> tuple[Any, ...]:
        """The records that a 200 may be; none: the answer is no JSON."""
        returned = self._named["return"]
        origin: Any = get_origin(returned)
        if origin is Awaitable:
            (returned,) = get_args(returned)
        answers = get_args(returned) if isinstance(returned, UnionType) else (returned,)
        return tuple(filter(_is_record, answers))


def _is_record(kind: Any) -> bool:
    return issubclass(get_origin(kind) or kind, msgspec.Struct)
