"""The broker against a model of a few dozen plain lines: whatever is done in whatever order, both say the same.

The model knows no streams, scripts or leases in time: lists of messages, a holder, a count. Two daemons on one
Valkey take turns. After each step the inboxes, dead letters and counts of all agents are compared; at the end
everything still there is read out.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from postino.broker import Broker, Hello
from postino.errors import BadField, InboxFull, KeyReused, NameTaken, UnknownAgent, UnknownMessage
from postino.model import BroadcastDraft, Draft, Sender
from postino.paths import Home
from tests.broker.mailbox_model import DELIVERIES, MOST, Box, Mail
from tests.broker.mailrooms import imported, raw
from tests.broker.two_daemons import IDS, KEPT, TwoDaemons

EXAMPLES, STEPS = int(os.environ.get("MACHINE_EXAMPLES", "30")), int(os.environ.get("MACHINE_STEPS", "60"))
CI = Sender(name="ci", via="http")
NAMES = st.sampled_from(["ann", "bob", "cid"])
STRANGERS = st.sampled_from(["c1", "c2"])
MOSTLY = st.integers(0, 4)  # what makes sense, rather than 0: anything
LISTS = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)
LIMITS = st.integers(1, 4)
# by weight: what makes a message's life comes in sequences
OFTEN = st.sampled_from(["send", "send", "read", "read", "read", "read_as_session", "read_and_ack", *["settle"] * 5])
SELDOM = st.sampled_from(
    ["join", "leave", "leave", "requeue", "requeue", "clear", "clear_dead", "cleanup", "clear_broadcasts", "move"]
    + ["sleep", "wake"] * 2 + ["rename"] * 3 + ["broadcast"] * 4 + ["read_broadcasts", "read_broadcasts_as_session"] * 2
)  # fmt: skip


class Machine(TwoDaemons):
    """What may be done, step by step."""

    def __init__(self, url: str, home: Home) -> None:
        super().__init__(url, home)
        self._begin()

    def _begin(self) -> None:
        """Begin in the middle of things: something leased, dead, said and seen."""
        self._join("ann")
        for id in IDS[:5]:
            self._send("ann", id, "x")
        for _ in range(DELIVERIES):
            self._read("ann", "c1", 2, resume=False)
            self._give_back("ann", self.box("ann"), "c1", IDS[:2], "nack")
        self._read("ann", "c1", 1, resume=False)
        self._send("bob", IDS[0], "x")
        for number in "12":
            self._say(number, "ann")
        self._hear("bob", 1)

    # what is done

    @rule(data=st.data(), verb=OFTEN)
    def mail(self, data: st.DataObject, verb: str) -> None:
        getattr(self, verb)(data)

    @rule(data=st.data(), verb=SELDOM)
    def the_rest(self, data: st.DataObject, verb: str) -> None:
        getattr(self, verb)(data)

    def a_name(self, data: st.DataObject, *better: str) -> str:
        return str(data.draw(st.sampled_from(better) if better and data.draw(MOSTLY) else NAMES))

    def a_session(self, data: st.DataObject) -> str:
        if not self.sessions:
            self.join(data)
        return str(data.draw(st.sampled_from(sorted(self.sessions))))

    def send(self, data: st.DataObject) -> None:
        to, body = data.draw(NAMES), data.draw(st.sampled_from("xxxxy"))
        for id in data.draw(LISTS):
            self._send(to, id, body)

    def _send(self, to: str, id: str, body: str) -> None:
        box = self.box(to)
        work = self.broker.mail.send(Draft(id=id, to=to, body=body), CI)
        if id in box.ids and box.ids[id].body != body:
            assert self.refusal(work) is KeyReused
        elif id not in box.ids and len(box.mail) >= MOST:
            assert self.refusal(work) is InboxFull
        else:
            sent = self.run(work)
            seen, created = box.seen, id not in box.ids
            if created:  # a repeat makes nobody known again who was forgotten
                box = self.known(to)
                box.seq += 1
                box.ids[id] = Mail(id, box.seq, body)
                box.mail.append(box.ids[id])
            wanted = (self.present(to), box.ids[id].seq, created, seen)
            assert (sent.to, sent.seq, sent.created, sent.known) == wanted

    def _read(self, name: str, consumer: str, limit: int, resume: bool) -> None:
        wanted = self.reader(name).read(consumer, limit, resume)
        batch = self.run(self.broker.mail.read(name, consumer, limit=limit, resume=resume))
        assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == wanted
        box = self.box(name)
        assert [(each.seq, each.body) for each in batch.items] == [
            (box.ids[id].seq, box.ids[id].body) for id, _, _ in wanted
        ]
        assert (batch.agent, batch.more) == (self.present(name), box.unread() > 0)

    def read(self, data: st.DataObject) -> None:
        self._read(self.a_name(data, *self.boxes), data.draw(STRANGERS), data.draw(LIMITS), data.draw(st.booleans()))

    def read_as_session(self, data: st.DataObject) -> None:
        session = self.a_session(data)
        self._read(self.agent_of(session), session, data.draw(LIMITS), data.draw(st.booleans()))

    def read_and_ack(self, data: st.DataObject) -> None:
        name, consumer = data.draw(NAMES), data.draw(STRANGERS)
        box = self.reader(name)
        wanted = box.read(consumer, 2, False)
        box.seen |= bool(wanted)
        for id, _, _ in wanted:
            box.end(box.ids[id], "acked")
        batch = self.run(self.broker.mail.read(name, consumer, limit=2, ack_now=True))
        assert [(each.id, each.delivery, each.redelivered) for each in batch.items] == wanted

    def settle(self, data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["ack", "nack", "nack", "delay", "undo", "extend"]))
        held = [(name, each.holder) for name, box in self.boxes.items() for each in box.mail if each.holder]
        if held and data.draw(MOSTLY):
            name, consumer = data.draw(st.sampled_from(held))
            ids = [each.id for each in self.boxes[name].mail if each.holder == consumer]
        else:
            name, consumer, ids = data.draw(NAMES), data.draw(st.sampled_from(["c1", "s1"])), IDS
        chosen = data.draw(st.lists(st.sampled_from(ids), min_size=1, max_size=4, unique=True))
        verb = {"ack": self._ack, "extend": self._extend}.get(kind, self._give_back)
        verb(name, self.box(name), str(consumer), chosen, kind)

    def _ack(self, name: str, box: Box, consumer: str, ids: list[str], kind: str) -> None:
        done = []
        for id in ids:
            mail = box.ids.get(id)
            if mail and mail.holder == consumer and mail.state in ("queued", "leased", "acked"):
                if mail.state != "acked":
                    box.end(mail, "acked")
                    box.seen = True
                done.append(id)
        settled = self.run(self.broker.mail.ack(name, consumer, ids))
        assert (settled.acknowledged, settled.rejected) == (done, [id for id in ids if id not in done])

    def _give_back(self, name: str, box: Box, consumer: str, ids: list[str], kind: str) -> None:
        done, dead = [], []
        for id in ids:
            mail = box.ids.get(id)
            if not mail or mail.state != "leased" or mail.holder != consumer:
                continue
            if mail.deliveries >= DELIVERIES and kind != "undo":
                box.bury(mail)
                dead.append(id)
            else:
                mail.state, mail.holder, mail.delayed = "queued", None, kind == "delay"
                mail.deliveries -= kind == "undo"
                done.append(id)
        if kind == "undo":
            self.run(self.broker.mail.undo_read(name, consumer, ids))
            return
        settled = self.run(self.broker.mail.nack(name, consumer, ids, 3_600_000 if kind == "delay" else 0))
        rejected = [id for id in ids if id not in done + dead]
        assert (settled.acknowledged, settled.rejected, settled.dead) == (done, rejected, dead)

    def _extend(self, name: str, box: Box, consumer: str, ids: list[str], kind: str) -> None:
        done = [id for id in ids if id in box.ids and (box.ids[id].state, box.ids[id].holder) == ("leased", consumer)]
        settled = self.run(self.broker.mail.extend(name, consumer, ids))
        assert (settled.acknowledged, settled.rejected) == (done, [id for id in ids if id not in done])

    def clear(self, data: st.DataObject) -> None:
        name = data.draw(NAMES)
        box = self.box(name)
        assert self.run(self.broker.mail.clear(name)) == len(box.mail)
        for mail in list(box.mail):
            box.end(mail, "cleared")

    def requeue(self, data: st.DataObject) -> None:
        name = self.a_name(data, *(name for name, box in self.boxes.items() if box.dead))
        letters = [each.id for each in self.box(name).dead]
        ids = [data.draw(st.sampled_from(letters))] if letters and data.draw(MOSTLY) else data.draw(st.none() | LISTS)
        box = self.box(name)
        letters = box.dead if ids is None else [each for id in ids for each in box.dead if each.id == id]
        work = self.broker.dead.requeue(name, ids)
        if not box.listed:
            assert self.refusal(work) is UnknownAgent
        elif ids is not None and len(letters) < len(ids):
            assert self.refusal(work) is UnknownMessage
        elif len(box.mail) + len(letters) > MOST:
            assert self.refusal(work) is InboxFull
        else:
            assert self.run(work) == [each.id for each in letters]
            for mail in list(letters):
                box.dead.remove(mail)
                box.mail.append(mail)
                mail.state, mail.holder, mail.deliveries, mail.fresh, mail.delayed = "queued", None, 0, True, False
                mail.again = True

    def clear_dead(self, data: st.DataObject) -> None:
        name = data.draw(NAMES)
        box = self.box(name)
        assert self.run(self.broker.dead.clear(name)) == len(box.dead)
        while box.dead:
            box.dead.pop().state = "cleared"

    # agents and sessions

    def join(self, data: st.DataObject) -> None:
        self._join(data.draw(NAMES))

    def _join(self, name: str) -> None:
        self.born += 1
        session = f"s{self.born}"
        shared = len(self.box(name).sessions)
        joined = self.run(self.broker.sessions.join(Hello(session=session, generation=1, name=name)))
        assert (joined.agent, joined.shared, joined.derived) == (self.present(name), shared, False)
        box = self.known(name)
        box.sessions.add(session)
        box.seen = True
        self.sessions[session] = None

    def leave(self, data: st.DataObject) -> None:
        session = self.a_session(data)
        box = self.boxes[self.agent_of(session)]
        self.run(self.broker.sessions.leave(session, 1))
        for mail in box.mail:
            if mail.state == "leased" and mail.holder == session:
                mail.state = "queued"  # and a late acknowledgement still counts
        box.sessions.remove(session)
        del self.sessions[session]

    def sleep(self, data: st.DataObject) -> None:
        """A session falls silent, and that is noticed; what it holds stays leased."""
        session = self.a_session(data)
        name, key = self.agent_of(session), self.broker._store.keys.shared("presence")
        self.run(self.broker._store.call("ZADD", key, 1, session))
        self.run(self.broker._live.expire_presence())
        self.boxes[name].sessions.remove(session)
        self.asleep[session] = name, self.sessions.pop(session)

    def wake(self, data: st.DataObject) -> None:
        """It comes back as the agent it was, whatever that is called now."""
        if not self.asleep:
            return
        session = str(data.draw(st.sampled_from(sorted(self.asleep))))
        name, place = self.asleep.pop(session)
        self.run(self.broker.sessions.keepalive(session, 1))
        box = self.known(name)
        box.sessions.add(session)
        box.seen = True
        self.sessions[session] = place

    def rename(self, data: st.DataObject) -> None:
        old, new = self.a_name(data, *self.boxes, *self.alias), data.draw(NAMES)
        work, name = self.broker.agents.rename(old, new), self.present(old)
        box, there = self.boxes.get(name), self.boxes.get(new)
        if box is None:
            assert self.refusal(work) is UnknownAgent
        elif name == new:
            assert self.run(work).name == new
        elif self.alias.get(new, name) != name or (there and (there.sessions or there.mail or there.dead)):
            assert self.refusal(work) is NameTaken
        else:
            renamed = self.run(work)
            for each in there.aliases if there else []:
                del self.alias[each]
            box.aliases = [each for each in box.aliases if each != new] + [name]
            self.boxes[new] = self.boxes.pop(name)
            self.forgotten.pop(new, None)
            self.forgotten.pop(name, None)
            self.alias.pop(new, None)
            self.alias |= dict.fromkeys(box.aliases, new)
            box.listed = box.seen = True
            assert (renamed.name, set(renamed.aliases)) == (new, set(box.aliases))

    def cleanup(self, _: st.DataObject) -> None:
        gone = [name for name, box in self.boxes.items() if not (box.sessions or box.mail or box.dead)]
        assert self.run(self.broker.agents.cleanup()) == sorted(name for name in gone if self.boxes[name].listed)
        for name in gone:
            box = self.forgotten[name] = self.boxes.pop(name)
            for each in box.aliases:
                del self.alias[each]
                self.forgotten[each] = Box(ids=dict(box.ids), seq=box.seq)

    # broadcasts

    def first_alive(self) -> int:
        return self.fates.index("alive") + 1 if "alive" in self.fates else len(self.fates) + 1

    def broadcast(self, data: st.DataObject) -> None:
        self._say(data.draw(st.sampled_from("123456789")), data.draw(NAMES))

    def _say(self, id: str, sender: str) -> None:
        work = self.broker.broadcasts.broadcast(
            BroadcastDraft(id=f"{sender}-{id}", body="hear"), Sender(name=sender, via="http")
        )
        said = self.run(work)
        repeated = f"{sender}-{id}" in self.said
        if not repeated:
            box, last, first = self.boxes.get(self.present(sender)), len(self.fates), self.first_alive()
            self.fates.append("alive")
            self.said[f"{sender}-{id}"] = last + 1
            if self.fates.count("alive") > KEPT:
                self.fates[self.first_alive() - 1] = "trimmed"
            if box and (first - 1 if box.cursor is None else box.cursor) >= last:
                box.cursor = last + 1
        assert (said.seq, said.created) == (self.said[f"{sender}-{id}"], not repeated)

    def read_broadcasts(self, data: st.DataObject) -> None:
        self._hear(self.a_name(data, *self.boxes), data.draw(LIMITS))

    def _hear(self, name: str, limit: int) -> None:
        box = self.reader(name)
        given, missed, box.cursor = self._heard(box.cursor, limit)
        batch = self.run(self.broker.broadcasts.read(name, limit))
        assert ([each.seq for each in batch.items], batch.missed) == (given, missed)
        assert batch.more == (box.cursor < len(self.fates))

    def read_broadcasts_as_session(self, data: st.DataObject) -> None:
        session, limit, settle = self.a_session(data), data.draw(LIMITS), data.draw(st.booleans())
        name = self.agent_of(session)
        box, own = self.boxes[name], self.sessions[session]
        places = [each for each in (box.cursor, own) if each is not None]
        given, missed, place = self._heard(max(places, default=None), limit)
        after = f"{self.streams[own]} {own}" if own is not None else None
        batch = self.run(self.broker.broadcasts.read(name, limit, after=after, move=False))
        assert ([each.seq for each in batch.items], batch.missed) == (given, missed)
        self.sessions[session] = place
        self.streams[place] = batch.cursor.split()[0]
        if settle:  # also late, and behind what another session has settled since
            place = data.draw(st.sampled_from([place, *sorted(self.streams)]))
            self.run(self.broker.broadcasts.move_cursor(name, f"{self.streams[place]} {place}"))
            box.cursor = max(place, -1 if box.cursor is None else box.cursor)

    def clear_broadcasts(self, _: st.DataObject) -> None:
        assert self.run(self.broker.broadcasts.clear()) == self.fates.count("alive")
        self.fates = ["cleared" if each == "alive" else each for each in self.fates]

    # the move to another store

    def move(self, data: st.DataObject) -> None:
        """Export, import at the second try, and go on there: without sessions, and with what was leased returned."""
        lines = self.run(raw(self.broker))
        self._close()
        self.settings = replace(self.settings, key_prefix=f"t{secrets.token_hex(6)}:")
        self.brokers = [self.run(Broker.open(self.settings)) for _ in range(2)]
        cut = data.draw(st.integers(0, len(lines) - 1))
        assert self.refusal(imported(self.broker, lines[:cut])) is BadField
        self.run(imported(self.broker, lines))
        self.sessions, self.asleep, self.forgotten = {}, {}, {}
        for box in self.boxes.values():
            box.sessions = set()
            for mail in box.mail:
                mail.state, mail.holder, mail.fresh = "queued", None, False


@pytest.mark.timeout(600)
def test_two_daemons_and_the_model_say_the_same_whatever_is_done(
    valkey: str, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("postino.store.sessions.ONLINE_MS", 3_600_000)  # the model knows no time, an example takes some
    run_state_machine_as_test(
        lambda: Machine(valkey, home),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
            # making a failure small takes minutes on a real server
            phases=tuple(Phase) if "MACHINE_SHRINK" in os.environ else (Phase.generate,),
        ),
    )
