"""argparse's parser, for command lines that are not plain, and for help."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from postino.errors import BadRequest


class FullParser(argparse.ArgumentParser):
    """An argument parser that raises BadRequest instead of exiting."""

    def __init__(self, **options: Any) -> None:
        # every argument is tried in a help text when it is added: one that asks for no width saves importing shutil
        super().__init__(formatter_class=_narrow, **options)

    def format_help(self) -> str:
        """Return the help, as wide as the terminal."""
        self.formatter_class = argparse.HelpFormatter
        return super().format_help()

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the values of the arguments.

        Raises:
            BadRequest: they are wrong; of an option that does not exist it names the nearest.
        """
        found, unknown = self.parse_known_args(argv)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}; {self._hint(argv[0], unknown[0])}")
        return found

    def _hint(self, first: str, unknown: str) -> str:
        import difflib

        options = self._option_string_actions
        if f"--{first}" in options:  # as in `agents forget bob`
            return f"did you mean --{first}?"
        near = difflib.get_close_matches(unknown, options, 1, 0.8) if unknown.startswith("--") else []
        if near:
            return f"did you mean {near[0]}?"
        if "--agent" in options and not {"name", "body"} & {each.dest for each in self._actions}:
            return "an agent is given by --agent NAME"
        return "quote a text of several words, and put -- before one that begins with -"

    def error(self, message: str) -> NoReturn:
        """Raise BadRequest with `message`."""
        raise BadRequest(f"{message} (see `postino help {self.prog.rpartition(' ')[2]}`)")


def _narrow(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, width=80)
