"""The left pane, with agents or threads, and the one that shows a message."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import Reactive
from textual.style import Style
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static

from postino.json_text import Json
from postino.tui import body as bodies
from postino.tui import rows, search, views
from postino.tui.lists import Row, Rows, fill
from postino.tui.views import Place

SAID_S = 6.0  # that a sentence is shown
SUMMARY = "? help  j k move  Enter open  r reply  w write  e done  s search  / filter"
WRITING = "Ctrl+S sends, Esc leaves and keeps the text"

EMPTY: dict[views.Name, str] = {
    "inbox": "Nothing waits for you.",  # see `nothing`
    "messages": "No messages.",
    "threads": "Choose a thread on the left.",
    "broadcasts": "No broadcasts.",
}


class Side(Vertical):
    """Agents, those that need attention first; or threads. A filter shows those with a part of the name."""

    class Chosen(Message):
        """Somebody wants to see this place."""

        def __init__(self, place: Place) -> None:
            super().__init__()
            self.place = place

    def __init__(self) -> None:
        super().__init__(id="side")
        self.agents: list[Json] = []
        self.threads: list[Json] = []
        self._place = Place()
        self._stand_for: list[str | None] = []  # what the rows are

    def compose(self) -> ComposeResult:
        """Make the parts."""
        yield Input(placeholder="filter", id="filter", compact=True)
        yield Rows(id="agents", opens=True)

    @property
    def list(self) -> Rows:
        """The rows."""
        return self.query_one(Rows)

    def show(self, place: Place) -> None:
        """Show the rows that fit the place, in the present width."""
        stays, self._place = place == self._place, place
        width = max(10, self.list.size.width - 3)
        part = self.query_one(Input).value.lower()
        if place.view == "threads":
            threads = [each for each in self.threads if part in each["thread"].lower()]
            self._stand_for = [each["thread"] for each in threads]
            lines, at = [rows.thread_row(each, width) for each in threads], place.thread
        else:
            agents = [each for each in sorted(self.agents, key=_order) if part in each["name"].lower()]
            self._stand_for = [None, *(each["name"] for each in agents)]
            lines, at = [Content("  All mail"), *(rows.agent_row(each, width) for each in agents)], place.agent
        moved = self.list.highlighted_option  # by a key, to a row that nobody has opened yet
        if stays and self.screen.focused is self.list and isinstance(moved, Row) and moved.key in self._stand_for:
            at = moved.key
        fill(self.list, lines, self._stand_for.index(at) if at in self._stand_for else 0, self._stand_for)

    def next_attention(self, step: int) -> Place | None:
        """Return the place of the next agent that needs attention; None: there is none."""
        names = [each["name"] for each in sorted(self.agents, key=_order) if rows.needs_attention(each)]
        if not names:
            return None
        at = names.index(self._place.agent) + step if self._place.agent in names else 0 if step > 0 else -1
        return Place(view="messages", agent=names[at % len(names)])

    @on(OptionList.OptionSelected)
    def _on_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        chosen = event.option.key if isinstance(event.option, Row) else None
        threads = self._place.view == "threads"
        self.post_message(self.Chosen(replace(self._place, thread=chosen) if threads else Place("messages", chosen)))

    @on(Input.Changed)
    def _on_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.show(self._place)

    @on(Input.Submitted)
    def _on_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.screen.set_focus(self.list)
        first = 0 if self._place.view == "threads" else 1  # not `All mail`
        self.list.highlighted = min(first, len(self._stand_for) - 1) if self._stand_for else None


class MessagePane(VerticalScroll):
    """One message: who, to whom, what became of it, and its body."""

    def compose(self) -> ComposeResult:
        """Make the text."""
        yield Static(id="body", markup=False)

    def show(self, item: Json | None, place: Place, me: str | None, *, written: bool) -> None:
        """Show a message, rendered or as it is `written`; without one say what is empty."""
        if item is None:
            text = Content(nothing(place, me))
        else:
            tree = None if written else item.get("tree")
            body = bodies.rendered(tree, str(item.get("body", "")), max(20, self.size.width - 3))
            for word in search.words(place.sought):
                body = body.highlight_regex(re.compile(re.escape(word), re.IGNORECASE), style="reverse")
            text = Content("\n").join([rows.heading(item, me), Content(""), body])
        self.query_one(Static).update(text)


def nothing(place: Place, me: str | None) -> str:
    """Return what is said where no message is."""
    if place.view != "inbox":
        return EMPTY[place.view]
    if me is None:
        return "This terminal is an agent's, or nobody's: `postino tui NAME` shows the inbox of a person."
    return f"{EMPTY['inbox']}\n\nAgents reach you as {rows.line(me)}, and all people as human."


class Hint(Static):
    """The last line: the keys, or for a while a sentence in their place."""

    def __init__(self) -> None:
        super().__init__(Content(SUMMARY), id="hint", markup=False)
        self._keys = SUMMARY
        self._saying: Timer | None = None

    def show(self, *, writing: bool) -> None:
        """Show the keys of a place."""
        self._keys = WRITING if writing else SUMMARY
        if writing or self._saying is None:
            self.update(Content(self._keys))

    def say(self, text: str) -> None:
        """Show a sentence for a while."""
        self.update(Content.assemble((rows.line(text), "bold")))
        if self._saying is not None:
            self._saying.stop()
        self._saying = self.set_timer(SAID_S, self._end)

    def _end(self) -> None:
        self._saying = None
        self.update(Content(self._keys))


class Line(Static):
    """Texts that can be clicked, in their own style: not as links, whose colours are those of Textual."""

    auto_links = Reactive(False)

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)


class Top(Line):
    """The first line: the views, who looks, and whether the daemon is connected."""

    def show(self, place: Place, person: Json | None, agents: list[Json], state: Sequence[str]) -> None:
        """Show them; `state` stands on the right, after how many agents need attention."""
        parts: list[tuple[str, str | Style]] = []
        for name, title in views.TITLES.items():
            count = f" {person['open']}" if name == "inbox" and person and person["open"] else ""
            style = rows.clickable("bold not reverse" if name == place.view else "", f"app.view('{name}')")
            parts += [(f" {title}{count} ", style), (" ", "")]
        if place.view == "messages" and place.agent:
            parts.append((f"· {rows.line(place.agent)}", ""))
        trouble = sum(map(rows.needs_attention, agents))
        attention = [f"{trouble} need{'s' if trouble == 1 else ''} attention"] if trouble else []
        self.update(rows.row(parts, (" · ".join([*attention, *state]), ""), max(20, self.screen.size.width - 2)))


def _order(agent: Json) -> tuple[bool, bool, bool, str]:
    """Attention first, then who is online, then who has mail."""
    return (not rows.needs_attention(agent), not agent.get("online"), not agent.get("unread"), agent["name"].lower())
