"""What nobody sees is not opened, and who sees nothing is away: a pane of tmux without a screen, a lost connection."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postino.tui.terminal import Terminal
from tests.daemons import Daemon
from tests.nodes import free_port
from tests.tui.conftest import Open, Tmux
from tests.waiting import eventually, until

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Pane(Terminal):
    """A terminal that is hidden when the test says so."""

    def __init__(self) -> None:
        super().__init__({})
        self.hidden = True

    def is_gone(self) -> bool:
        return False

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


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[list[str]]:
    """The command that logs in to a server of this test's own."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("there is no sshd on this machine (apt install openssh-server openssh-client)")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # as the service makes it
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / key], check=True)
    port = free_port()
    lines = [
        *("UsePAM no", "StrictModes no", "PidFile none", f"Port {port}", "ListenAddress 127.0.0.1"),
        *(f"HostKey {tmp_path}/host", f"AuthorizedKeysFile {tmp_path}/user.pub"),
    ]
    (tmp_path / "sshd_config").write_text("\n".join(lines) + "\n")
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=subprocess.DEVNULL)
    until(lambda: _listens(port), "sshd listens", 20)
    options = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={tmp_path}/known", "LogLevel=ERROR"]
    command = ["ssh", "-tt", "-F", "none", "-p", str(port), "-i", str(tmp_path / "user")]
    command += [word for option in options for word in ("-o", option)]
    yield [*command, "127.0.0.1"]
    server.terminate()
    server.wait(10)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_over_ssh_it_takes_keys_and_a_lost_connection_ends_it(tmux, served: Daemon, client, ssh, tmp_path) -> None:
    """The terminal's SIGHUP is ignored, as by a shell within nohup."""
    me, pid, script = str(client.people()["items"][0]["name"]), tmp_path / "pid", tmp_path / "inbox"
    env = [f"export {name}={shlex.quote(value)}" for name, value in served.env.items() if name != "TERM"]
    postino = f"exec {shlex.quote(sys.executable)} -m postino tui"
    script.write_text("\n".join([*env, "trap '' HUP", f"echo $$ >{pid}.new", f"mv {pid}.new {pid}", postino, ""]))
    client.send(me, "Merge **now**?", sender="builder", thread="fix-42")
    screen = tmux()
    screen.start(shlex.join([*ssh, f"sh {script}"]))

    screen.shows("builder → you", "Merge now?", "live", "opened")
    screen.run("resize-window", "-x", "60", "-y", "15")
    until(lambda: len(screen.run("capture-pane", "-p").splitlines()) == 15, "the new size")
    shown = screen.shows("j k move", "Merge now?").splitlines()
    assert [line for line in shown[2:] if "builder → you" in line] == []
    screen.keys("g", "m")
    screen.shows("read ")
    assert client.agent(me)["online"]

    os.kill(int(screen.run("list-panes", "-F", "#{pane_pid}")), signal.SIGKILL)

    until(lambda: not client.agent(me)["online"], "offline", 20)
    until(lambda: not Path(f"/proc/{int(pid.read_text())}").exists(), "the process has ended", 20)
