"""Signing a browser in: `postino open` fetches a code over the unix socket, the page changes it into the token."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from postino.errors import CodeSpent, Forbidden
from postino.rest.call import Call
from postino.rest.connection import Connection
from postino.rest.records import CodeBody, Nothing, SignedIn, SignInCode
from postino.rest.signin_codes import CODE_S


async def code(call: Call[Nothing, Nothing]) -> SignInCode:
    """Give the address of the page, with a single-use code where a token is wanted. On the unix socket only."""
    connection = call.request.protocol
    if not isinstance(connection, Connection) or connection.tcp:
        raise Forbidden("sign-in codes are made on the unix socket only")
    made = call.shared.codes.make() if call.shared.settings.api_token else None
    url = None if call.shared.url is None else address(call.shared.url, made)
    return SignInCode(code=made, url=url, expires_s=CODE_S)


async def sign_in(call: Call[Nothing, CodeBody]) -> SignedIn:
    """Change a sign-in code into the token, once, for a browser of this machine's user."""
    connection = call.request.protocol
    entrance = connection.entrance if isinstance(connection, Connection) else None
    if entrance is None or not entrance.own:  # a code stands in the browser's arguments, where others can read it
        raise Forbidden("a sign-in code is good on this machine only; elsewhere enter the token itself")
    if not call.shared.codes.spend(call.body.code):
        raise CodeSpent(f"this sign-in code is unknown, used or older than {CODE_S} s; run `postino open` again")
    return SignedIn(token=call.shared.settings.api_token)


def address(url: str, code: str | None) -> str:
    """Return where a browser opens the page: loopback by its name, under which the page keeps what it knows."""
    parts = urlsplit(url)
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.netloc.rpartition(":")[0]
    return urlunsplit(("http", f"{host}:{parts.port}", "/", "", f"code={code}" if code else ""))
