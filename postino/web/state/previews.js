/* The newest message of each agent, for its row in the list. */

import { compareIds, unmarked } from "../format.js";
import { Throttle } from "../throttle.js";
import { Signal } from "./signal.js";

const FIRST = 100; // messages looked at
const NEXT = 30;
const WAIT_MS = 1_500;
const LONGEST = 100; // characters

export class Previews {
  changed = new Signal();
  #api;
  #byName = new Map(); // name -> {entry, from, text}
  #load = new Throttle(() => this.#read(), WAIT_MS);

  constructor(api) {
    this.#api = api;
  }

  refresh() {
    this.#load.request();
  }

  onEvent({ type, old, agent }) {
    if (type === "msg_send") this.refresh();
    if (type === "agent_rename" && this.#byName.has(old)) {
      this.#byName.set(agent, this.#byName.get(old));
      this.changed.emit();
    }
  }

  /** Return `{from, to, text}` of the newest message to or from `name`, or undefined. */
  get(name) {
    return this.#byName.get(name);
  }

  async #read() {
    let items;
    try {
      ({ items } = await this.#api.history({ limit: this.#byName.size ? NEXT : FIRST }));
    } catch {
      return; // the list says who is there without it
    }
    for (const { entry, kind, from, to, body } of items) {
      if (kind !== "message") continue;
      const text = unmarked(body.slice(0, 4 * LONGEST)).replace(/\s+/g, " ").trim().slice(0, LONGEST);
      for (const name of [from, to]) {
        const known = this.#byName.get(name);
        if (!known || compareIds(entry, known.entry) > 0) this.#byName.set(name, { entry, from, to, text });
      }
    }
    this.changed.emit();
  }
}
