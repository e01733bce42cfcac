"""One route as data: method, path, handler, and the records of its query, body and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from postino.rest.call import ApiCall
from postino.rest.records import Nothing
from postino.rest.roles import ADMIN, Role

JSON = "application/json"
NDJSON = "application/x-ndjson"
PLAIN = "text/plain"

Handler = Callable[[ApiCall[Any, Any]], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path. `answers` is the record of a 200, or all that it may be; None: the answer is no JSON.

    `refusals` are the error codes beyond those of every route. `bodies` has the records of those statuses whose answer
    is more than an error.
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
