"""What the keys do, and the list of them."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

KEYS = (
    ("j k ↑ ↓", "next, previous row"),
    ("Tab", "next pane"),
    ("Enter", "open the agent, or the thread of the message"),
    ("g i", "inbox; g m messages, g t threads, g b broadcasts"),
    ("r", "reply"),
    ("w", "write a message; a broadcast among the broadcasts"),
    ("1-5", "answer with a choice"),
    ("e", "done: out of the inbox"),
    ("v", "show the message as written, or rendered"),
    ("y", "copy the message"),
    ("s", "search: words, from: to: thread: is:waiting|read|dead"),
    ("/", "filter the agents or threads"),
    ("[ ]", "previous, next agent that needs attention"),
    ("Esc", "leave a field, end a search"),
    ("q", "quit"),
)

BINDINGS: list[BindingType] = [
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


class Help(ModalScreen[None]):
    """Shows the keys until it is left."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,question_mark,q,enter", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """Make the list."""
        lines = [Content.assemble((f"{keys:<9}", "bold"), meaning) for keys, meaning in KEYS]
        with VerticalScroll(id="help"):
            yield Static(Content("\n").join(lines), markup=False)
