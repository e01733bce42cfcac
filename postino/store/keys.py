"""The name of every key. All begin with one hash tag, so that each multi-key script stays in one slot."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

#: one per agent, in the order in which a rename moves them
PER_AGENT = ("inbox", "leases", "index", "order", "dead")
#: one per name that a history entry gives as sender or recipient; a rename moves none
PER_NAME = ("past",)
SHARED = (
    "broadcasts", "feed", "cursors", "agents", "presence", "sessions", "notices", "events", "history", "meta", "probe",
)  # fmt: skip
#: the reserved agent name under which the ids of broadcasts have their index and order
ALL = "all"


@dataclass(frozen=True)
class Keys:
    """Key names under one prefix, e.g. `po:`."""

    prefix: str

    @cached_property
    def tag(self) -> str:
        """The hash tag that begins every key, e.g. `{po}`."""
        return f"{{{self.prefix.rstrip(':')}}}"

    def shared(self, kind: str) -> str:
        """Return the key of what exists once, e.g. `{po}:events`."""
        return f"{self.tag}:{kind}"

    def of(self, kind: str, agent: str) -> str:
        """Return the key of what each agent has, e.g. `{po}:inbox:alice`."""
        return f"{self.tag}:{kind}:{agent}"

    def of_each_kind(self) -> list[str]:
        """Return one key of each kind, for a question about rights."""
        return [*map(self.shared, SHARED), *(self.of(kind, "*") for kind in (*PER_AGENT, *PER_NAME))]

    def named(self, name: str, agent: str) -> str:
        """Return the key that a script's header calls `name`, for a call about `agent`."""
        return self.of(name, agent) if name in PER_AGENT or name in PER_NAME else self.shared(name)
