"""Every verb of the client against the real daemon, and its retries through a real crash."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postino.client import Client
from postino.daemon import process
from postino.errors import (
    AgentBusy,
    BadField,
    KeyReused,
    LeaseLost,
    StoreAway,
    Unauthorized,
    UnknownAgent,
    UnknownMessage,
)
from postino.paths import Home
from postino.transport import Answer
from tests.waiting import until


@pytest.fixture
def client(postino) -> Iterator[Client]:
    with Client(postino.home / "daemon.sock") as made:
        yield made


def test_the_life_of_a_message(client) -> None:
    sent = client.send("v1-bob", "hello", sender="v1-ada", thread="t", reply_to="r")
    assert client.send("v1-bob", "hello", sender="v1-ada", thread="t", reply_to="r", id=sent["id"])["created"] is False
    with pytest.raises(KeyReused):
        client.send("v1-bob", "other", id=sent["id"])
    assert client.peek("v1-bob", limit=1, offset=0)["total"] == 1
    assert client.state("v1-bob", sent["id"])["state"] == "queued"
    assert client.read("v1-bob", limit=1)["items"][0]["id"] == sent["id"]
    assert client.read("v1-bob", resume=True)["items"][0]["id"] == sent["id"]
    assert client.extend("v1-bob", [sent["id"]])["acknowledged"] == [sent["id"]]
    assert client.nack("v1-bob", [sent["id"]])["acknowledged"] == [sent["id"]]
    assert client.read("v1-bob")["items"][0]["redelivered"]
    with pytest.raises(LeaseLost) as caught:
        client.ack("v1-bob", [sent["id"]], consumer="somebody-else")
    assert caught.value.detail["rejected"] == [sent["id"]]
    assert client.ack("v1-bob", [sent["id"]])["acknowledged"] == [sent["id"]]
    assert client.state("v1-bob", sent["id"])["state"] == "acked"
    with pytest.raises(UnknownMessage):
        client.state("v1-bob", "never-sent")
    assert client.history(agent="v1-bob", with_="v1-ada", q="HELLO", limit=1)["items"][0]["state"] == "acked"
    assert [each["id"] for each in client.history(id=sent["id"])["items"]] == [sent["id"]]


def test_read_and_acknowledge_in_one(client) -> None:
    client.send("v2-bob", "hello", id="v2")
    assert client.read("v2-bob", ack_now=True)["items"][0]["id"] == "v2"
    assert client.state("v2-bob", "v2")["state"] == "acked"
    assert client.read("v2-bob", wait=0.1)["items"] == []


def test_the_rest_of_the_verbs(client) -> None:
    said = client.broadcast("to all", sender="v3-ada")
    assert client.broadcast("to all", sender="v3-ada", id=said["id"])["created"] is False
    assert client.broadcasts(limit=200)["items"][-1]["id"] == said["id"]
    assert client.check("v3-bob")["unseenBroadcasts"] > 0
    assert client.read_broadcasts("v3-bob", limit=200)["items"][-1]["id"] == said["id"]
    assert client.clear_broadcasts()["cleared"] > 0
    assert client.heartbeat("v3-bob")["online"]
    assert client.agent("v3-bob")["online"]
    with pytest.raises(AgentBusy):
        client.forget("v3-bob")
    with pytest.raises(UnknownAgent):
        client.agent("v3-nobody")
    assert client.rename("v3-bob", "v3-rob")["aliases"] == ["v3-bob"]
    assert client.agents(limit=200, offset=0)["total"] > 0
    assert "v3-rob" not in client.cleanup()["forgotten"]
    client.send("v3-rob", "hello")
    assert client.clear("v3-rob")["cleared"] == 1
    assert client.dead("v3-rob", limit=5)["items"] == []
    assert client.requeue("v3-rob")["requeued"] == []
    assert client.clear_dead("v3-rob")["cleared"] == 0
    assert client.stats()["agentCount"] > 0
    assert client.health()["ok"]
    with pytest.raises(BadField):
        client.send("v3-rob", "\x00")


def test_over_tcp_with_a_token_and_never_without(bare) -> None:
    bare.serve(POSTINO_API_TOKEN="hush")
    url = bare.json("status")["url"]
    with Client(url, token="hush") as client:
        assert client.send("bob", "hello", id="1")["created"]
    with Client(url) as client, pytest.raises(Unauthorized):
        client.stats()
    with Client(url, token="wrong") as client, pytest.raises(Unauthorized):
        next(client.events())


def test_the_directory_of_a_socket_of_another_name_keeps_its_mode(postino, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "s").symlink_to(postino.home / "daemon.sock")

    with Client(tmp_path / "s") as client:
        assert client.health()["ok"]

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_a_send_through_a_killed_daemon_is_stored_once(bare) -> None:
    bare.serve()
    env, home = bare.env, Home(bare.home)
    with Client(home.socket, start=lambda: process.start(env, home)) as client:
        for number in range(3):
            client.send("bob", f"before {number}")
            os.kill(process.status(home).pid, signal.SIGKILL)
            assert client.send("bob", f"after {number}")["created"]
        bodies = [item["body"] for item in client.peek("bob")["items"]]
    assert bodies == [f"{when} {number}" for number in range(3) for when in ("before", "after")]


def test_a_flood_through_a_kill_loses_and_doubles_nothing(bare) -> None:
    bare.serve()
    env, home = bare.env, Home(bare.home)
    killer = threading.Timer(0.3, lambda: os.kill(process.status(home).pid, signal.SIGKILL))
    with Client(home.socket, start=lambda: process.start(env, home)) as client:
        killer.start()
        sent = 0
        while killer.is_alive() or sent < 100:
            client.send("bob", f"number {sent}")
            sent += 1
            if sent == 900:
                break
        killer.join()
        assert client.peek("bob")["total"] == sent
        seen: list[str] = []
        while len(seen) < sent:
            batch = client.read("bob", limit=200)["items"]
            client.ack("bob", [item["id"] for item in batch])
            seen += [item["body"] for item in batch]
    assert seen == [f"number {number}" for number in range(sent)]


@pytest.mark.waits
def test_a_command_says_at_last_that_nothing_was_changed(bare, serve) -> None:
    own = serve()
    bare.serve(POSTINO_VALKEY_URL=own.url)
    own.kill()

    assert bare.no(4, "read", "bob").endswith("; nothing was changed, try again")


def test_commands_wait_for_a_store_that_comes_back(bare, serve) -> None:
    own = serve()
    bare.serve(POSTINO_VALKEY_URL=own.url)
    own.kill()

    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(bare.open(name, *args))
            for name, *args in (
                ("send", "carl", "late", "--from", "ci"),
                ("check", "bob"),
                ("read", "bob", "--wait", "60"),
                ("ask", "ada", "which?", "--id", "q1", "--from", "ci"),
            )
        }
        threading.Timer(3, own.start).start()  # s; commands gave up after 1.1
        for name in ("send", "check"):
            assert (running[name].communicate(timeout=30)[1], running[name].returncode) == (b"", 0)
        bare.ok("send", "bob", "for bob", "--from", "ci")
        until(lambda: bare.json("read", "ada", "--peek")["items"], "the question has arrived", 30)
        bare.ok("reply", "q1", "main", "--from", "ada")
        for name, text in (("read", b"for bob"), ("ask", b"main")):
            out, err = running[name].communicate(timeout=30)
            assert (text in out, err, running[name].returncode) == (True, b"", 0)

    assert [item["body"] for item in bare.json("read", "carl")["items"]] == ["late"]


def test_a_read_of_unknown_outcome_gets_its_messages_when_valkey_goes_on(bare, monkeypatch) -> None:
    """Valkey carries out the lease while nobody hears its answer."""
    monkeypatch.setattr("postino.client_calls.FAILOVER", 60.0)
    bare.serve()
    valkey = int((bare.home / "data" / "valkey.pid").read_text())

    class Counting(Client):
        tries = 0

        def _once(self, *asked: Any) -> Answer:
            self.tries += 1
            os.kill(valkey, signal.SIGCONT if self.tries > 4 else signal.SIGSTOP)
            return super()._once(*asked)

    with Client(bare.home / "daemon.sock") as client, Counting(bare.home / "daemon.sock", seconds=60) as reader:
        client.send("bob", "hello", id="m1")
        try:
            items = reader.read("bob")["items"]
        finally:
            os.kill(valkey, signal.SIGCONT)
        assert [item["body"] for item in items] == ["hello"]
        assert reader.tries > 4
        assert reader.ack("bob", ["m1"])["acknowledged"] == ["m1"]
        assert client.read("bob")["items"] == []


def test_events_tell_and_resume(client) -> None:
    events = client.events(agent="v6-bob", types=["msg_send"])
    first = next(events)
    assert first["type"] == "connected"
    client.send("v6-bob", "one", id="v6-1")
    assert next(events)["id"] == "v6-1"
    events.close()
    client.send("v6-bob", "two", id="v6-2")
    again = client.events(agent="v6-bob", types=["msg_send"], since=first["event_id"])
    assert [event["id"] for event in (next(again), next(again), next(again)) if "id" in event] == ["v6-1", "v6-2"]
    again.close()


def test_a_stream_of_events_says_when_valkey_is_away_and_when_it_is_back(bare) -> None:
    bare.serve()
    valkey = int((bare.home / "data" / "valkey.pid").read_text())
    with Client(bare.home / "daemon.sock", seconds=60) as client:
        events = client.events(types=["msg_ack"])  # these are of the stream itself, whatever is filtered
        assert next(events)["type"] == "connected"
        os.kill(valkey, signal.SIGSTOP)
        try:
            away = next(events)
            with Client(bare.home / "daemon.sock") as late, pytest.raises(StoreAway):
                next(late.events(patience=0))
        finally:
            os.kill(valkey, signal.SIGCONT)
        back = next(events)
        events.close()

    assert [each["type"] for each in (away, back)] == ["store_away", "store_back"]
    assert away["timestamp"] < back["timestamp"]


def test_the_longest_body_of_any_script_fits_into_one_request(client: Client) -> None:
    body = "\U0001f4ee" * 32_768

    client.send("bob", body)

    assert client.read("bob")["items"][0]["body"] == body
