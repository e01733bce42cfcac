"""The screen: what waits, the list and one message, kept up to date by the events of the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.widgets import Input, OptionList, Static

from postino.errors import PostinoError
from postino.json_text import Json
from postino.tui import rows, views
from postino.tui.help import BINDINGS, Help
from postino.tui.lists import Messages, Row, Rows
from postino.tui.mailroom import LIVE, LOST, InboxClient, Mailroom
from postino.tui.pace import Pace
from postino.tui.panes import Hint, Line, MessagePane, Side, Top
from postino.tui.shown import Shown
from postino.tui.sight import Sight
from postino.tui.terminal import Terminal
from postino.tui.views import Page, Place
from postino.tui.writing import EVERYONE, Writing, choose
from postino.values import HUMAN

REFRESH_S = 0.5  # between two times that what is shown is asked for again, however many events there are
REDRAW_S = 30.0  # between two times that ages are drawn again
SEQUENCE_S = 1.2  # between the two keys of a sequence


class Inbox(App[None]):
    """The terminal inbox of the person `me`; None: nobody vouches for one, and everything else is shown."""

    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(self, mailroom: Mailroom, me: str | None, terminal: Terminal | None = None) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours, with NO_COLOR none
        self.theme = "ansi-dark"
        self._mailroom = mailroom
        self._shown = Shown(mailroom, Place(view="inbox" if me else "messages"), me)
        self._loads_older = False
        self._chosen: str | None = None  # id of the message that is shown
        self._shows_written = False
        self._state = LOST
        self._pace = Pace()
        self._sequence = 0.0
        self._sight = Sight(self, mailroom, terminal, self.note_seen)

    def compose(self) -> ComposeResult:
        """Make the panes."""
        # held, not looked up: at the end a message may come when its part has left the screen
        self._side, self._list, self._pane = Side(), Messages(), MessagePane(id="message")
        self._writing, self._hint = Writing(), Hint()
        yield Top(id="top")
        with Horizontal():
            yield self._side
            with Vertical():
                yield Input(placeholder="words, from: to: thread: is:", id="search", compact=True)
                yield self._list
                yield self._pane
                yield Line(id="choices")
                yield self._writing
        yield self._hint

    async def on_mount(self) -> None:
        """Load, and follow the events."""
        self._list.focus()
        self._mailroom.follow(self.me, lambda _: self._pace.change(), self._on_state)
        self._sight.begin()
        self.set_interval(REFRESH_S, self._refresh)
        self.set_interval(REDRAW_S, self._draw)
        self._refresh()

    async def on_unmount(self) -> None:
        """Stop following: the person is offline now, unless a page is open."""
        await self._mailroom.close()

    # what is asked for

    def _on_state(self, state: str) -> None:
        if state == LIVE and self._state != LIVE:
            self._pace.hurry()
        self._state = state
        self._draw()

    def _refresh(self) -> None:
        if self._pace.begin():
            self.run_worker(self._load(), exit_on_error=False)

    async def _load(self) -> None:
        failed = True
        try:
            await self._shown.refresh(lambda: self._list.marked)
            self._side.agents = await self._mailroom.call(lambda client: client.all_agents())
            if self._place.view == "threads":
                self._side.threads = (await self._mailroom.call(lambda client: client.newest_threads()))["items"]
            failed = False
        except PostinoError as error:
            self._say(error.message)
        finally:
            self._pace.end(failed=failed)
        self._draw()

    @on(Rows.Beyond)
    def _want_older(self) -> None:
        """Load older messages when the last one is marked, however it came to that."""
        if self._page.before is not None and self._list.at_end and not self._loads_older:
            self._loads_older = True
            self.run_worker(self._load_older(), exit_on_error=False)

    async def _load_older(self) -> None:
        try:
            await self._shown.load_older()
        except PostinoError as error:
            self._say(error.message)
            self._list.forget()
            return
        finally:
            self._loads_older = False
        self._draw()

    def _change(self, what: Callable[[InboxClient], Json], then: Callable[[Json | None], None]) -> None:
        """Begin a call that changes something; `then` gets its answer, None if it was refused, which is shown.

        No key waits for it, and none is lost: it is made also when the inbox ends.
        """
        self.run_worker(self._changed(self._mailroom.change(what), then), exit_on_error=False)

    async def _changed(self, change: asyncio.Task[Json], then: Callable[[Json | None], None]) -> None:
        answer = None
        try:
            answer = await asyncio.shield(change)
        except PostinoError as error:
            self._say(error.message)
        self._pace.hurry()
        then(answer)
        self._refresh()

    # what is shown

    @property
    def me(self) -> str | None:
        """The person."""
        return self._shown.me

    @property
    def _place(self) -> Place:
        return self._shown.place

    @property
    def _page(self) -> Page:
        return self._shown.page

    @property
    def _item(self) -> Json | None:
        """The message that is chosen."""
        return next((item for item in self._page.items if views.key(item) == self._chosen), None)

    def _say(self, text: str) -> None:
        self._hint.say(text)

    def _draw(self) -> None:
        if not self.query(Side):  # the inbox ends: its parts are gone
            return
        state = (rows.line(self.me or "nobody signed in"), self._state)
        with contextlib.suppress(NoMatches):  # or parts of them
            self.query_one(Top).show(self._place, self._shown.person, self._side.agents, state)
            self._side.show(self._place)
            self._draw_list()
            self._draw_message()

    def _draw_list(self, *, by_key: bool = False) -> None:
        has_left = self._list.draw(self._page.items, self.me, more=self._shown.more, by_key=by_key)
        if has_left or self._chosen not in self._page.keys:  # else a key has moved the mark, and nobody was told yet
            self._choose(self._list.marked)
        self._want_older()

    def _draw_message(self) -> None:
        self._pane.show(self._item, self._place, self.me, written=self._shows_written)
        offered = rows.choices(self._item or {})
        self.query_one("#choices", Static).update(offered)
        self.query_one("#choices").display = bool(offered)

    def _choose(self, key: str | None) -> None:
        """Show another message; one of the inbox counts as opened when it was shown for a while."""
        if key == self._chosen:
            return
        self._chosen, self._shows_written = key, False
        self._pane.scroll_home(animate=False)
        item = self._item
        self._sight.watch(item["id"] if item is not None and rows.is_new(item) else None)

    def note_seen(self, id: str) -> None:
        """Open a message of the inbox, which was shown for a while."""
        item, me = self._item, self.me
        if item is not None and me is not None and item["id"] == id and rows.is_new(item):
            self._change(lambda client: client.seen(me, [id]), lambda _: None)

    # what somebody does

    @on(OptionList.OptionHighlighted, "#list")
    def _on_row(self, event: OptionList.OptionHighlighted) -> None:
        keys = self._page.keys
        if not isinstance(event.option, Row) or event.option.key not in keys:
            return  # it has gone meanwhile
        self._list.note_moved()
        self._choose(event.option.key)
        self._draw_message()
        self._want_older()

    @on(OptionList.OptionSelected, "#list")
    def _on_opened(self, event: OptionList.OptionSelected) -> None:
        if not isinstance(event.option, Row) or event.option.key not in self._page.keys:
            return  # it has gone meanwhile
        self._choose(event.option.key)
        item = self._item
        if item is not None and item.get("thread") and self._place.view != "threads":
            self._show(Place(view="threads", thread=item["thread"]))
        self._pane.focus()

    @on(Side.Chosen)
    def _on_side(self, event: Side.Chosen) -> None:
        self._show(event.place)
        self._list.focus()

    @on(Input.Submitted, "#search")
    def _on_search(self, event: Input.Submitted) -> None:
        view: views.Name = "threads" if self._place.view == "threads" else "messages"
        self._show(replace(self._place, view=view, sought=event.value.strip()))
        self._list.focus()

    @on(Writing.Send)
    def _on_send(self, message: Writing.Send) -> None:
        me = self.me

        def end(answer: Json | None) -> None:
            self._writing.end(message.draft, sent=answer is not None)
            if answer is not None:
                self._say("; ".join([f"sent to {message.to}", *([answer["note"]] if "note" in answer else [])]))

        self._change(lambda client: message.post(client, me), end)

    @on(Writing.Begun)
    def _on_begun(self) -> None:
        self._hint.show(writing=True)

    @on(Writing.Left)
    def _on_left(self) -> None:
        self._hint.show(writing=False)
        self._list.focus()

    @on(Rows.Resized)
    def _on_resized(self) -> None:
        self._draw()

    def _show(self, place: Place) -> None:
        self._shown.go(place)
        self._list.forget()
        self._pace.hurry()
        self._draw()
        self._refresh()

    def _settle(self) -> Json | None:
        """Return the message of the row that is marked, also if nobody was told yet that it is.

        None while a key waits for older messages: another row will be marked.
        """
        if self._list.waits:
            self._say("older messages are being loaded: press the key again")
            return None
        marked = self._list.marked
        if marked != self._chosen and marked in self._page.keys:
            self._choose(marked)
            self._draw_message()
        return self._item

    def _settle_to_change(self) -> Json | None:
        """Return the same to change it; None where the key was meant for another message, which left just now."""
        if self._list.has_given_way:
            self._say("the message has left, this is another one: press the key again")
            return None
        return self._settle()

    def action_move(self, step: int) -> None:
        """Move through the rows of the list or of the left pane, whichever has the focus."""
        side = self._side.list
        pane = side if side.has_focus else self._list
        pane.action_cursor_down() if step > 0 else pane.action_cursor_up()

    def action_begin_sequence(self) -> None:
        """Begin `g i` and the like."""
        self._sequence = time.monotonic()

    def action_go(self, view: views.Name) -> None:
        """Show another view, if `g` was pressed just before."""
        if time.monotonic() - self._sequence < SEQUENCE_S:
            self._sequence = 0.0
            self.action_view(view)

    def action_view(self, view: views.Name) -> None:
        """Show another view."""
        self._show(Place(view=view))
        (self._side.list if view == "threads" else self._list).focus()

    def action_reply(self) -> None:
        """Write an answer to the message that is chosen."""
        item = self._settle()
        if item is not None:
            to = item["to"] if item.get("from") == self.me else item["from"]
            reply_to = item["id"] if item.get("kind") != "broadcast" and "to" in item else None
            self._writing.begin(to, reply_to=reply_to, thread=item.get("thread"))

    def action_write(self) -> None:
        """Write to the agent that is shown, to everyone among the broadcasts, or to anybody."""
        names = [agent["name"] for agent in self._side.agents]
        to = EVERYONE if self._place.view == "broadcasts" else self._place.agent
        self._writing.begin(to, thread=self._place.thread, names=names)

    def action_choose(self, number: int) -> None:
        """Answer with one of the choices that the sender offers."""
        item, me = self._settle_to_change(), self.me
        if item is not None and number <= len(item.get("choices") or []):
            answer = item["choices"][number - 1]
            self._change(
                lambda client: choose(client, item, answer, me),
                lambda sent: self._say(f"{answer}: sent to {item['from']}") if sent is not None else None,
            )

    def action_done(self) -> None:
        """Take the message out of the inbox, and mark the next one."""
        if self._place.view != "inbox" or self.me is None:
            return
        item, me = self._settle_to_change(), self.me
        if item is None:
            return
        if rows.is_new(item) and item["to"] == HUMAN:
            self._say("to all people, and not opened yet: it opens when it was shown for a second")
            return
        key = views.key(item)
        self._shown.take_out(key)
        self._draw_list(by_key=True)
        self._draw_message()
        self._change(
            lambda client: client.done(me, [item["id"]]),
            lambda answer: self._shown.note_done(key, done=answer is not None),
        )

    def action_as_written(self) -> None:
        """Show the body as it is written, or rendered again."""
        if self._settle() is not None:
            self._shows_written = not self._shows_written
            self._draw_message()

    def action_copy(self) -> None:
        """Copy the body by the terminal's own sequence (OSC 52)."""
        if (item := self._settle()) is not None:
            self.copy_to_clipboard(str(item.get("body", "")))
            self._say("copied")

    def action_ask(self, field: str) -> None:
        """Ask what to search for, or for a part of a name."""
        found = self.query_one(field, Input)
        found.add_class("shown")
        found.focus()

    async def action_back(self) -> None:
        """Leave a field; end the search, then the filter."""
        sought, part = self.query_one("#search", Input), self.query_one("#filter", Input)
        for each in (sought, part):
            each.value = ""
            each.remove_class("shown")
        if self._place.sought:
            self._show(replace(self._place, sought=""))
        self._list.focus()

    def action_attention(self, step: int) -> None:
        """Show the next agent that needs attention."""
        place = self._side.next_attention(step)
        if place is None:
            self._say("nobody needs attention")
        else:
            self._show(place)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())
