/* The broadcasts: the newest page, older ones on request; loaded again when one is sent, read or cleared. */

import { Throttle } from "../throttle.js";
import { Signal } from "./signal.js";

const PAGE = 50;
const MOST = 200; // of one request
const REFRESH_MS = 500;

export class Broadcasts {
  items = []; // oldest first
  total = 0;
  loaded = false;
  problem = null;
  changed = new Signal();
  #api;
  #wanted = PAGE; // items, counted from the newest
  #load = new Throttle(() => this.#read(), REFRESH_MS);

  constructor(api) {
    this.#api = api;
  }

  /** Load the shown broadcasts and new ones. */
  refresh() {
    this.#load.request();
  }

  /** Load again if `event` concerns broadcasts. */
  onEvent({ type }) {
    if (type.startsWith("broadcast")) this.refresh();
  }

  get more() {
    return this.items.length < this.total;
  }

  /** Load one more page of older ones. */
  older() {
    this.#wanted = Math.min(this.items.length, this.#wanted) + PAGE;
    this.refresh();
  }

  /** Offsets count from the oldest, so the total is asked for first. */
  async #read() {
    try {
      const { total } = await this.#api.broadcasts(1, 0);
      const items = [];
      for (let offset = Math.max(0, total - this.#wanted); offset < total; offset += MOST) {
        items.push(...(await this.#api.broadcasts(MOST, offset)).items);
      }
      Object.assign(this, { items, total: Math.max(total, items.length), problem: null, loaded: true });
    } catch (error) {
      this.problem = error;
    }
    this.changed.emit();
  }
}
