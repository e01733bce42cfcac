"""argparse's parser, for command lines that are not plain, and for help."""

from __future__ import annotations

import argparse
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

    def error(self, message: str) -> NoReturn:
        """Raise BadRequest with `message`."""
        hint = "; quote a text of several words, and put -- before one that begins with -"
        command = self.prog.rpartition(" ")[2]
        raise BadRequest(f"{message}{hint if 'unrecognized' in message else ''} (see `postino help {command}`)")


def _narrow(prog: str) -> argparse.HelpFormatter:
    return argparse.HelpFormatter(prog, width=80)
