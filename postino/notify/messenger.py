"""Sends by Apprise, which works in threads and may take long: one at a time, within a time limit, in a thread of its
own that nothing waits for at the end of the daemon.

An address holds passwords and tokens, and so may what Apprise logs: none of it is logged or shown, only the name of a
service and a reason in our own words.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from postino.errors import BadField

if TYPE_CHECKING:
    import apprise

SETTING = "POSTINO_NOTIFY_URL"
# never by the name: `postino` in the package index is a program of somebody else
INSTALL = "`uv tool install '.[notify]'` in a checkout (in a virtual environment `pip install '.[notify]'`)"
SEND_S = 15.0  # for all addresses together
ANSWER_S = 12.0  # that a service may take to answer, where the address has no `rto`; Apprise gives up after 4
_STATUS = re.compile(r"error=(\d{3,6})\b")  # in what Apprise logs: an HTTP status, or the service's own


class Failed(NamedTuple):
    """Why a notification was not sent; `perhaps`: it was, if only the answer is missing; `partly`: to some services."""

    why: str
    perhaps: bool = False
    partly: bool = False


class Messenger:
    """The addresses of one setting."""

    def __init__(self, addresses: str) -> None:
        """Load Apprise and its services, which takes 0.6 s of CPU.

        Raises:
            BadField: Apprise is not installed, or it knows no service for an address.
        """
        try:
            import apprise
        except ImportError:
            text = f"{SETTING} needs Apprise, which is not installed: {INSTALL}, or unset it"
            raise BadField(text, field=SETTING) from None
        logging.getLogger("apprise").propagate = False
        # no image: the services would fetch it from its own site
        asset = apprise.AppriseAsset(app_id="postino", storage_mode="memory", image_url_mask="")
        self._apprise = apprise.Apprise(asset=asset)
        if not self._apprise.add(addresses):
            text = "has an address that Apprise cannot use; see its list of services and what each needs"
            raise BadField(f"{SETTING} (hidden) {text}", field=SETTING)
        for each in self._apprise.services:
            if each.socket_read_timeout == type(each).socket_read_timeout:
                each.socket_read_timeout = ANSWER_S
        #: the names of the services, such as `ntfy`
        self.service = ", ".join(dict.fromkeys(str(each.service_name) for each in self._apprise.services))
        self._sent = asyncio.Event()  # the last one, or why it was not is known
        self._sent.set()

    async def send(self, title: str, body: str) -> Failed | None:
        """Send to every address; return why that failed, or None. One that hangs has failed after SEND_S."""
        if not self._sent.is_set():
            return Failed("the one before it still hangs")
        loop, sent = asyncio.get_running_loop(), asyncio.Event()
        found: list[Failed | None] = []

        def work() -> None:
            try:
                found.append(self._send(title, body))
            except Exception as error:  # a service of Apprise may raise anything
                found.append(Failed(f"it failed ({type(error).__name__})"))
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(sent.set)

        self._sent = sent
        threading.Thread(target=work, name="notify", daemon=True).start()
        try:
            async with asyncio.timeout(SEND_S + 1):
                await sent.wait()
        except TimeoutError:
            return Failed(f"no answer within {SEND_S:.0f} s", perhaps=True)
        return found[0]

    def _send(self, title: str, body: str) -> Failed | None:
        import apprise

        began = time.monotonic()
        result = self._apprise.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT, timeout=SEND_S)
        if result:
            return None
        waited = time.monotonic() - began >= min(ANSWER_S, SEND_S)
        why = "; ".join(f"{each.name}: {_why(each, waited=waited)}" for each in result if not each)
        return Failed(why or "no service took it", perhaps=waited, partly=any(bool(each) for each in result))


def _why(result: apprise.result.NotifyResult, *, waited: bool) -> str:
    """Return the reason; one that `waited` has connected: its connections give up sooner."""
    logged = " ".join(str(each.message) for each in result.logs())
    if found := _STATUS.search(logged):
        return f"it answered error {found[1]}"
    if "onnection error" in logged:
        return f"no answer within {ANSWER_S:.0f} s" if waited else "it cannot be reached"
    return f"no answer within {SEND_S:.0f} s" if result.status.name == "TIMEOUT" else "it refused"
