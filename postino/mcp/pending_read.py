"""What one answer, or one line that woke a session, gave to the client and is not acknowledged yet."""

from __future__ import annotations

import msgspec

RequestId = str | int


class PendingRead(msgspec.Struct, eq=False):
    """Messages, or a place in the broadcasts, that were given to the client."""

    request: RequestId  # of a wake: its message id
    agent: str
    deliveries: dict[str, int] = msgspec.field(default_factory=dict)  # message id -> its delivery count
    cursor: str | None = None  # of the last broadcast given
    previous_cursor: str | None = None  # of the session before this read
    sent: bool = False  # the answer is on its way to the client
    written_at: float | None = None  # loop time; None: the client does not have the answer
    tool_use: str | None = None  # the client's id of the tool call
    listed: bool = False  # a hook has reported the end of the round of tool calls it belongs to
    wake: bool = False  # the messages are in a line that wakes the session
    prompted_at: float | None = None  # of a wake: loop time at which the client began or went on with it
    settling: bool = False  # is being acknowledged or given back
    agent_changed: bool = False  # the session has become another agent since

    @property
    def is_written(self) -> bool:
        """Whether the client has the answer or the line."""
        return self.written_at is not None

    @property
    def is_coming(self) -> bool:
        """Whether it is in a line that has not become a prompt yet."""
        return self.wake and self.prompted_at is None

    @property
    def ids(self) -> list[str]:
        """The messages not acknowledged yet."""
        return list(self.deliveries)

    @property
    def counts(self) -> list[int]:
        """The delivery count of each of them."""
        return list(self.deliveries.values())

    def remove(self, ids: list[str]) -> None:
        """Remove messages that were acknowledged or given back; ids of other reads are ignored."""
        for id in ids:
            self.deliveries.pop(id, None)


def deliveries(reads: list[PendingRead]) -> dict[str, int]:
    """Return the messages of the present agent in `reads`, and their delivery counts."""
    return {id: count for read in reads if not read.agent_changed for id, count in read.deliveries.items()}
