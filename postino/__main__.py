"""The `postino` command. `postino mcp` runs the relay without importing the command line."""

import sys


def main() -> int:
    """Run the command named in `sys.argv`; return its exit code."""
    if sys.argv[1:2] == ["mcp"] and len(sys.argv) == 2:
        from postino.relay.main import main as relay

        return relay()
    from postino.cli import main as cli

    return cli(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
