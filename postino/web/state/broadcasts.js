/* The feed of broadcasts: its newest page, older ones on request, read again when it changes or somebody has seen more. */

import { Pace } from "../pace.js";
import { Signal } from "./signal.js";

const PAGE = 50;
const REFRESH_MS = 500;

export class Broadcasts {
  items = []; // oldest first
  total = 0;
  loaded = false;
  loading = false;
  problem = null;
  changed = new Signal();
  #api;
  #pace = new Pace(() => this.#read(Math.max(PAGE, this.items.length)), REFRESH_MS);

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

  /** Read one page more. */
  async older() {
    if (this.loading) return;
    this.loading = true;
    await this.#read(this.items.length + PAGE);
    this.loading = false;
    this.changed.emit();
  }

  /** Read the newest `wanted` entries: the API counts from the oldest, so how many there are comes first. */
  async #read(wanted) {
    try {
      const { total } = await this.#api.broadcasts(1, 0);
      const items = [];
      for (let offset = Math.max(0, total - wanted); offset < total; offset += 200) {
        items.push(...(await this.#api.broadcasts(200, offset)).items);
      }
      Object.assign(this, { items, total: Math.max(total, items.length), problem: null, loaded: true });
    } catch (refusal) {
      this.problem = refusal;
    }
    this.changed.emit();
  }
}
