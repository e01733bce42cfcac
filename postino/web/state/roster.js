/* The agents: read in full at first, after that only those an event has touched. */

import { Pace } from "../pace.js";
import { Signal } from "./signal.js";

const PAGE = 200;
const EVENT_MS = 250; // between two looks at the touched ones
const FULL_MS = 2_000; // between two looks at all of them
const MANY = 12; // touched at once: reading all is cheaper
const SYNC_MS = 30_000; // leases and presence also end without an event

export class Roster {
  agents = new Map(); // name -> record as REST gives it
  loaded = false;
  changed = new Signal();
  #api;
  #aliases = new Map();
  #touched = new Set();
  #some = new Pace(() => this.#readTouched(), EVENT_MS);
  #all = new Pace(() => this.#readAll(), FULL_MS);

  constructor(api) {
    this.#api = api;
    setInterval(() => this.sync(), SYNC_MS);
  }

  /** Read all agents anew. */
  sync() {
    this.#all.ask();
  }

  /** Look again at the agents this event is about. */
  touch({ type, to, agent, old, reader }) {
    if (old) this.agents.delete(old);
    for (const name of [to, agent, type === "broadcast_read" ? reader : null]) if (name) this.#touched.add(name);
    if (this.#touched.size > MANY) this.sync();
    else if (this.#touched.size) this.#some.ask();
  }

  /** The present name behind `name`. */
  present(name) {
    return this.#aliases.get(name) ?? name;
  }

  get(name) {
    return this.agents.get(name);
  }

  /** What a read could return now, over all agents. */
  get unread() {
    return this.#sum((agent) => agent.unread);
  }

  get online() {
    return this.#sum((agent) => (agent.online ? 1 : 0));
  }

  #sum(of) {
    let sum = 0;
    for (const agent of this.agents.values()) sum += of(agent);
    return sum;
  }

  async #readAll() {
    this.#touched.clear();
    const found = new Map();
    try {
      for (let offset = 0, total = 1; offset < total; offset += PAGE) {
        const page = await this.#api.agents(PAGE, offset);
        for (const agent of page.items) found.set(agent.name, agent);
        total = page.total;
      }
    } catch {
      return; // when the stream is back, everything is read again
    }
    this.agents = found;
    this.loaded = true;
    this.#settle();
  }

  async #readTouched() {
    const names = [...this.#touched];
    this.#touched.clear();
    await Promise.all(names.map((name) => this.#readOne(name)));
    this.#settle();
  }

  async #readOne(name) {
    try {
      const agent = await this.#api.agent(name);
      if (agent.name !== name) this.agents.delete(name);
      this.agents.set(agent.name, agent);
    } catch (refusal) {
      if (refusal.code === "unknown_agent") this.agents.delete(name);
    }
  }

  #settle() {
    this.#aliases = new Map(
      [...this.agents.values()].flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name])),
    );
    this.changed.emit();
  }
}
