"""The screen: what waits, the list and one message, kept up to date by the events of the daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.style import Style
from textual.widgets import Input, OptionList, Static

from postino.errors import PostinoError
from postino.json_text import Json
from postino.tui import rows, views
from postino.tui.help import Help
from postino.tui.mailroom import LIVE, LOST, InboxClient, Mailroom
from postino.tui.pace import Pace
from postino.tui.panes import Hint, Line, MessagePane, Row, Rows, Side, fill
from postino.tui.sight import Sight
from postino.tui.terminal import Terminal
from postino.tui.views import TITLES, Page, Place
from postino.tui.writing import EVERYONE, Writing
from postino.values import HUMAN

REFRESH_S = 0.5  # between two times that what is shown is asked for again, however many events there are
REDRAW_S = 30.0  # between two times that ages are drawn again
SEQUENCE_S = 1.2  # between the two keys of a sequence


class Inbox(App[None]):
    """The terminal inbox of the person `me`; None: nobody vouches for one, and everything else is shown."""

    CSS_PATH = "style.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "move(1)"),
        Binding("k", "move(-1)"),
        Binding("g", "begin_sequence"),
        *(Binding(name[0], f"go('{name}')") for name in ("inbox", "messages", "threads", "broadcasts")),
        Binding("r", "reply"),
        Binding("w", "write"),
        Binding("e", "done"),
        Binding("v", "as_written"),
        Binding("y", "copy"),
        Binding("s", "ask('#search')"),
        Binding("slash", "ask('#filter')"),
        Binding("left_square_bracket", "attention(-1)"),
        Binding("right_square_bracket", "attention(1)"),
        *(Binding(str(number), f"choose({number})") for number in range(1, 6)),
        Binding("escape", "back"),
        Binding("question_mark", "help"),
        Binding("q", "quit"),
    ]

    def __init__(self, mailroom: Mailroom, me: str | None, terminal: Terminal | None = None) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours, with NO_COLOR none
        self.theme = "ansi-dark"
        self.me = me
        self._mailroom = mailroom
        self._place = Place(view="inbox" if me else "messages")
        self._page = Page([])
        self._person: Json | None = None
        self._chosen: str | None = None  # id of the message that is shown
        self._shows_written = False
        self._state = LOST
        self._pace = Pace()
        self._sequence = 0.0
        self._sight = Sight(self, mailroom, terminal, self.note_seen)

    def compose(self) -> ComposeResult:
        """Make the panes."""
        yield Line(id="top")
        with Horizontal():
            yield Side()
            with Vertical():
                yield Input(placeholder="words, from: to: thread: is:", id="search", compact=True)
                yield Rows(id="list", opens=False)
                yield MessagePane(id="message")
                yield Line(id="choices")
                yield Writing()
        yield Hint()

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
        place, me, shown = self._place, self.me, len(self._page.items)
        failed = True
        try:
            page = await self._mailroom.call(lambda client: views.load(client, place, me, shown=shown))
            side = self.query_one(Side)
            side.agents = await self._mailroom.call(lambda client: client.all_agents())
            if place.view == "threads":
                side.threads = (await self._mailroom.call(lambda client: client.newest_threads()))["items"]
            failed = False
        except PostinoError as error:
            self._say(error.message)
            return
        finally:
            self._pace.end(failed=failed)
        if place != self._place:  # somebody went on meanwhile, which hurries
            return
        self._page, self._person = views.refreshed(self._page, page), page.person or self._person
        self.me = str(page.person["name"]) if page.person else me  # renamed meanwhile
        self._draw()

    async def _load_older(self) -> None:
        place, page, me = self._place, self._page, self.me
        try:
            older = await self._mailroom.call(lambda client: views.load(client, place, me, page.before))
        except PostinoError as error:
            self._say(error.message)
            return
        if place == self._place and page.before == self._page.before:
            known = set(self._page.keys)
            more = [item for item in older.items if views.key(item) not in known]
            self._page = Page([*self._page.items, *more], older.before, page.person)
            self._draw()

    async def _change(self, what: Callable[[InboxClient], Json]) -> Json | None:
        """Make a call that changes something; return its answer, None if it was refused, which is shown."""
        try:
            answer = await self._mailroom.call(what)
        except PostinoError as error:
            self._say(error.message)
            return None
        self._pace.hurry()
        self._refresh()
        return answer

    # what is shown

    @property
    def _list(self) -> Rows:
        return self.query_one("#list", Rows)

    @property
    def _item(self) -> Json | None:
        """The message that is chosen."""
        return next((item for item in self._page.items if views.key(item) == self._chosen), None)

    def _say(self, text: str) -> None:
        self.query_one(Hint).say(text)

    def _draw(self) -> None:
        if not self.query(Side):  # the inbox ends: its parts are gone
            return
        self._draw_top()
        self.query_one(Side).show(self._place)
        self._draw_list()
        self._draw_message()

    def _draw_top(self) -> None:
        parts: list[tuple[str, str | Style]] = []
        for name, title in TITLES.items():
            count = f" {self._person['open']}" if name == "inbox" and self._person and self._person["open"] else ""
            style = rows.clickable("bold not reverse" if name == self._place.view else "", f"app.view('{name}')")
            parts += [(f" {title}{count} ", style), (" ", "")]
        if self._place.view == "messages" and self._place.agent:
            parts.append((f"· {rows.line(self._place.agent)}", ""))
        trouble = sum(map(rows.needs_attention, self.query_one(Side).agents))
        state = [f"{trouble} need{'s' if trouble == 1 else ''} attention"] if trouble else []
        state += [rows.line(self.me or "nobody signed in"), self._state]
        self.query_one("#top", Static).update(rows.row(parts, (" · ".join(state), ""), max(20, self.size.width - 2)))

    def _draw_list(self) -> None:
        width = max(20, self._list.size.width - 3)
        keys = self._page.keys
        if self._chosen not in keys:
            self._choose(keys[0] if keys else None)
        moved = self._list.highlighted_option  # by a key of which nobody was told yet
        marked = moved.key if isinstance(moved, Row) and moved.key in keys else self._chosen
        at = keys.index(marked) if marked in keys else None
        fill(self._list, [rows.message_row(item, self.me, width) for item in self._page.items], at, keys)

    def _draw_message(self) -> None:
        self.query_one(MessagePane).show(self._item, self._place, self.me, written=self._shows_written)
        offered = rows.choices(self._item or {})
        self.query_one("#choices", Static).update(offered)
        self.query_one("#choices").display = bool(offered)

    def _choose(self, key: str | None) -> None:
        """Show another message; one of the inbox counts as opened when it was shown for a while."""
        if key == self._chosen:
            return
        self._chosen, self._shows_written = key, False
        self.query_one(MessagePane).scroll_home(animate=False)
        item = self._item
        self._sight.watch(item["id"] if item is not None and rows.is_new(item) else None)

    async def note_seen(self, id: str) -> None:
        """Open a message of the inbox, which was shown for a while."""
        item, me = self._item, self.me
        if item is not None and me is not None and item["id"] == id and rows.is_new(item):
            await self._change(lambda client: client.seen(me, [id]))

    # what somebody does

    @on(OptionList.OptionHighlighted, "#list")
    def _on_row(self, event: OptionList.OptionHighlighted) -> None:
        keys = self._page.keys
        if not isinstance(event.option, Row) or event.option.key not in keys:
            return  # it has gone meanwhile
        self._choose(event.option.key)
        self._draw_message()
        if event.option.key == keys[-1] and self._page.before is not None:
            self.run_worker(self._load_older(), exclusive=True, group="older", exit_on_error=False)

    @on(OptionList.OptionSelected, "#list")
    def _on_opened(self) -> None:
        item = self._settle()
        if item is not None and item.get("thread") and self._place.view != "threads":
            self._show(Place(view="threads", thread=item["thread"]))
        self.query_one(MessagePane).focus()

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
    async def _on_send(self, message: Writing.Send) -> None:
        sent = await self._change(lambda client: message.post(client, self.me))
        if sent is not None:
            self.query_one(Writing).sent()
            self._say("; ".join([f"sent to {message.to}", *([sent["note"]] if "note" in sent else [])]))

    @on(Writing.Begun)
    def _on_begun(self) -> None:
        self.query_one(Hint).show(writing=True)

    @on(Writing.Left)
    def _on_left(self) -> None:
        self.query_one(Hint).show(writing=False)
        self._list.focus()

    @on(Rows.Resized)
    def _on_resized(self) -> None:
        self._draw()

    def _show(self, place: Place) -> None:
        self._place, self._page = place, Page([])
        self._pace.hurry()
        self._draw()
        self._refresh()

    def _settle(self) -> Json | None:
        """Return the message of the row that is marked, also if nobody was told yet that it is."""
        row = self._list.highlighted_option
        if isinstance(row, Row) and row.key != self._chosen and row.key in self._page.keys:
            self._choose(row.key)
            self._draw_message()
        return self._item

    def action_move(self, step: int) -> None:
        """Move through the rows of the list or of the left pane, whichever has the focus."""
        side = self.query_one(Side).list
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
        (self.query_one(Side).list if view == "threads" else self._list).focus()

    def action_reply(self) -> None:
        """Write an answer to the message that is chosen."""
        item = self._settle()
        if item is not None:
            to = item["to"] if item.get("from") == self.me else item["from"]
            reply_to = item["id"] if item.get("kind") != "broadcast" and "to" in item else None
            self.query_one(Writing).begin(to, reply_to=reply_to, thread=item.get("thread"))

    def action_write(self) -> None:
        """Write to the agent that is shown, to everyone among the broadcasts, or to anybody."""
        names = [agent["name"] for agent in self.query_one(Side).agents]
        to = EVERYONE if self._place.view == "broadcasts" else self._place.agent
        self.query_one(Writing).begin(to, thread=self._place.thread, names=names)

    async def action_choose(self, number: int) -> None:
        """Answer with one of the choices that the sender offers."""
        item = self._settle()
        offered = (item or {}).get("choices") or []
        if item is not None and number <= len(offered):
            answer, to, about = offered[number - 1], item["from"], item["id"]
            # one id for each message with choices: a second key, or a click on the page, sends nothing more
            again = f"answer:{item['to']}:{about}"[-128:]
            if await self._change(
                lambda client: client.send(
                    to, answer, sender=self.me, id=again, reply_to=about, thread=item.get("thread")
                )
            ):
                self._say(f"{answer}: sent to {to}")

    async def action_done(self) -> None:
        """Take the message out of the inbox."""
        item, me = self._settle(), self.me
        if item is None or me is None or self._place.view != "inbox":
            return
        if rows.is_new(item) and item["to"] == HUMAN:
            self._say("to all people, and not opened yet: it opens when it was shown for a second")
        else:
            await self._change(lambda client: client.done(me, [item["id"]]))

    def action_as_written(self) -> None:
        """Show the body as it is written, or rendered again."""
        self._settle()
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
        place = self.query_one(Side).next_attention(step)
        if place is None:
            self._say("nobody needs attention")
        else:
            self._show(place)

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Help())
