"""One request as a handler sees it, and what the whole application shares."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from aiohttp import web

from postino.errors import BadField, BadRequest
from postino.model import ANONYMOUS, Record, Sender, Via, check_id, check_name
from postino.rest.signin_codes import Codes

if TYPE_CHECKING:
    from postino.broker import Broker
    from postino.claude.turns import Turns
    from postino.config import Settings
    from postino.rest.rates import Rates

Q = TypeVar("Q")
B = TypeVar("B")
S = TypeVar("S", bound=Record)

_FACES: dict[str, Via] = {"cli": "cli", "web": "web"}  # what our own clients may say of themselves


class Shared:
    """What every handler of one application has in common."""

    def __init__(self, broker: Broker, settings: Settings, rates: Rates, turns: Turns) -> None:
        self.broker = broker
        self.settings = settings
        self.rates = rates
        self.turns = turns
        self.url: str | None = None  # of the TCP side, once it listens
        self.streams = 0  # open event streams
        self.holding: Counter[str] = Counter()  # streams that agents hold as themselves
        self.codes = Codes()
        self.stopping = asyncio.Event()
        self.began = time.monotonic()


class Call(Generic[Q, B]):
    """A request that was let in: its query and body are records."""

    __slots__ = ("body", "broker", "query", "request", "shared")

    def __init__(self, shared: Shared, request: web.Request, query: Q, body: B) -> None:
        self.shared = shared
        self.broker = shared.broker
        self.request = request
        self.query = query
        self.body = body

    def agent(self) -> str:
        """Return the agent named in the path.

        Raises:
            BadName: it cannot be one.
        """
        return check_name(self.request.match_info["agent"], "agent")

    def sender(self, name: str | None) -> Sender:
        """Return who says to send; nobody vouches for a bare caller's `from`.

        Raises:
            BadName: it cannot be one.
        """
        via = _FACES.get(self.request.headers.get("X-Postino-Via", ""), "http")
        return Sender(name=ANONYMOUS if name is None else check_name(name, "from"), via=via)

    def id(self, given: str | None) -> str | None:
        """Return the id of what is sent, from the field or the header Idempotency-Key; None when there is none.

        Raises:
            BadRequest: both are given and differ.
            BadField: it is malformed.
        """
        key = self.request.headers.get("Idempotency-Key")
        if key is None:
            return given if given is None else check_id(given)
        if given is not None and given != key:
            raise BadRequest("the header Idempotency-Key and the field id differ", field="id")
        return check_id(key, "Idempotency-Key")

    def consumer(self, given: str | None) -> str | None:
        """Return the reading session; None when there is none.

        A client may say in X-Postino-Consumer who it is and still settle for another session: the field wins.

        Raises:
            BadField: it is malformed.
        """
        found = given if given is not None else self.request.headers.get("X-Postino-Consumer")
        return found if found is None else check_id(found, "consumer")


def merged(query: S, body: S) -> S:
    """Return one record of what stands in the query and what stands in the body.

    Raises:
        BadRequest: they contradict each other.
    """
    found: dict[str, object] = {}
    for name in query.__struct_fields__:
        here, there = getattr(query, name), getattr(body, name)
        if None not in (here, there) and here != there:
            raise BadRequest(f"{name} differs in the query and in the body", field=name)
        found[name] = there if here is None else here
    return type(query)(**found)


def required(value: str | None, field: str) -> str:
    """Return `value`.

    Raises:
        BadField: there is none.
    """
    if value is None:
        raise BadField(f"{field} is missing", field=field)
    return value
