/* The messages to and from one agent, or of all agents: the newest page first, older pages on request. */

import { compareIds } from "../format.js";
import { Throttle } from "../throttle.js";
import { Signal } from "./signal.js";

const PAGE = 50;
const MOST = 300; // kept while the newest are shown; older ones can be loaded again
const BRIDGE = 4; // pages loaded to close a hole after an absence; after a wider one the list starts over
const REFRESH_MS = 300;

/** The fields that an event changes in the messages it names. */
const CHANGES = {
  msg_read: (e) => ({ state: "leased", reader: e.reader, leased_at: e.timestamp, lease_until: null, settled_at: null }),
  msg_ack: (e) => ({ state: "acked", reader: e.reader, settled_at: e.timestamp }),
  msg_nack: () => ({ state: "queued", reader: null, settled_at: null }),
  msg_release: () => ({ state: "queued", reader: null, settled_at: null }),
  msg_requeue: () => ({ state: "queued", reader: null, settled_at: null, deliveries: 0, reason: null }),
  msg_dead: (e) => ({ state: "dead", settled_at: e.timestamp, reason: e.reason }),
  msg_expired: (e) => ({ state: "expired", settled_at: e.timestamp, reason: e.reason }),
  msg_notified: (e) => ({ notified: e.how }),
  msg_clear: (e) => ({ state: "cleared", settled_at: e.timestamp }),
};
const UNSETTLED = new Set(["queued", "leased"]);

export class MailHistory {
  entries = []; // of the history, oldest first
  loaded = false;
  loading = false; // an older page
  more = false;
  looked = 0; // entries that the present search looked at without finding any: the daemon ends a page after 5,000
  problem = null; // the error of the last request
  changed = new Signal();
  #api;
  #agents;
  #query;
  #before = null;
  #stopped = false;
  #trims = 0; // how often the oldest entries were dropped: an older page requested before that no longer fits
  #load = new Throttle(() => this.#refresh(), REFRESH_MS);

  /** `query` are parameters of the history; `agent` null: the mail of all agents. */
  constructor(api, agents, query) {
    this.#api = api;
    this.#agents = agents;
    this.#query = query;
  }

  /** Load the newest page again. */
  refresh() {
    this.#load.request();
  }

  /** Stop loading, and emit no more changes. */
  stop() {
    this.#stopped = true;
    this.#load.cancel();
    this.changed = new Signal();
  }

  /** Return whether `name` is a present or former name of the agent shown. */
  isShownAgent(name) {
    return this.#query.agent !== null && this.#agents.present(name) === this.#agents.present(this.#query.agent);
  }

  find(id) {
    return this.entries.find((entry) => entry.id === id);
  }

  /** Apply what `event` says at once, and load the rest soon. */
  onEvent(event) {
    const named = new Set(event.ids ?? [event.id]);
    const known = this.entries.filter((entry) => this.#isNamed(entry, event, named));
    const change = CHANGES[event.type];
    if (change && known.length) {
      for (const entry of known) this.#apply(entry, change(event), event);
      this.changed.emit();
    }
    const several = this.entries.some((entry) => entry.recipients && named.has(entry.id)); // an event is about one of them
    if (known.length || several || this.#concerns(event)) this.refresh();
  }

  /** Load the page before the oldest entry. */
  async older() {
    if (this.loading || !this.more) return;
    this.loading = true;
    this.changed.emit();
    const trims = this.#trims;
    try {
      const page = await this.#search(this.#before);
      if (trims === this.#trims) this.#extend(page);
    } catch (error) {
      this.problem = error;
    }
    this.loading = false;
    this.changed.emit();
  }

  /** Drop all entries but the newest `MOST`. */
  trim() {
    if (this.entries.length <= MOST) return;
    this.entries = this.entries.slice(-MOST);
    this.#before = this.entries[0].entry;
    this.more = true;
    this.#trims++;
  }

  #concerns({ type, to, from }) {
    if (!type.startsWith("msg_") && type !== "broadcast") return false;
    return this.#query.agent === null || this.isShownAgent(to) || this.isShownAgent(from);
  }

  #isNamed(entry, { type, to }, named) {
    if (entry.kind !== "message" || this.#agents.present(entry.to) !== to) return false;
    return type === "msg_clear" ? UNSETTLED.has(entry.state) : named.has(entry.id);
  }

  #apply(entry, change, { timestamp }) {
    const latest = [entry.leased_at, entry.settled_at].reduce((last, at) => (at > last ? at : last), "");
    if (timestamp < latest) return; // the entry was loaded after this event
    const deliveries = change.state === "leased" && timestamp > latest ? entry.deliveries + 1 : entry.deliveries;
    this.#put({ ...entry, deliveries, ...change });
  }

  async #refresh() {
    try {
      const found = await this.#newest();
      if (found.hole) this.entries = [];
      this.#merge(found.items);
      this.problem = null;
    } catch (error) {
      this.problem = error;
    }
    this.loaded ||= this.problem === null;
    this.changed.emit();
  }

  /** Load the newest entries, back to known ones; `hole` is true when those were not reached. */
  async #newest() {
    const known = this.entries.at(-1)?.entry;
    if (!known) return { items: await this.#first(), hole: false };
    const items = [];
    for (let before = null, pages = 0; pages < BRIDGE; pages++) {
      const page = await this.#page(before);
      items.push(...page.items);
      if (!page.more || page.items.some(({ entry }) => compareIds(entry, known) <= 0)) return { items, hole: false };
      before = page.before;
    }
    this.#before = items.at(-1)?.entry ?? null;
    this.more = true;
    this.#trims++;
    return { items, hole: true };
  }

  /** Load the newest page that is not empty. What was searched in vain before is not searched again. */
  async #first() {
    const page = await (this.loaded ? this.#page(null) : this.#search(null));
    if (page.items.length || !this.loaded) {
      this.more = page.more;
      this.#before = page.before;
    }
    return page.items;
  }

  /** Load pages from `before` on until one has entries or none is older; `looked` says how far that is. */
  async #search(before) {
    this.looked = 0;
    for (;;) {
      const page = await this.#page(before);
      if (page.items.length || !page.more || this.#stopped) return page;
      this.looked += page.looked;
      before = page.before;
      this.changed.emit();
    }
  }

  #extend({ items, more, before }) {
    this.more = more;
    this.#before = before;
    this.#merge(items);
  }

  #page(before) {
    return this.#api.history({ ...this.#query, before: before ?? this.#query.before, limit: PAGE, render: 1 });
  }

  #merge(items) {
    const positions = new Map(this.entries.map((entry, at) => [entry.entry, at]));
    const added = [];
    for (const item of items) {
      const at = positions.get(item.entry);
      if (at === undefined) added.push(item);
      else this.entries[at] = item;
    }
    if (added.length) this.entries = [...this.entries, ...added].sort((a, b) => compareIds(a.entry, b.entry));
  }

  #put(entry) {
    this.entries[this.entries.findIndex((each) => each.entry === entry.entry)] = entry;
  }
}
