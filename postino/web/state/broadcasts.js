/* The feed of broadcasts: the newest page, older ones on request; read again when it changes or was seen by more. */

import { Pace } from "../pace.js";
import { Signal } from "./signal.js";

const PAGE = 50;
const MOST = 200; // in one answer
const REFRESH_MS = 500;

export class Broadcasts {
  items = []; // oldest first
  total = 0;
  loaded = false;
  problem = null;
  changed = new Signal();
  #api;
  #wanted = PAGE; // entries, from the newest
  #pace = new Pace(() => this.#read(), REFRESH_MS);

  constructor(api) {
    this.#api = api;
  }

  /** Read what is shown again, and what is new. */
  refresh() {
    this.#pace.ask();
  }

  /** Read again when this event concerns the feed. */
  touch({ type }) {
    if (type.startsWith("broadcast")) this.refresh();
  }

  get more() {
    return this.items.length < this.total;
  }

  /** Read one page more, too. */
  older() {
    this.#wanted = Math.min(this.items.length, this.#wanted) + PAGE;
    this.refresh();
  }

  /** The API counts from the oldest, so how many there are comes first. */
  async #read() {
    try {
      const { total } = await this.#api.broadcasts(1, 0);
      const items = [];
      for (let offset = Math.max(0, total - this.#wanted); offset < total; offset += MOST) {
        items.push(...(await this.#api.broadcasts(MOST, offset)).items);
      }
      Object.assign(this, { items, total: Math.max(total, items.length), problem: null, loaded: true });
    } catch (refusal) {
      this.problem = refusal;
    }
    this.changed.emit();
  }
}
