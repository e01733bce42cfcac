"""What nobody sees is not opened, and who sees nothing is away: a pane of tmux without a screen, a lost connection."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

from postino.tui.terminal import Terminal
from tests.daemons import Daemon
from tests.processes import gone, lives
from tests.tui.conftest import Open, Tmux
from tests.waiting import eventually, until


class Pane(Terminal):
    """A terminal that is hidden when the test says so."""

    def __init__(self) -> None:
        super().__init__({})
        self.hidden = True

    async def is_hidden(self) -> bool:
        return self.hidden


async def test_who_cannot_see_opens_nothing_and_is_away(open_inbox: Open, served, client, name, monkeypatch) -> None:
    for constant in ("SEEN_S", "AGAIN_S", "HIDDEN_S", "AWAY_S"):
        monkeypatch.setattr(f"postino.tui.sight.{constant}", 0.05)
    served.posted(f"people/{name}", {})
    pane = Pane()

    def is_online() -> bool:
        return bool(client.agent(name)["online"])

    async with open_inbox(name, seen_in=pane) as terminal:
        await terminal.shows("Nothing waits for you.", f"Agents reach you as {name}")
        await eventually(lambda: not is_online(), "away")
        sent = client.send(name, "Is anybody there?", sender="planner")
        await terminal.shows("● planner → you  Is anybody there?")
        await asyncio.sleep(0.3)  # six times as long as it takes a message to count as seen
        assert client.state(name, sent["id"])["state"] == "queued"

        pane.hidden = False

        await terminal.shows("opened")
        await eventually(is_online, "back")
        assert client.state(name, sent["id"])["reader"] == name


async def test_tmux_says_whether_a_pane_is_seen(tmux: Callable[..., Tmux]) -> None:
    inner, outer = tmux(), tmux()
    inner.start("cat")
    pane = Terminal({"TMUX": f"{inner.run('display-message', '-p', '#{socket_path}').strip()},1,0", "TMUX_PANE": "%0"})

    async def hidden(wanted: bool) -> None:
        for _ in range(100):
            if await pane.is_hidden() is wanted:
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"the pane is {'seen' if wanted else 'hidden'}")

    assert await pane.is_hidden()  # nobody is attached
    outer.start(f"env -u TMUX {shlex.join([*inner.command, 'attach'])}; cat")
    await hidden(False)
    inner.run("new-window", "cat")
    await hidden(True)
    inner.run("select-window", "-t", "0")
    await hidden(False)
    inner.run("split-window", "cat")
    await hidden(False)
    inner.run("resize-pane", "-Z")
    await hidden(True)
    inner.run("resize-pane", "-Z")
    outer.close()
    await hidden(True)
    for strange in ({"TMUX": "/nowhere,1,0", "TMUX_PANE": "%0"}, {"TMUX": "x"}, {}):
        assert not await Terminal(strange).is_hidden()


def test_it_ends_with_its_terminal_though_it_ignores_the_hangup(tmux, served: Daemon, client, tmp_path: Path) -> None:
    """As over ssh whose connection is lost, below a shell that ignores SIGHUP."""
    me, pid = str(client.whoami()["agent"]), tmp_path / "pid"
    screen = tmux()
    screen.start(f"trap '' HUP; echo $$ >{pid}; exec {shlex.quote(sys.executable)} -m postino tui")
    screen.shows("Nothing waits for you.", "live")
    assert client.agent(me)["online"]
    assert lives(int(pid.read_text()))

    screen.close()

    until(lambda: not client.agent(me)["online"], "offline")
    assert gone(int(pid.read_text()))
