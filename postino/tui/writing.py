"""The lower part of the screen while somebody writes: to whom, in which thread, and the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input, Static, TextArea

from postino.client import Client
from postino.json_text import Json
from postino.tui.rows import line

Draft = tuple[str | None, str | None]  # to whom, None: that is asked for; and the id of the message it answers
EVERYONE = "all"  # a reserved name: no agent can have it


def choose(client: Client, item: Json, answer: str, sender: str | None) -> Json:
    """Answer a message with one of its choices.

    There is one id for each message with choices: a second key, or a click on the page, sends nothing more.
    """
    again = f"answer:{item['to']}:{item['id']}"[-128:]
    return client.send(item["from"], answer, sender=sender, id=again, reply_to=item["id"], thread=item.get("thread"))


class Text(TextArea):
    """A text that takes the keys that are typed, also while it cannot be changed: the inbox is not to act on them."""

    def on_key(self, event: Key) -> None:
        """Keep what is typed from the keys of the inbox."""
        if event.is_printable:
            event.stop()


class Writing(Vertical):
    """Writes one message. A text that was not sent is kept for its recipient, until the end of the program."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s,ctrl+enter", "send", "Send", priority=True),
        Binding("escape", "leave", "Leave", priority=True),
    ]

    class Send(Message):
        """Somebody has written a message."""

        def __init__(self, draft: Draft, to: str, body: str, thread: str | None) -> None:
            super().__init__()
            self.draft, self.to, self.body, self.thread = draft, to, body, thread

        def post(self, client: Client, sender: str | None) -> Json:
            """Send it: to everyone as a broadcast, to several with commas between as a list.

            Raises:
                PostinoError: it was refused, or is not known to have arrived.
            """
            if self.to == EVERYONE:
                return client.broadcast(self.body, sender=sender)
            to = [each.strip() for each in self.to.split(",") if each.strip()] if "," in self.to else self.to
            return client.send(to, self.body, sender=sender, reply_to=self.draft[1], thread=self.thread)

    class Begun(Message):
        """Somebody begins to write."""

    class Left(Message):
        """Somebody writes no longer."""

    def __init__(self) -> None:
        super().__init__(id="compose")
        self._to: str | None = None
        self._reply_to: str | None = None
        self._thread: str | None = None
        self._drafts: dict[Draft, str] = {}
        self._sending: set[Draft] = set()

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Static(id="compose-head", markup=False)
        yield Input(
            placeholder="an agent, several with commas between, or a #group",
            id="compose-to",
            compact=True,
        )
        yield Text(id="compose-text", compact=True)

    def begin(
        self, to: str | None, *, reply_to: str | None = None, thread: str | None = None, names: Sequence[str] = ()
    ) -> None:
        """Show it, for a message to `to`, or to EVERYONE; None: that is asked for, and one of `names` proposed."""
        if self.has_class("shown"):  # another message is being written
            self._keep()
        self._to, self._reply_to, self._thread = to, reply_to, thread
        self._draw()
        recipient, text = self.query_one("#compose-to", Input), self.query_one("#compose-text", TextArea)
        recipient.display = to is None
        recipient.suggester = SuggestFromList(sorted(names, key=str.lower), case_sensitive=False)
        text.text = self._drafts.get(self._draft, "")
        text.move_cursor(text.document.end)
        self.add_class("shown")
        self.screen.add_class("writing")
        self.post_message(self.Begun())
        (recipient if to is None else text).focus()

    def end(self, draft: Draft, *, sent: bool) -> None:
        """Hide a message that is sent, if it is still shown; one that was refused can be changed again."""
        self._sending.discard(draft)
        if sent:
            self._drafts.pop(draft, None)
        if draft == self._draft and self.has_class("shown"):
            self._hide() if sent else self._draw()

    def action_send(self) -> None:
        """Hand the message over, once."""
        to = self._to or self.query_one("#compose-to", Input).value.strip()
        body = self.query_one("#compose-text", TextArea).text
        if self._draft in self._sending:
            return
        if not to:
            self.query_one("#compose-to", Input).focus()
        elif not body.strip():
            self.query_one("#compose-text", TextArea).focus()
        else:
            self._sending.add(self._draft)
            self._draw()
            self.post_message(self.Send(self._draft, to, body, self._thread))

    def action_leave(self) -> None:
        """Hide it and keep the text."""
        self._keep()
        self._hide()

    def _keep(self) -> None:
        self._drafts[self._draft] = self.query_one("#compose-text", TextArea).text

    @property
    def _draft(self) -> Draft:
        return self._to, self._reply_to

    def _draw(self) -> None:
        """Say to whom it goes; while it is being sent its text stays as it is."""
        to, sending = self._to, self._draft in self._sending
        about = "To everyone: a broadcast" if to == EVERYONE else f"To {line(to)}" if to else "A new message"
        about += f" · thread {line(self._thread)}" if self._thread else ""
        self.query_one("#compose-head", Static).update(Content(about + (" · is being sent" if sending else "")))
        self.query_one("#compose-text", TextArea).read_only = sending

    def on_input_submitted(self) -> None:
        """Go from the recipient to the text."""
        self.query_one("#compose-text", TextArea).focus()

    def _hide(self) -> None:
        self.remove_class("shown")
        self.screen.remove_class("writing")
        self.post_message(self.Left())
