"""What a serving daemon writes about itself into its home."""

from __future__ import annotations

from postino.json_text import loads
from postino.light import dataclass, field

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from postino.paths import Home


@dataclass(frozen=True, slots=True)
class DaemonInfo:
    """The content of daemon.json, in which a serving daemon describes itself."""

    pid: int
    url: str | None  # None: TCP is off
    socket: str
    version: str
    started: float  # seconds since 1970
    settings: dict[str, str] = field(default_factory=dict)  # config.comparable; empty if an older daemon wrote it


def read_info(home: Home) -> DaemonInfo | None:
    """Return the content of daemon.json, or None. It may be stale after a crash; `status` tells."""
    try:
        with open(home.info_file, "rb") as file:  # noqa: PTH123 - pathlib costs a quick command 4 ms
            found = loads(file.read())
        return DaemonInfo(**({"settings": {}} | {name: found[name] for name in DaemonInfo.__slots__ if name in found}))
    except (OSError, ValueError, KeyError, TypeError):
        return None
