"""The `postino` command. `postino mcp` runs the relay without importing the command line."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # of typing, whose import costs 4 ms
if TYPE_CHECKING:
    from typing import NoReturn


def run() -> NoReturn:
    """Run the command and end this process: what Python does at its end takes 5 ms and is for nobody here."""
    code = main()
    for stream in (sys.stdout, sys.stderr):  # written already; what cannot be written has been reported
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            code = code or 1
    os._exit(code)


def main() -> int:
    """Run the command named in `sys.argv`; return its exit code."""
    if sys.argv[1:2] == ["mcp"] and len(sys.argv) == 2:
        from postino.relay.main import main as relay

        return relay()
    from postino.cli import main as cli

    return cli(sys.argv[1:])


if __name__ == "__main__":
    run()
