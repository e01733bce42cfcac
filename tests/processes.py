"""Look at processes that are not our children: whether they run, which belong to a scratch home, and end them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tests.waiting import PATIENCE_S, POLL_S


def let_children_be_interrupted() -> None:
    """Give every child the default of SIGINT and SIGHUP again where this process was started with them ignored.

    A shell starts `pytest &` so, and nohup; a child would inherit it. This process goes on ignoring them.
    """
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)  # a handler, unlike SIG_IGN, ends with exec


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped does not."""
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except FileNotFoundError:
        return not Path("/proc").exists()
    except ProcessLookupError:
        return False


def gone(pid: int, seconds: float = PATIENCE_S) -> bool:
    """Wait for the end of a process that is not our child; return whether it came in time."""
    end = time.monotonic() + seconds
    while lives(pid) and time.monotonic() < end:
        time.sleep(POLL_S)
    return not lives(pid)


def processes_of(folder: Path | str) -> list[int]:
    """Return every process that names a folder in its environment or its arguments."""
    found, name = [], os.fsencode(folder)
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if name in (each / "environ").read_bytes() + (each / "cmdline").read_bytes():
                found.append(int(each.name))
    return found


def kill_all(folder: Path) -> None:
    """Kill every process of a scratch folder: also a daemon that has not written its files yet."""
    for pid in processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
