"""The name of every key. All begin with one hash tag, so that each multi-key script stays in one slot."""

from __future__ import annotations

from functools import cached_property

import msgspec

#: one per agent, in the order in which a rename moves them
PER_AGENT = ("inbox", "leases", "index", "dead", "open")
#: one per name that a history entry gives as sender or recipient; a rename moves none
PER_NAME = ("past",)
SHARED = (
    "broadcasts", "feed", "departures", "cursors", "agents", "groups", "presence", "sessions", "notices", "events",
    "history", "meta", "probe", "notifier", "changes", "copy",
)  # fmt: skip
#: the reserved agent name under which the ids of broadcasts have their index
ALL = "all"
#: streams whose entries no daemon of an older format can read, and which it therefore must not find, and the first
#: format that has such entries
_SINCE = {"inbox": 4, "dead": 4, "broadcasts": 4, "events": 3}


class Keys(msgspec.Struct, frozen=True, dict=True):
    """Key names under one prefix, e.g. `po:`."""

    prefix: str

    @cached_property
    def tag(self) -> str:
        """The hash tag that begins every key, e.g. `{po}`."""
        return f"{{{self.prefix.rstrip(':')}}}"

    def shared(self, kind: str) -> str:
        """Return the key of what exists once, e.g. `{po}:history`."""
        return f"{self.tag}:{kind}{_SINCE.get(kind, '')}"

    def of(self, kind: str, agent: str) -> str:
        """Return the key of what each agent has, e.g. `{po}:index:alice`."""
        return f"{self.shared(kind)}:{agent.lower() if kind in PER_NAME else agent}"

    def past_of(self, name: str) -> list[str]:
        """Return the keys of a name's marks in the history: in lower case and, of older marks, as it is spelled."""
        return list(dict.fromkeys((self.of("past", name), f"{self.shared('past')}:{name}")))

    def of_each_kind(self) -> list[str]:
        """Return one key of each kind, for a question about rights."""
        return [*map(self.shared, SHARED), *(self.of(kind, "*") for kind in (*PER_AGENT, *PER_NAME))]

    def named(self, name: str, agent: str) -> str:
        """Return the key that a script's header calls `name`, for a call about `agent`."""
        if name == "ids":  # of broadcasts
            return self.of("index", ALL)
        return self.of(name, agent) if name in PER_AGENT or name in PER_NAME else self.shared(name)

    def to_migrate(self, names: list[str]) -> list[str]:
        """Return the keys of the script `migrate`, with those of all names that there are in the data."""
        keys = [self.shared("meta"), self.shared("agents"), f"{self.tag}:events", self.shared("events")]
        keys += [
            f"{self.tag}:broadcasts",
            f"{self.tag}:broadcasts2",
            self.shared("broadcasts"),
            f"{self.tag}:order:{ALL}",
        ]
        for name in names:
            for kind in ("inbox", "dead"):
                keys += [f"{self.tag}:{kind}:{name}", f"{self.tag}:{kind}2:{name}", self.of(kind, name)]
            keys.append(f"{self.tag}:order:{name}")
        return keys
