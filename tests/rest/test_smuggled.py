"""Requests within the bodies of others, in pieces that are cut where a known head would begin: none is answered."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from postino.rest.known_heads import END
from tests.rest.test_known_heads import AGAIN, CHECK, CHUNKED, EMPTY, SEND, _answer, at, heads


async def in_turn(api: Any, *pieces: bytes) -> list[tuple[int, bytes]]:
    """Send each piece when the one before it has been handled; return status and body of all answers."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    answers = []
    async with asyncio.timeout(30):
        for each in pieces:
            writer.write(each)
            await asyncio.sleep(0.1)
        writer.write_eof()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                answers.append(await _answer(reader))
    writer.close()
    return answers


async def test_chunks_that_come_after_their_head_are_its_body(api: Any) -> None:
    head, end, chunks = at(api, CHUNKED).partition(END)
    for _ in range(AGAIN):
        answers = await in_turn(api, at(api, CHECK), head + end, chunks)
        assert [status for status, _ in answers] == [200, 200]
    assert heads(api).find(head + end) is None


async def test_a_request_in_the_place_of_chunks_is_not_answered(api: Any) -> None:
    chunked = at(api, CHECK).replace(END, b"\r\nTransfer-Encoding: chunked" + END)
    for _ in range(AGAIN):
        answers = await in_turn(api, at(api, CHECK), chunked, at(api, CHECK))
        assert [status for status, _ in answers] == [200, 400]


async def test_a_head_within_a_body_is_not_known_as_that_of_the_request_after_it(api: Any) -> None:
    """Each of two pieces ends in the body of its second request, which is as long as all behind the first head."""
    check, beat = at(api, CHECK), at(api, EMPTY)
    victim = at(api, SEND).partition(END)[0].replace(b"Content-Length: 34", b"Content-Length: 800") + END

    def longer(size: int, body: int) -> bytes:
        head = beat.replace(b"Content-Length: 0", b"Content-Length: %d\r\nX: " % body)
        return head.replace(b"X: ", b"X: " + b"x" * (size - len(head)))

    first_body = victim.ljust(400)
    first = longer(400, body=len(first_body))
    second = longer(300, body=800)
    await in_turn(api, beat)  # so that its path is known
    await in_turn(api, check, check + first, first_body + second.ljust(800 - (len(first_body) - len(victim))))

    answers = await in_turn(api, check, victim + b'{"to":"bob","body":"hi","id":"m1"}'.ljust(800))
    assert b'"created":true' in answers[1][1], answers
