"""What the logs of servers and Sentinels tell of a fault, in seconds since it began."""

from __future__ import annotations

import re
from datetime import datetime

from tests.nodes import Node

_LINE = re.compile(r"\d+:[XMSC] (\d+ \w+ \d{4} [\d:.]+) . (.*)")
#: what a failover waits for, one after the other; of promotions, copies and append-only files, not how they are made
_TELLING = re.compile(
    r"\+[so]down|failover|-leader|\+selected|\+promoted|\+switch-master|\+convert|\+fix"
    r"|MODE enabled|REPLICAOF .* enabled|Ready to accept|Cluster state|FAIL message|as failing"
    r"|asks for sync|Partial resync|partial resync|Starting BGSAVE|Synchronization with|Finished with success"
    r"|Connection with (primary|replica)|Background AOF rewrite (terminated|finished)"
)


def lines(nodes: dict[str, Node], began: float, ended: float) -> list[str]:
    """Return the telling lines between two seconds of the epoch, oldest first; `nodes`: by the names they get here."""
    found = []
    for name, node in nodes.items():
        for line in (node.folder / "log").read_text(errors="replace").splitlines():
            match = _LINE.match(line)
            if match is None or _TELLING.search(match[2]) is None:
                continue
            at = datetime.strptime(match[1], "%d %b %Y %H:%M:%S.%f").astimezone().timestamp()
            if began - 0.01 <= at <= ended + 0.1:
                found.append((at, name, match[2][:120]))
    return [f"{at - began:5.2f} {name:10} {text}" for at, name, text in sorted(found)]
