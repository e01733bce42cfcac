/* The agents: all are loaded at first, later only those that an event names. */

import { Throttle } from "../throttle.js";
import { Signal } from "./signal.js";

const PAGE = 200;
const EVENT_MS = 250; // between two requests for single agents
const FULL_MS = 2_000; // between two requests for all
const MANY = 12; // agents named by events at once: loading all is cheaper
const SYNC_MS = 30_000; // leases and presence also end without an event

export class Agents {
  byName = new Map(); // name -> record of the REST API
  loaded = false;
  changed = new Signal();
  #api;
  #aliases = new Map();
  #stale = new Set();
  #loadStale = new Throttle(() => this.#readStale(), EVENT_MS);
  #loadAll = new Throttle(() => this.#readAll(), FULL_MS);

  constructor(api) {
    this.#api = api;
    setInterval(() => this.refresh(), SYNC_MS);
  }

  /** Load all agents again. */
  refresh() {
    this.#loadAll.request();
  }

  /** Load the agents again that `event` concerns. */
  onEvent({ type, to, agent, old, reader }) {
    if (old) this.byName.delete(old);
    for (const name of [to, agent, type === "broadcast_read" ? reader : null]) if (name) this.#stale.add(name);
    if (this.#stale.size > MANY) this.refresh();
    else if (this.#stale.size) this.#loadStale.request();
  }

  /** Return the present name of the agent that is or was called `name`. */
  present(name) {
    return this.#aliases.get(name) ?? name;
  }

  get(name) {
    return this.byName.get(name);
  }

  /** The names of the groups that the agents are in. */
  get groups() {
    return [...new Set([...this.byName.values()].flatMap((agent) => agent.groups ?? []))].sort();
  }

  /** How many messages a read could return now, over all agents. */
  get unread() {
    return this.#sum((agent) => agent.unread);
  }

  get online() {
    return this.#sum((agent) => (agent.online ? 1 : 0));
  }

  #sum(value) {
    let sum = 0;
    for (const agent of this.byName.values()) sum += value(agent);
    return sum;
  }

  async #readAll() {
    this.#stale.clear();
    const found = new Map();
    try {
      for (let offset = 0, total = 1; offset < total; offset += PAGE) {
        const page = await this.#api.agents(PAGE, offset);
        for (const agent of page.items) found.set(agent.name, agent);
        total = page.total;
      }
    } catch {
      return; // they are loaded again when the event stream reconnects
    }
    this.byName = found;
    this.loaded = true;
    this.#publish();
  }

  async #readStale() {
    if (this.#stale.size > MANY) return this.refresh(); // more have come since it was requested
    const names = [...this.#stale];
    this.#stale.clear();
    await Promise.all(names.map((name) => this.#readOne(name)));
    this.#publish();
  }

  async #readOne(name) {
    try {
      const agent = await this.#api.agent(name);
      if (agent.name !== name) this.byName.delete(name);
      this.byName.set(agent.name, agent);
    } catch (error) {
      if (error.code === "unknown_agent") this.byName.delete(name);
    }
  }

  #publish() {
    this.#aliases = new Map(
      [...this.byName.values()].flatMap(({ name, aliases }) => aliases.map((alias) => [alias, name])),
    );
    this.changed.emit();
  }
}
