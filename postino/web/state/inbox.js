/* What is open in the inbox of the person who uses this browser, and in that of all people. */

import { Throttle } from "../throttle.js";
import { Signal } from "./signal.js";

const MOST = 200;
const REFRESH_MS = 250;
const SEEN_MS = 300; // between two requests that report what was seen
export const SHARED = "human"; // the mailbox of all people

export class Inbox {
  items = []; // of the REST API, the oldest first, those that others have taken last
  more = false;
  loaded = false;
  problem = "";
  changed = new Signal();
  #api;
  #me;
  #seen = new Set();
  #load = new Throttle(() => this.#read(), REFRESH_MS);
  #report = new Throttle(() => this.#reportSeen(), SEEN_MS);

  constructor(api, me) {
    this.#api = api;
    this.#me = me;
    me.changed.on(() => this.refresh());
  }

  refresh() {
    if (this.#me.name) this.#load.request();
  }

  onEvent({ type, to, agent, old }) {
    const mine = (name) => name === this.#me.name || name === SHARED;
    if (type.startsWith("msg_") ? mine(to) : mine(agent) || mine(old)) this.refresh();
  }

  /** Whether another person has taken `item`. */
  takenByOther = (item) => item.opened_by !== null && item.opened_by !== this.#me.name && item.to === SHARED;

  /** The messages that wait for this person. */
  get open() {
    return this.items.filter((item) => !this.takenByOther(item));
  }

  /** Note that the user has seen a message; it is reported soon. */
  see(item) {
    if (item.opened_by !== null || this.#seen.has(item.id)) return;
    this.#seen.add(item.id);
    this.#report.request();
  }

  /** Open messages now; return the names of those who have taken some of them. */
  async take(ids) {
    const { taken } = await this.#api.seen(this.#me.name, ids);
    this.refresh();
    return taken.map(({ by }) => by);
  }

  async done(ids) {
    await this.#api.done(this.#me.name, ids);
    this.items = this.items.filter(({ id }) => !ids.includes(id));
    this.changed.emit();
    this.refresh();
  }

  async #reportSeen() {
    const ids = [...this.#seen];
    try {
      await this.take(ids);
    } catch {
      for (const id of ids) this.#seen.delete(id); // reported again when they are seen again
    }
  }

  async #read() {
    try {
      const { items, more } = await this.#api.inbox(this.#me.name, MOST);
      const rank = (item) => Number(this.takenByOther(item));
      this.items = items.reverse().sort((a, b) => rank(a) - rank(b));
      this.more = more;
      this.problem = "";
      this.loaded = true;
      for (const id of [...this.#seen]) if (!items.some((item) => item.id === id)) this.#seen.delete(id);
    } catch (error) {
      this.problem = error.message;
      if (error.code === "unknown_agent") this.#me.load(); // the store was emptied, and knows the person no more
    }
    this.changed.emit();
  }
}
