"""One command or one script on a connection, and what its refusal means."""

from __future__ import annotations

from typing import Any

from redis.exceptions import RedisError, ResponseError

from postino.errors import ERRORS, PostinoError
from postino.store.pipeline import Pipeline, code_of, store_away
from postino.store.scripts import Script
from postino.store.wire import Encoded, encode

#: in what a script meets that calls a command which its user may no longer call: of Valkey, of Redis
_RIGHT_LOST = ("ACL failure in script", "The user executing the script can't")


async def run_plain(connection: Pipeline, command: tuple[str | int, ...]) -> Any:
    """Run one plain command.

    Raises:
        PostinoError: what its refusal means.
        StoreAway: no reply.
    """
    try:
        return await connection.call(*command)
    except ResponseError as refusal:
        raise _translate(refusal) from None


async def run_script(connection: Pipeline, script: Script, command: tuple[str | int, ...]) -> Any:
    """Run a script, loading it again if the server has dropped it. Raises as `run_plain`."""
    return await run_encoded(connection, script, encode(command))


async def run_encoded(connection: Pipeline, script: Script, command: Encoded) -> Any:
    """Run a script whose command is encoded, as `run_script` does."""
    try:
        return await connection.send(command)
    except ResponseError as refusal:
        return await run_refused(connection, script, command, refusal)


async def run_refused(connection: Pipeline, script: Script, command: Encoded, refusal: ResponseError) -> Any:
    """Run a script that was refused once more if the server has dropped it, or raise what its refusal means."""
    if code_of(refusal) != "NOSCRIPT":
        raise _translate(refusal) from None
    # the server has dropped its script cache and run nothing, so the second call is no retry
    await run_plain(connection, ("SCRIPT", "LOAD", script.source))
    try:
        return await connection.send(command)
    except ResponseError as again:
        raise _translate(again) from None


def denied(error: PostinoError) -> bool:
    """Return whether the user may not run a command."""
    return isinstance(error.__cause__, ResponseError) and code_of(error.__cause__) == "NOPERM"


def forgotten(replies: list[Any]) -> bool:
    """Return whether the server has dropped its script cache; the next call of each script loads it again."""
    return any(isinstance(each, ResponseError) and code_of(each) == "NOSCRIPT" for each in replies)


def _translate(refusal: RedisError) -> PostinoError:
    word, _, sentence = str(refusal).partition(" ")
    known = ERRORS.get(word.lower())
    if known is not None:
        return known(sentence)
    code = code_of(refusal)
    # another program's key, or a command this user may not run, perhaps met after the first write
    if code == "WRONGTYPE" or any(words in str(refusal) for words in _RIGHT_LOST):
        return store_away(refusal, outcome="unknown")
    if code in ("CROSSSLOT", "NOSCRIPT"):
        return store_away(refusal, outcome="none")
    return PostinoError(f"Valkey refused a command: {refusal}")
