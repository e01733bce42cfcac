"""A mailbox as a few dozen plain lines: lists of messages, a holder, a count. No streams, scripts or leases in time."""

from __future__ import annotations

from dataclasses import dataclass, field

MOST, DELIVERIES = 6, 2  # of an inbox and its dead letters; before death


@dataclass
class Mail:
    id: str
    seq: int
    body: str
    state: str = "queued"  # leased, acked, dead, expired, cleared
    holder: str | None = None  # whose late acknowledgement counts
    deliveries: int = 0
    fresh: bool = True  # never given out
    delayed: bool = False
    again: bool = False  # given out before a requeue

    @property
    def due(self) -> bool:
        return self.state == "queued" and not self.fresh and not self.delayed


@dataclass
class Box:
    """An agent as the model sees it."""

    mail: list[Mail] = field(default_factory=list)
    dead: list[Mail] = field(default_factory=list)
    ids: dict[str, Mail] = field(default_factory=dict)
    seq: int = 0
    listed: bool = False  # not only read
    seen: bool = False
    cursor: int | None = None
    aliases: list[str] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)

    def unread(self) -> int:
        return sum(each.fresh or each.due for each in self.mail)

    def end(self, mail: Mail, state: str) -> None:
        self.mail.remove(mail)
        mail.state = state

    def bury(self, mail: Mail) -> None:
        self.end(mail, "dead")
        self.dead.append(mail)
        if len(self.dead) > MOST:
            self.dead.pop(0).state = "expired"

    def read(self, consumer: str, limit: int, resume: bool) -> list[tuple[str, int, bool]]:
        given = []
        for mail in [each for each in self.mail if each.state == "leased" and each.holder == consumer and resume]:
            if len(given) < limit:
                given.append((mail.id, mail.deliveries, True))
        for mail in [each for each in self.mail if each.due and len(given) <= limit]:
            if mail.deliveries >= DELIVERIES:
                self.bury(mail)
            elif len(given) < limit:
                given.append((mail.id, mail.deliveries + 1, mail.deliveries > 0 or mail.again))
                mail.state, mail.holder, mail.deliveries = "leased", consumer, mail.deliveries + 1
            else:
                return given
        for mail in [each for each in self.mail if each.fresh][: limit - len(given)]:
            given.append((mail.id, 1, mail.again))
            mail.state, mail.holder, mail.deliveries, mail.fresh = "leased", consumer, 1, False
        return given
