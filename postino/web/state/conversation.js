/* What was said to and by one agent (or by all), newest page first; older pages on request, changes by event. */

import { byPlace } from "../format.js";
import { Pace } from "../pace.js";
import { Signal } from "./signal.js";

const PAGE = 50;
const MOST = 300; // kept while following the newest: older ones are a click away
const BRIDGE = 4; // pages read to close a hole after an absence; a wider hole begins anew
const LOOKS = 5; // pages in a row that may be empty: the daemon looks at 1,000 entries per page
const REFRESH_MS = 300;

/** What an event makes of the messages it names. */
const FATES = {
  msg_read: (e) => ({ state: "leased", reader: e.reader, leased_at: e.timestamp, lease_until: null, settled_at: null }),
  msg_ack: (e) => ({ state: "acked", reader: e.reader, settled_at: e.timestamp }),
  msg_nack: () => ({ state: "queued", reader: null, settled_at: null }),
  msg_release: () => ({ state: "queued", reader: null, settled_at: null }),
  msg_requeue: () => ({ state: "queued", reader: null, settled_at: null, deliveries: 0, reason: null }),
  msg_dead: (e) => ({ state: "dead", settled_at: e.timestamp, reason: e.reason }),
  msg_expired: (e) => ({ state: "expired", settled_at: e.timestamp, reason: e.reason }),
  msg_notified: (e) => ({ notified: e.how }),
};
const CLEARED = (e) => ({ state: "cleared", settled_at: e.timestamp });
const OPEN = new Set(["queued", "leased"]);

export class Conversation {
  entries = []; // history entries, oldest first
  loaded = false;
  loading = false; // an older page
  more = false;
  problem = null; // the refusal that kept the newest page away
  changed = new Signal();
  #api;
  #roster;
  #asked;
  #before = null;
  #holes = 0; // times the oldest entries were let go: an older page asked for before that does not join any more
  #pace = new Pace(() => this.#renew(), REFRESH_MS);

  /** `agent` null: everybody's mail. `q`: only bodies that hold this text. */
  constructor(api, roster, { agent, q }) {
    this.#api = api;
    this.#roster = roster;
    this.#asked = { agent, q };
  }

  /** Read the newest page again. */
  refresh() {
    this.#pace.ask();
  }

  /** Read no more; `changed` is not told any more either. */
  stop() {
    this.#pace.stop();
    this.changed = new Signal();
  }

  /** Whether `name` is the agent shown, under whatever name. */
  isOurs(name) {
    return this.#roster.present(name) === this.#roster.present(this.#asked.agent);
  }

  find(id) {
    return this.entries.find((entry) => entry.id === id);
  }

  /** Take in what happened: at once what the event tells, soon what only the daemon knows. */
  touch(event) {
    const named = new Set(event.ids ?? [event.id]);
    const known = this.entries.filter((entry) => this.#isHit(entry, event, named));
    const fate = event.type === "msg_clear" ? CLEARED : FATES[event.type];
    if (fate && known.length) {
      for (const entry of known) this.#change(entry, fate(event), event);
      this.changed.emit();
    }
    if (known.length || this.#concerns(event)) this.refresh();
  }

  /** Read the page before the oldest entry. */
  async older() {
    if (this.loading || !this.more) return;
    this.loading = true;
    this.changed.emit();
    const holes = this.#holes;
    try {
      const page = await this.#page(this.#before);
      if (holes === this.#holes) this.#extend(page);
    } catch (refusal) {
      this.problem = refusal;
    }
    this.loading = false;
    this.changed.emit();
  }

  /** Drop what is far above the newest. */
  trim() {
    if (this.entries.length <= MOST) return;
    this.entries = this.entries.slice(-MOST);
    this.#before = this.entries[0].entry;
    this.more = true;
    this.#holes++;
  }

  #concerns({ type, to, from }) {
    if (!type.startsWith("msg_") && type !== "broadcast") return false;
    return this.#asked.agent === null || this.isOurs(to) || this.isOurs(from);
  }

  #isHit(entry, { type, to }, named) {
    if (entry.kind !== "message" || this.#roster.present(entry.to) !== to) return false;
    return type === "msg_clear" ? OPEN.has(entry.state) : named.has(entry.id);
  }

  #change(entry, fate, { timestamp }) {
    const latest = [entry.leased_at, entry.settled_at].reduce((last, at) => (at > last ? at : last), "");
    if (timestamp < latest) return; // the daemon has told more already
    const deliveries = fate.state === "leased" && timestamp > latest ? entry.deliveries + 1 : entry.deliveries;
    this.#put({ ...entry, deliveries, ...fate });
  }

  async #renew() {
    try {
      const found = await this.#newest();
      if (found.hole) this.entries = [];
      this.#merge(found.items);
      this.problem = null;
    } catch (refusal) {
      this.problem = refusal;
    }
    this.loaded ||= this.problem === null;
    this.changed.emit();
  }

  /** The newest entries, back to those that are known; `hole` when these were not reached. */
  async #newest() {
    const known = this.entries.at(-1)?.entry;
    if (!known) return { items: await this.#first(), hole: false };
    const items = [];
    for (let before = null, pages = 0; pages < BRIDGE; pages++) {
      const page = await this.#page(before);
      items.push(...page.items);
      if (!page.more || page.items.some(({ entry }) => byPlace(entry, known) <= 0)) return { items, hole: false };
      before = page.before;
    }
    this.#before = items.at(-1)?.entry ?? null;
    this.more = true;
    this.#holes++;
    return { items, hole: true };
  }

  /** The newest page that holds something, if there is one within reach. */
  async #first() {
    for (let looks = 1, before = null; ; looks++) {
      const page = await this.#page(before);
      this.more = page.more;
      this.#before = before = page.before;
      if (page.items.length || !page.more || looks === LOOKS) return page.items;
    }
  }

  #extend({ items, more, before }) {
    this.more = more;
    this.#before = before;
    this.#merge(items);
  }

  #page(before) {
    return this.#api.history({ ...this.#asked, before, limit: PAGE });
  }

  #merge(items) {
    const places = new Map(this.entries.map((entry, at) => [entry.entry, at]));
    const fresh = [];
    for (const item of items) {
      const at = places.get(item.entry);
      if (at === undefined) fresh.push(item);
      else this.entries[at] = item;
    }
    if (fresh.length) this.entries = [...this.entries, ...fresh].sort((a, b) => byPlace(a.entry, b.entry));
  }

  #put(entry) {
    this.entries[this.entries.findIndex((each) => each.entry === entry.entry)] = entry;
  }
}
