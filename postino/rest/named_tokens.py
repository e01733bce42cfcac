"""Named tokens: each admits its holder under one name and with one role. Of its secret only a hash is kept.

A token is `po_<id>_<secret>`. The file tokens.json is written by the one daemon that holds the home's lock.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

import msgspec

from postino import private_files
from postino.errors import BadField, NotAllowed, RateLimited, Unauthorized, UnknownToken
from postino.model import iso
from postino.rest.last_minute import LastMinute
from postino.rest.roles import ADMIN, ROLES, Role

MARK = b"po"
SECRET_BYTES = 32
MOST = 200  # tokens, as many as one page lists
KEPT_S = 30 * 86_400  # after which an expired token is no longer listed


class NamedToken(msgspec.Struct, frozen=True):
    """One token as it is kept. Times are in seconds since 1970; `expires` None: never."""

    id: str
    name: str
    role: Role
    created: int
    expires: int | None
    sha256: str  # of the secret, in hexadecimal


class _File(msgspec.Struct, frozen=True):
    tokens: list[NamedToken]


class Caller:
    """The holder of one token, for as long as the daemon runs."""

    def __init__(self, token: NamedToken) -> None:
        self.token = token
        self.name = token.name
        self.role = token.role
        self.last_used: float | None = None  # seconds since 1970, since the daemon started
        self._revoked = asyncio.Event()
        self._sends = LastMinute()

    @property
    def is_admin(self) -> bool:
        """Whether this caller may act for every agent."""
        return self.role == ADMIN

    @property
    def has_expired(self) -> bool:
        """Whether its time is over."""
        return self.token.expires is not None and time.time() >= self.token.expires

    @property
    def is_valid(self) -> bool:
        """Whether the token was not revoked and has not expired."""
        return not (self._revoked.is_set() or self.has_expired)

    def check_valid(self) -> None:
        """Raise Unauthorized if the token is not valid any more."""
        if not self.is_valid:
            raise Unauthorized(self.refusal)

    @property
    def refusal(self) -> str:
        """Why the token is not valid any more."""
        what = "was revoked" if self._revoked.is_set() else f"expired at {iso((self.token.expires or 0) * 1000)}"
        return f"the token {self.token.id} of {self.name} {what}; `postino token create` makes another"

    def check_role(self, needed: Role) -> None:
        """Raise NotAllowed unless the role of this caller includes `needed`."""
        if ROLES.index(self.role) < ROLES.index(needed):
            raise NotAllowed(
                f"this needs a token with the role {' or '.join(ROLES[ROLES.index(needed) :])}; "
                f"that of {self.name} has the role {self.role}"
            )

    def count_send(self, most: int) -> None:
        """Count one send, or raise RateLimited if there were `most` in the last minute; 0: no limit."""
        if most and (wait_s := self._sends.count(most)):
            raise RateLimited(
                f"the token of {self.name} has sent {most} times within a minute, which is what POSTINO_SEND_RATE "
                f"allows; repeat this in {wait_s} s",
                retry_after_s=wait_s,
            )

    async def ended(self) -> str:
        """Return why the token is not valid any more, once it is not."""
        while self.is_valid:
            left = None if self.token.expires is None else max(0.01, self.token.expires - time.time())
            try:
                async with asyncio.timeout(left):
                    await self._revoked.wait()
            except TimeoutError:
                continue
        return self.refusal

    def revoke(self) -> None:
        """End the token: what waits in `ended` returns."""
        self._revoked.set()


class NamedTokens:
    """The tokens of one home."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one.

        Raises:
            BadField: it cannot be read, or others can write to it.
        """
        self._path = path
        self._writing = asyncio.Lock()
        self._callers = {token.id: Caller(token) for token in _read(path)}
        self._dummy = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).hexdigest()

    def any_valid(self) -> bool:
        """Return whether there is a token with which a caller is admitted."""
        return any(not caller.has_expired for caller in self._callers.values())

    def all(self) -> list[Caller]:
        """Return the holders of all tokens, by name and age."""
        return sorted(self._callers.values(), key=lambda each: (each.name, each.token.created, each.token.id))

    def find(self, offered: bytes) -> Caller | None:
        """Return the holder of a token, also of an expired one, or None. An unknown id takes as long as a known one."""
        mark, _, rest = offered.partition(b"_")
        id, _, secret = rest.partition(b"_")
        caller = self._callers.get(id.decode("ascii", "replace")) if mark == MARK else None
        expected = self._dummy if caller is None else caller.token.sha256
        if not hmac.compare_digest(hashlib.sha256(secret).hexdigest(), expected) or caller is None:
            return None
        caller.last_used = time.time()
        return caller

    async def create(self, name: str, role: Role, ttl_s: int | None) -> tuple[str, Caller]:
        """Return a new token, which cannot be had a second time, and its holder.

        Raises:
            BadField: there are too many already, or the file cannot be written.
        """
        async with self._writing:
            kept = {id: each for id, each in self._callers.items() if not _is_old(each)}
            if len(kept) >= MOST:
                raise BadField(f"there are {MOST} tokens already; revoke those that are not used", field="name")
            while (id := secrets.token_hex(4)) in kept:
                continue
            secret, now = secrets.token_urlsafe(SECRET_BYTES), int(time.time())
            hashed = hashlib.sha256(secret.encode()).hexdigest()
            caller = Caller(NamedToken(id, name, role, now, None if ttl_s is None else now + ttl_s, hashed))
            await self._keep(kept | {id: caller})
            return f"{MARK.decode()}_{id}_{secret}", caller

    async def revoke(self, name: str, id: str | None) -> list[Caller]:
        """Revoke all tokens of a name, or the one with `id`; return their holders. It counts at once.

        Raises:
            UnknownToken: there is none.
            BadField: the file cannot be written; nothing was revoked.
        """
        async with self._writing:
            revoked = [each for each in self.all() if each.name.lower() == name.lower() and id in (None, each.token.id)]
            if not revoked:
                which = f"no token {id} of {name}" if id else f"no token of {name}"
                raise UnknownToken(f"there is {which}; `postino token list` lists all")
            gone = {each.token.id for each in revoked}
            await self._keep({id: each for id, each in self._callers.items() if id not in gone})
            for each in revoked:
                each.revoke()
            return revoked

    async def _keep(self, callers: dict[str, Caller]) -> None:
        content = msgspec.json.encode(_File([each.token for each in callers.values()])).decode()
        try:
            await asyncio.to_thread(private_files.replace, self._path, content)
        except OSError as error:
            raise BadField(f"{self._path} cannot be written: {error.strerror}", field="POSTINO_HOME") from None
        self._callers = callers


def _is_old(caller: Caller) -> bool:
    return caller.token.expires is not None and time.time() - caller.token.expires > KEPT_S


def _read(path: Path) -> list[NamedToken]:
    try:
        found = path.stat()
        if found.st_uid not in (0, os.getuid()) or found.st_mode & 0o022:
            raise BadField(
                f"{path} can be written by others, who could admit themselves; run `chmod 600` on it if its content is "
                "yours, or remove it",
                field="POSTINO_HOME",
            )
        return msgspec.json.decode(path.read_bytes(), type=_File).tokens
    except FileNotFoundError:
        return []
    except (OSError, msgspec.MsgspecError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is damaged"
        raise BadField(
            f"{path}, which holds the named tokens, cannot be read: {reason}; mend it, or remove it to revoke all",
            field="POSTINO_HOME",
        ) from None
