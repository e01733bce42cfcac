"""The records of the REST API for named tokens and for signing in."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from postino.model import Done, Record
from postino.rest.records import Asked
from postino.rest.roles import Role
from postino.schema import Name
from postino.values import check_name

LONGEST_TTL_S = 315_360_000  # of a named token: ten years


class TokenBody(Asked, frozen=True, kw_only=True):
    """A named token to create; without `ttl_s` (seconds) it does not expire."""

    name: Name
    role: Role
    ttl_s: Annotated[int, Meta(ge=1, le=LONGEST_TTL_S)] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)


class CodeBody(Asked, frozen=True, kw_only=True):
    """A sign-in code."""

    code: str


class Token(Record, frozen=True, kw_only=True):
    """A named token without its secret. `expires` None: never; `last_used` None: not since the daemon started."""

    id: str
    name: str
    role: Role
    created: str
    expires: str | None
    expired: bool
    last_used: str | None


class NewToken(Done, frozen=True, kw_only=True):
    """A new token, in full for the only time."""

    token: str
    id: str
    name: str
    role: Role
    created: str
    expires: str | None


class TokensRevoked(Done, frozen=True, kw_only=True):
    """The ids of the tokens that were revoked."""

    revoked: list[str]


class SignInCode(Done, frozen=True, kw_only=True):
    """The address of the page (None: TCP is off) and the code in it."""

    code: str
    url: str | None
    expires_s: int


class SignedIn(Done, frozen=True, kw_only=True):
    """The token for this browser tab, None if none is set; and the person as whom it sends from now on.

    With the header X-Postino-Person: `proof`, what it sends as `person` is verified. None: nobody has vouched for it.
    """

    token: str | None
    person: str | None = None
    proof: str | None = None
