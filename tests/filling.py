"""A history of many messages at once: a test does not wait for 86,000 sends."""

from __future__ import annotations

from postino.store.store import Store

#: messages between two agents that no test is about, as send.lua writes them, without their places in the index
_FILL = """
for at = 1, tonumber(ARGV[1]) do
  redis.call('XADD', KEYS[1], '*', 'kind', 'message', 'id', 'h' .. at, 'seq', at, 'from', 'x', 'verified', '',
    'via', 'http', 'body', 'hay', 't', ARGV[2], 'thread', '', 'reply_to', '', 'to', 'y')
end
"""


async def fill(store: Store, thousands: int) -> None:
    """Add thousands of messages of others to the history."""
    for _ in range(thousands):
        await store.call("EVAL", _FILL, 1, store.keys.shared("history"), 1000, await store.now_ms())
