"""The command open."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from postino.cli import render
from postino.cli.command import Command
from postino.errors import Unreachable

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")  # one of these is set where a browser can open a window


def open(command: Command) -> int:
    """Open the page in a browser, signed in by a code that works once and for 30 s: what you send there is verified."""
    parser = command.parser()
    parser.add_argument("--print", action="store_true", help="print the address without starting a browser")
    args = parser.parse_args(command.argv)
    url, expires_s = signin_url(command)
    opened = not args.print and in_browser(url, command.environ)
    if not opened and sys.stdout.isatty():
        sys.stderr.write(f"postino: this address signs you in once, within {expires_s} s\n")
    shown = f"opened {url.partition('#')[0]}" if opened else url
    return command.show(args, {"url": url, "opened": opened}, f"{render.line(shown)}\n")


def signin_url(command: Command) -> tuple[str, int]:
    """Return the address of the page with a code that signs in once, and for how many seconds.

    Raises:
        Unreachable: the page is not served.
    """
    with command.client() as client:
        answer = client.signin_code()
    if answer["url"] is None:
        raise Unreachable("the page is not served because TCP is off; unset POSTINO_WEB_ENABLED and restart postino")
    return answer["url"], answer["expires_s"]


def in_browser(url: str, environ: Mapping[str, str]) -> bool:
    """Open `url` if there is a screen: a text browser would take over the terminal and cannot show the page."""
    if sys.platform == "linux" and not any(environ.get(name) for name in SCREENS):
        return False
    import webbrowser

    return webbrowser.open(url)
