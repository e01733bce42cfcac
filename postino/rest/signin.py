"""Routes of signing in: `postino open` gets a code over the unix socket; the page exchanges it for token and proof."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from postino.errors import CodeSpent, Forbidden
from postino.rest.call import ApiCall, AppState
from postino.rest.connection import connection_of
from postino.rest.records import Nothing
from postino.rest.signin_codes import CODE_S
from postino.rest.token_records import CodeBody, SignedIn, SignInCode


async def code(call: ApiCall[Nothing, Nothing]) -> SignInCode:
    """Return the address of the page with a single-use code in it. On the unix socket only."""
    call.check_unix("sign-in codes are created on the unix socket only; run `postino open`")
    made = call.state.signin_codes.make(await call.person())
    url = None if call.state.url is None else f"{local_url(call.state.url)}#code={made}"
    return SignInCode(code=made, url=url, expires_s=CODE_S)


async def sign_in(call: ApiCall[Nothing, CodeBody]) -> SignedIn:
    """Exchange a sign-in code for the token and a proof of who sends, once, for a browser of this user, here."""
    policy = connection_of(call.request).policy
    if policy is None or not policy.local:  # other users can read the code in the browser's arguments
        raise Forbidden("a sign-in code works on this machine only; elsewhere enter the token itself")
    is_valid, person = call.state.signin_codes.spend(call.body.code)
    if not is_valid:
        raise CodeSpent(f"this sign-in code is unknown, used or older than {CODE_S} s; run `postino open` again")
    proof = call.state.proofs.make(person) if person else None
    return SignedIn(token=call.state.settings.api_token, person=person, proof=proof)


def public_url(state: AppState) -> str | None:
    """Return the address of the page for other devices: an origin of POSTINO_ALLOWED_HOSTS, else the local one."""
    origins = [host for host in state.settings.allowed_hosts if "://" in host]
    if origins:
        return f"{origins[0]}/"
    return None if state.url is None else local_url(state.url)


def local_url(url: str) -> str:
    """Return the address of the page for a browser. Loopback is `localhost`: the page's storage is kept by name."""
    parts = urlsplit(url)
    host = "localhost" if parts.hostname in ("127.0.0.1", "::1") else parts.netloc.rpartition(":")[0]
    return urlunsplit((parts.scheme, f"{host}:{parts.port}", "/", "", ""))
