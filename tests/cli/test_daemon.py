"""up, down, status, serve; who starts a daemon and who does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import time

import pytest

from postino.cli import port_holder
from tests.cli.conftest import Postino
from tests.homes import scratch_home
from tests.waiting import until


def test_up_prints_the_url_and_down_leaves_no_process(bare, gone) -> None:
    assert bare.ok("up").startswith("postino is up: http://")
    status = bare.json("status")
    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    assert bare.json("up")["pid"] == status["pid"]
    assert bare.ok("down") == "postino is down\n"
    assert gone(status["pid"]) and gone(valkey)
    assert not (bare.home / "daemon.sock").exists()
    assert bare.ok("down") == "postino was not running\n"
    assert bare.json("down") == {"stopped": False, "valkey": False}


def test_status_of_a_running_daemon(postino) -> None:
    status = postino.json("status")
    assert status["state"] == "up"
    assert status["home"] == str(postino.home)
    assert status["socket"] == str(postino.home / "daemon.sock")
    assert status["url"].startswith("http://")
    assert status["health"].items() >= {"ok": True, "valkey": True, "durability": "fsync"}.items()
    assert status["stats"].keys() >= {"agentCount", "messageCount", "broadcastCount"}
    text = postino.ok("status")
    for word in ("healthy", f"pid {status['pid']}", status["url"], status["socket"], "embedded", "fsync", "agent"):
        assert word in text


def test_a_daemon_that_began_before_its_files_changed_is_told(bare) -> None:
    said = "postino's files here have changed since the daemon started"
    bare.serve()
    assert said not in bare.ok("up") + bare.ok("status")
    assert "daemon_outdated" not in bare.run("doctor", "--json").out

    info = bare.home / "daemon.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"started": 1e9}))

    assert f"\n{said}: `postino down && postino up` runs them\n" in bare.ok("up")
    assert said in bare.ok("status")
    assert "daemon_outdated" in bare.run("doctor", "--json").out


def test_status_starts_nothing_and_says_4(bare) -> None:
    done = bare.run("status")
    assert (done.code, done.err) == (4, "")
    assert done.out == f"postino is down ({bare.home}); `postino up` starts it\n"
    done = bare.run("status", "--json")
    assert (done.code, json.loads(done.out)) == (4, {"state": "down", "home": str(bare.home), "pid": None})
    assert not list(bare.home.iterdir())


def test_status_of_a_daemon_that_hangs(bare) -> None:
    bare.serve()
    pid = bare.json("status")["pid"]
    os.kill(pid, signal.SIGSTOP)
    done = bare.run("status")
    os.kill(pid, signal.SIGCONT)
    assert done.code == 4
    assert f"(pid {pid}) does not answer" in done.out


def test_status_of_a_daemon_whose_valkey_hangs_tells_which_of_both_it_is(bare) -> None:
    bare.serve()
    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    os.kill(valkey, signal.SIGSTOP)
    try:
        began = time.monotonic()
        done = bare.run("status")
        assert time.monotonic() - began < 5
    finally:
        os.kill(valkey, signal.SIGCONT)
    assert (done.code, done.err) == (4, "")
    assert "not healthy: " in done.out.splitlines()[0]
    assert "Valkey" in done.out.splitlines()[0]


def test_down_ends_a_daemon_that_hangs(bare, gone) -> None:
    bare.serve()
    pid = bare.json("status")["pid"]
    os.kill(pid, signal.SIGSTOP)
    assert bare.ok("down") == "postino is down\n"
    assert gone(pid)


def test_down_stops_a_valkey_whose_daemon_was_killed(bare, gone, lives) -> None:
    bare.serve()
    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    pid = bare.json("status")["pid"]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid) and lives(valkey)
    assert bare.json("down") == {"stopped": False, "valkey": True}
    assert gone(valkey)


@pytest.mark.parametrize(
    "args", [["send", "bob", "hello"], ["read", "--agent", "bob"], ["check", "--agent", "bob"], ["agents"], ["history"]]
)
def test_whoever_needs_the_daemon_starts_it(bare, args) -> None:
    bare.ok(*args)
    assert bare.json("status")["state"] == "up"


def test_watch_starts_it_too(bare) -> None:
    with bare.open("watch", "--json") as process:
        assert json.loads(process.stdout.readline())["type"] == "connected"
        process.kill()
    assert bare.json("status")["state"] == "up"


def test_what_was_sent_survives_a_killed_daemon(bare) -> None:
    bare.serve()
    bare.ok("send", "bob", "hello")
    os.kill(bare.json("status")["pid"], signal.SIGKILL)
    assert bare.json("read", "--agent", "bob")["items"][0]["body"] == "hello"


def test_several_started_at_once_end_as_one(bare) -> None:
    processes = [bare.open("check", "--agent", f"agent-{number}") for number in range(4)]
    for process in processes:
        with process:
            _, err = process.communicate(timeout=30)
        assert (process.returncode, err) == (0, b"")
    pids = {json.loads(bare.ok("up", "--json"))["pid"] for _ in range(2)}
    assert len(pids) == 1


def test_watch_resumes_behind_a_restarted_daemon_without_a_gap(bare) -> None:
    bare.serve()
    with bare.open("watch", "--agent", "bob", "--json") as process:
        assert json.loads(process.stdout.readline())["type"] == "connected"
        bare.ok("send", "bob", "one", "--id", "1")
        os.kill(bare.json("status")["pid"], signal.SIGKILL)
        bare.ok("send", "bob", "two", "--id", "2")
        seen = []
        while len(seen) < 2:
            event = json.loads(process.stdout.readline())
            if event["type"] == "msg_send":
                seen.append(event["id"])
        process.kill()
    assert seen == ["1", "2"]


def test_serve_runs_in_the_foreground_until_told_to_stop(bare) -> None:
    with bare.open("serve") as process:
        until(lambda: bare.run("status").code == 0, "it serves", 20)
        assert bare.json("status")["pid"] == process.pid
        second = bare.run("serve")
        assert second.code == 0
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0


def test_a_daemon_that_cannot_start_is_exit_4_with_its_own_words(bare) -> None:
    sentence = bare.no(4, "send", "bob", "hello", POSTINO_VALKEY_URL="redis://user:secret@127.0.0.1:1/0")
    assert "127.0.0.1:1" in sentence
    assert "secret" not in sentence


def test_a_home_on_a_full_disk_is_named_with_what_to_do(bare) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "postino", bare.home]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        for command in ("up", "down"):
            bare.ok(command)
        with pytest.raises(OSError, match="No space"), (bare.home / "filled").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        sentence = bare.no(3, "up")
        bare.ok("down")
    finally:
        subprocess.run(["umount", "-l", bare.home], check=True)
    place = f"{bare.home}/daemon.json: No space left on device; free some space on that disk"
    assert sentence == f"The postino daemon did not start: {place} (log: {bare.home}/daemon.log)"


def test_a_malformed_address_is_exit_2_and_shows_no_part_of_its_password(bare) -> None:
    for command in ("up", "status", "send"):
        sentence = bare.no(2, command, "bob", "hi", POSTINO_VALKEY_URL="redis://:12345/aBc=@host:6379/0")
        assert "POSTINO_VALKEY_URL=(hidden)" in sentence
        assert "12345" not in sentence
        assert "aBc" not in sentence


def test_a_home_that_cannot_be_used_is_exit_2(bare) -> None:
    (bare.home / "file").write_text("")
    assert "POSTINO_HOME" in bare.no(2, "check", "--agent", "bob", POSTINO_HOME=str(bare.home / "file"))
    long = str(bare.home / ("x" * 100))
    assert "too long for a socket" in bare.no(2, "up", POSTINO_HOME=long)


def test_a_home_into_which_others_could_look_is_closed_and_everything_in_it_is_private(bare) -> None:
    for command in (["send", "bob", "hello"], ["up"], ["check", "--agent", "bob"]):  # the first one starts the daemon
        bare.home.chmod(0o755)
        bare.ok(*command)
        assert stat.S_IMODE(bare.home.stat().st_mode) == 0o700
    shown = {path.name for path in bare.home.iterdir()}
    assert shown >= {"daemon.lock", "daemon.log", "daemon.json", "daemon.sock", "valkey.sock", "data"}
    assert [path for path in bare.home.iterdir() if path.stat().st_mode & 0o077] == []


def test_a_home_that_others_may_write_to_is_exit_2_and_left_alone(bare) -> None:
    bare.home.chmod(0o777)
    assert f"POSTINO_HOME {bare.home} has mode 0777" in bare.no(2, "up")
    assert stat.S_IMODE(bare.home.stat().st_mode) == 0o777
    assert not list(bare.home.iterdir())
    bare.home.chmod(0o700)


@pytest.mark.parametrize(
    ("name", "value"),
    [("POSTINO_WEB_PORT", "70000"), ("POSTINO_MSG_TTL", "soon"), ("POSTINO_AGENT_NAME", "a b"), ("POSTINO_WAKE", "x")],
)
def test_a_bad_setting_names_itself_its_value_and_what_is_allowed(bare, name, value) -> None:
    sentence = bare.no(2, "check", "--agent", "bob", **{name: value})
    assert sentence.startswith(f"{name}='{value}' is not allowed; it must be ")


@pytest.mark.parametrize("command", ["up", "status", "config"])
def test_a_home_of_nobody_is_exit_2_and_names_the_setting(bare, command) -> None:
    sentence = bare.no(2, command, POSTINO_HOME="~nobody-of-this-name/x")
    assert sentence.startswith("POSTINO_HOME='~nobody-of-this-name/x' is not allowed; it must be an absolute path")


@pytest.mark.parametrize("args", [["up"], ["send", "bob", "hello"]])
def test_a_daemon_that_finds_a_setting_bad_is_exit_2_for_its_starter_too(bare, args) -> None:
    sentence = bare.no(2, *args, POSTINO_WEB_HOST="192.0.2.77", POSTINO_API_TOKEN="t", POSTINO_BEHIND_PROXY="1")
    assert "POSTINO_WEB_HOST=192.0.2.77 is not an address of this machine" in sentence


def test_what_the_environment_holds_is_shown_not_obeyed(postino) -> None:
    done = postino.run("check", "d2-bob", **{"POSTINO_\x1b[31m\r\nX": "1"})
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert done.err.startswith("postino: POSTINO_\\u{1b}[31m\\r\\nX is not a setting of postino")
    assert "\r" not in postino.run("up", POSTINO_HOME=f"{postino.home}/" + "\r" * 99).err


def test_an_unknown_setting_is_warned_about_once_and_the_command_runs(postino) -> None:
    done = postino.run("check", "--agent", "d1-bob", POSTINO_WEBPORT="1")
    assert done.code == 0
    assert done.err == "postino: POSTINO_WEBPORT is not a setting of postino; did you mean POSTINO_WEB_PORT?\n"


def test_a_socket_of_someone_else_is_no_daemon(bare) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(str(bare.home / "daemon.sock"))
    assert bare.json("check", "--agent", "bob")["unreadMessages"] == 0


@pytest.mark.parametrize("args", [["up", "x"], ["down", "--now"], ["status", "--frob"], ["serve", "x"]])
def test_bad_usage_is_exit_2(bare, args) -> None:
    bare.no(2, *args)
    assert not list(bare.home.iterdir())


def test_a_port_of_a_stranger_is_told_by_up_and_status(bare) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        up = bare.ok("up", POSTINO_WEB_PORT=str(taken))
    port = int(up.splitlines()[0].rpartition(":")[2])
    told = f"another program uses port {taken}; postino listens on {port}"
    assert port != taken
    advice = "end that program, then `postino down && postino up`; or set POSTINO_WEB_PORT"
    assert up.splitlines()[1:-1] == [f"{told}: {advice}"]
    assert told in bare.ok("status", POSTINO_WEB_PORT=str(taken))
    assert "taken" not in bare.ok("up", POSTINO_WEB_PORT="0").replace(told, "")


def test_a_port_of_another_postino_is_told_with_its_home_and_process(bare, monkeypatch) -> None:
    with scratch_home() as home:
        other = Postino(home.root)
        try:
            other.ok("up", POSTINO_WEB_PORT="0")
            there = other.json("status")
            taken = there["url"].rpartition(":")[2]
            told = f"the postino of {home.root} (process {there['pid']}) uses port {taken}; this one listens on "
            advice = f": POSTINO_HOME={home.root} uses that one, POSTINO_WEB_PORT gives this one another port\n"
            for command in ("up", "status"):
                said = bare.ok(command, POSTINO_WEB_PORT=taken)
                assert told in said and advice in said
            doctor = bare.run("doctor", POSTINO_WEB_PORT=taken).out
            assert told in doctor and f"POSTINO_HOME={home.root} uses that one" in doctor
            monkeypatch.setattr(port_holder, "_homes", lambda: iter(()))  # as on macOS
            assert port_holder.described(taken)[0] == "another postino"
        finally:
            other.ok("down")
    assert port_holder.described(taken)[0] == "another program"


def test_a_setting_that_is_true_or_false_is_no_text_in_json(bare) -> None:
    off = {"POSTINO_WEB_ENABLED": "no"}
    for command in ("up", "status"):
        settings = bare.json(command, **off)["settings"]
        assert (settings["POSTINO_WEB_ENABLED"], settings["POSTINO_BEHIND_PROXY"]) == (False, False)
        assert settings["POSTINO_MAX_INBOX"] == "1000"
    assert bare.json("up", **off)["differs"] == []
    assert "POSTINO_WEB_ENABLED is true here, false there" in bare.run("doctor").out


def test_up_names_the_settings_a_running_daemon_does_not_share(bare) -> None:
    (bare.home / "token").write_text("secret-token\n")
    assert bare.ok("up", POSTINO_MAX_INBOX="7", POSTINO_API_TOKEN_FILE=str(bare.home / "token")).count("\n") == 2
    assert bare.ok("up", POSTINO_MAX_INBOX="7", POSTINO_API_TOKEN="secret-token").count("\n") == 2
    out = bare.ok("up", POSTINO_WAKE="off", POSTINO_AGENT_NAME="ada")
    names = "POSTINO_API_TOKEN, POSTINO_MAX_INBOX, POSTINO_WAKE"
    assert out.splitlines()[1:-1] == [
        f"it runs with a different {names} than this shell and keeps it until `postino down`"
    ]
    assert bare.json("up", POSTINO_WAKE="off")["differs"] == names.split(", ")
    assert "secret-token" not in (bare.home / "daemon.json").read_text()


def test_serve_says_at_its_end_that_its_valkey_runs_on_and_status_says_it_too(bare) -> None:
    with bare.open("serve") as process:
        until(lambda: bare.run("status").code == 0, "it serves", 20)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "`postino down` ends it" in (out + err).decode().splitlines()[-1]
    done = bare.run("status")
    assert (done.code, done.out.splitlines()[1:]) == (4, ["its Valkey is still running; `postino down` stops it"])
    assert json.loads(bare.run("status", "--json").out)["valkey"] is True
    bare.ok("down")
    done = bare.run("status")
    assert (done.code, done.out.count("\n")) == (4, 1)
