"""The lower part of the screen while somebody writes: to whom, in which thread, and the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static, TextArea

from postino.client import Client
from postino.json_text import Json
from postino.tui.rows import line

EVERYONE = "all"  # a reserved name: no agent can have it


class Writing(Vertical):
    """Writes one message. A text that was not sent is kept for its recipient, until the end of the program."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,ctrl+enter", "send", "Send", priority=True),
        Binding("escape", "leave", "Leave", priority=True),
    ]

    class Send(Message):
        """Somebody has written a message."""

        def __init__(self, to: str, body: str, reply_to: str | None, thread: str | None) -> None:
            super().__init__()
            self.to, self.body, self.reply_to, self.thread = to, body, reply_to, thread

        def post(self, client: Client, sender: str | None) -> Json:
            """Send it: to everyone as a broadcast, to several with commas between as a list.

            Raises:
                PostinoError: it was refused, or is not known to have arrived.
            """
            if self.to == EVERYONE:
                return client.broadcast(self.body, sender=sender)
            to = [each.strip() for each in self.to.split(",") if each.strip()] if "," in self.to else self.to
            return client.send(to, self.body, sender=sender, reply_to=self.reply_to, thread=self.thread)

    class Begun(Message):
        """Somebody begins to write."""

    class Left(Message):
        """Somebody writes no longer."""

    def __init__(self) -> None:
        super().__init__(id="compose")
        self._to: str | None = None
        self._reply_to: str | None = None
        self._thread: str | None = None
        self._drafts: dict[tuple[str | None, str | None], str] = {}

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(id="compose-head", markup=False)
        yield Input(
            placeholder="an agent, several with commas between, or a #group",
            id="compose-to",
            compact=True,
        )
        yield TextArea(id="compose-text", compact=True)

    def begin(
        self, to: str | None, *, reply_to: str | None = None, thread: str | None = None, names: Sequence[str] = ()
    ) -> None:
        """Show it, for a message to `to`, or to EVERYONE; None: that is asked for, and one of `names` proposed."""
        self._to, self._reply_to, self._thread = to, reply_to, thread
        about = "To everyone: a broadcast" if to == EVERYONE else f"To {line(to)}" if to else "A new message"
        about += f" · thread {line(thread)}" if thread else ""
        self.query_one("#compose-head", Static).update(Content(about))
        recipient, text = self.query_one("#compose-to", Input), self.query_one("#compose-text", TextArea)
        recipient.display = to is None
        recipient.suggester = SuggestFromList(sorted(names, key=str.lower), case_sensitive=False)
        text.text = self._drafts.get((to, reply_to), "")
        text.move_cursor(text.document.end)
        self.add_class("shown")
        self.screen.add_class("writing")
        self.post_message(self.Begun())
        (recipient if to is None else text).focus()

    def sent(self) -> None:
        """Hide it: the message is sent."""
        self._drafts.pop((self._to, self._reply_to), None)
        self._hide()

    def action_send(self) -> None:
        """Hand the message over."""
        to = self._to or self.query_one("#compose-to", Input).value.strip()
        body = self.query_one("#compose-text", TextArea).text
        if not to:
            self.query_one("#compose-to", Input).focus()
        elif not body.strip():
            self.query_one("#compose-text", TextArea).focus()
        else:
            self.post_message(self.Send(to, body, self._reply_to, self._thread))

    def action_leave(self) -> None:
        """Hide it and keep the text."""
        self._drafts[self._to, self._reply_to] = self.query_one("#compose-text", TextArea).text
        self._hide()

    def on_input_submitted(self) -> None:
        """Go from the recipient to the text."""
        self.query_one("#compose-text", TextArea).focus()

    def _hide(self) -> None:
        self.remove_class("shown")
        self.screen.remove_class("writing")
        self.post_message(self.Left())
