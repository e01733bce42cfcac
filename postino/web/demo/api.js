/* The API of a made-up mailroom in this tab: `?demo=1` shows a full page without anybody's data, and asks no daemon. */

import { AGENTS, BROADCASTS, MESSAGES } from "./data.js";

const MINUTE = 60_000;
const LEASE_MS = 120_000;
const OWN = "you";
const NAMES = AGENTS.slice(0, 5).map(({ name }) => name); // the readers of broadcasts

const iso = (ms) => new Date(ms).toISOString();
const answer = (items) => ({ items, total: items.length, limit: 200, offset: 0 });

export class DemoApi {
  #began = Date.now();
  #entries = MESSAGES.map((message, at) => this.#entry(message, at));
  #events = new Set(); // the writers of open event streams
  #next = 1;
  #done = new Set(); // ids

  setToken() {}
  signIn = async () => ({ token: null, person: null, proof: null });
  stats = async () => ({ time: iso(Date.now()), maxInbox: 1_000 });
  health = async () => ({ ok: true, durability: "fsync" });
  agents = async () => answer(AGENTS.map((agent) => this.#agent(agent)));
  agent = async (name) => this.#agent(AGENTS.find((each) => each.name === name) ?? { name, online: false });
  render = async () => null;
  readNow = async (agent) => ({ items: this.#settle(agent), more: false });
  clear = async () => ({ cleared: 0 });
  clearDead = async () => ({ cleared: 0 });
  cleanup = async () => ({ forgotten: [] });
  forget = async () => ({ ok: true });
  clearBroadcasts = async () => ({ cleared: 0 });
  rename = async (old) => ({ old, name: old });
  heartbeat = async () => ({ ok: true });
  people = async () => answer([this.#person()]);
  register = async () => this.#person();

  inbox = async () => {
    const items = this.#entries.filter((entry) => this.#isOpen(entry)).reverse();
    const opened = (entry) => (entry.state === "acked" ? { opened_by: entry.reader, opened_at: entry.settled_at } : { opened_by: null, opened_at: null });
    return { person: this.#person(), items: items.map((entry) => ({ ...entry, ...opened(entry) })), more: false };
  };

  seen = async (name, ids) => {
    this.#read(ids);
    return { seen: ids, taken: [], unknown: [] };
  };

  done = async (name, ids) => {
    this.#read(ids);
    for (const id of ids) this.#done.add(id);
    this.#emit({ type: "msg_done", to: OWN, ids, reader: OWN });
    return { done: ids, unknown: [] };
  };

  history = async ({ agent, from, to, thread, state, q, before }) => {
    const fits = (entry) =>
      (!agent || entry.from === agent || entry.to === agent) &&
      (!from || entry.from === from) &&
      (!to || entry.to === to) &&
      (!thread || entry.thread === thread) &&
      (!state || { waiting: "queued leased", read: "acked", dead: "dead expired" }[state]?.includes(entry.state)) &&
      (!q || entry.id === q || entry.body.toLowerCase().includes(q.toLowerCase())) &&
      (!before || parseInt(entry.entry) < parseInt(before));
    return { items: this.#entries.filter(fits).reverse(), more: false, before: null, looked: this.#entries.length };
  };

  threads = async () => {
    const names = [...new Set([...this.#entries].reverse().map(({ thread }) => thread).filter(Boolean))];
    return { items: names.map((thread) => this.#thread(thread)), more: false, before: null };
  };

  dead = async (agent) => {
    const dead = this.#entries.filter((entry) => entry.to === agent && entry.state === "dead");
    return answer(dead.map((entry) => ({ ...entry, delivery: entry.deliveries, died_at: entry.settled_at })));
  };

  requeue = async (agent, ids) => {
    const dead = this.#entries.filter((entry) => entry.to === agent && entry.state === "dead" && (!ids || ids.includes(entry.id)));
    for (const entry of dead) Object.assign(entry, { state: "queued", deliveries: 0, settled_at: null });
    this.#emit({ type: "msg_requeue", to: agent, ids: dead.map(({ id }) => id) });
    return { requeued: dead.map(({ id }) => id) };
  };

  broadcasts = async () =>
    answer(
      BROADCASTS.map(([minutes, from, body, tree, seen], at) => {
        const timestamp = iso(this.#began - minutes * MINUTE);
        const readers = { seen, agents: 5, seenBy: NAMES.slice(0, seen), notSeenBy: NAMES.slice(seen) };
        return { id: `b${at}`, seq: at + 1, from, verified: from !== "ci", via: "mcp", body, tree, timestamp, ...readers };
      }),
    );

  send = async ({ from = "anonymous", body, id, thread, reply_to, to = this.#senderOf(reply_to) }) => {
    const sent = this.#entry([0, from, to, "queued", body, { thread, reply_to, via: "web", verified: false }], this.#entries.length);
    Object.assign(sent, { id, timestamp: iso(Date.now()), entry: `${Date.now()}-0` });
    this.#entries.push(sent);
    if (reply_to) await this.done(OWN, [reply_to]);
    this.#emit({ type: "msg_send", id, from, to, seq: sent.seq, via: "web" });
    return { to, seq: sent.seq, created: true, known: true, names: [] };
  };

  broadcast = async ({ from = "anonymous" }) => {
    this.#emit({ type: "broadcast", from, seq: 3, via: "web" });
    return { seq: 3, created: true };
  };

  /** The event stream: what has happened here, and then what happens in this tab. */
  async open() {
    const events = this.#events;
    let writer;
    const body = new ReadableStream({
      start: (controller) => {
        writer = (event, at) => controller.enqueue(line({ timestamp: iso(at), ...event }, `${at}-${this.#next++}`));
        controller.enqueue(line({ type: "connected" }, ""));
        for (const { from, to, seq, via, id, timestamp } of this.#entries) {
          writer({ type: "msg_send", from, to, seq, via, id }, Date.parse(timestamp));
        }
        events.add(writer);
      },
      cancel: () => events.delete(writer),
    });
    return new Response(body);
  }

  #emit(event) {
    for (const write of this.#events) write(event, Date.now());
  }

  #isOpen({ to, id, replied }) {
    return [OWN, "human"].includes(to) && !this.#done.has(id) && !replied;
  }

  #person() {
    const open = this.#entries.filter((entry) => this.#isOpen(entry)).length;
    return { name: OWN, online: true, lastSeen: null, unread: open, open, here: true };
  }

  #read(ids) {
    for (const entry of this.#entries.filter(({ id, state }) => ids.includes(id) && state === "queued"))
      Object.assign(entry, { state: "acked", reader: OWN, settled_at: iso(Date.now()) });
    this.#emit({ type: "msg_ack", to: OWN, ids, reader: OWN });
  }

  #settle(agent) {
    const waiting = this.#entries.filter((entry) => entry.to === agent && entry.state === "queued");
    for (const entry of waiting) Object.assign(entry, { state: "acked", settled_at: iso(Date.now()) });
    this.#emit({ type: "msg_ack", to: agent, ids: waiting.map(({ id }) => id), reader: "web" });
    return waiting;
  }

  #entry([minutes, from, to, state, body, more = {}], at) {
    const sent = this.#began - minutes * MINUTE;
    const { replies, ...rest } = more;
    const settled = ["acked", "dead"].includes(state);
    return {
      ...{ entry: `${sent}-${at}`, kind: "message", id: `demo-${at}`, seq: at + 1, from, to, body, timestamp: iso(sent) },
      ...{ verified: from !== OWN, via: "mcp", state, deliveries: state === "queued" ? 0 : 1, notified: "none" },
      ...{ reader: state === "queued" ? null : "s-demo", leased_at: state === "queued" ? null : iso(sent + MINUTE / 2) },
      lease_until: state === "leased" ? iso(this.#began + LEASE_MS) : null,
      settled_at: settled ? iso(Math.min(this.#began, sent + MINUTE)) : null,
      ...{ thread: null, reply_to: replies === undefined ? null : `demo-${replies}`, tree: withCode(body) },
      ...rest,
    };
  }

  #agent({ name, kind = "agent", online = true, state = "unknown", client = null, directory = null, seen = null, dead = 0 }) {
    const mail = this.#entries.filter((entry) => entry.to === name && ["queued", "leased"].includes(entry.state));
    const stillDead = this.#entries.filter((entry) => entry.to === name && entry.state === "dead").length;
    return {
      ...{ name, kind, online, state, client, directory, sessions: online ? 1 : 0, aliases: [], dead: Math.min(dead, stillDead) },
      ...{ messageCount: mail.length, unread: mail.filter((entry) => entry.state === "queued").length },
      oldestUnread: mail[0]?.timestamp ?? null,
      lastSeen: seen === null ? null : iso(Date.now() - seen * MINUTE),
    };
  }

  #senderOf(id) {
    return this.#entries.find((entry) => entry.id === id)?.from;
  }

  #thread(thread) {
    const entries = this.#entries.filter((entry) => entry.thread === thread);
    const last = entries.at(-1);
    const waiting = entries.filter((entry) => ["queued", "leased"].includes(entry.state)).length;
    const participants = [...new Set(entries.flatMap(({ from, to }) => [from, to]))];
    return {
      ...{ thread, participants, messages: entries.length, waiting, dead: 0, last_at: last.timestamp },
      ...{ last_from: last.from, last_to: last.to, text: last.body.replace(/\s+/g, " ").slice(0, 120) },
    };
  }
}

const encoder = new TextEncoder();

function line(event, id) {
  return encoder.encode(`event: update\n${id && `id: ${id}\n`}data: ${JSON.stringify(event)}\n\n`);
}

/** Return the tree of a line that has no other marks than those of code. */
function withCode(body) {
  return [["p", ...body.split("`").map((part, at) => (at % 2 ? ["code", part] : part)).filter(Boolean)]];
}
