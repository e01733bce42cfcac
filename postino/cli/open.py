"""open."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from postino.cli import render
from postino.cli.call import Call
from postino.errors import Unreachable

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")  # one of these is set where a browser can appear


def open(call: Call) -> int:
    """Open the page in a browser; where a token is wanted, signed in by a code that is good once and for 30 s."""
    parser = call.parser()
    parser.add_argument("--print", action="store_true", help="print the address, start no browser")
    args = parser.parse_args(call.argv)
    with call.client() as client:
        answer = client.signin_code()
    url = answer["url"]
    if url is None:
        raise Unreachable("there is no page: TCP is off (POSTINO_WEB_ENABLED)")
    opened = not args.print and _opened(url, call.environ)
    if answer["code"] and not opened and sys.stdout.isatty():
        sys.stderr.write(f"postino: good once, for {answer['expires_s']} s\n")
    shown = f"opened {url.partition('#')[0]}" if opened else url
    return call.show(args, {"url": url, "opened": opened}, f"{render.line(shown)}\n")


def _opened(url: str, environ: Mapping[str, str]) -> bool:
    """Start a browser, if there is a screen for one: a text browser would take the terminal and cannot show it."""
    if sys.platform == "linux" and not any(environ.get(name) for name in SCREENS):
        return False
    import webbrowser

    return webbrowser.open(url)
