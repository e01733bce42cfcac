/* Who waits for whom: the senders of messages that nobody has read yet, the longest wait first. */

import { h, set } from "../dom.js";
import { count, lasting, visible } from "../format.js";
import { mailHash } from "../router.js";
import { Throttle } from "../throttle.js";

const LOOKED = 200; // messages
const SHOWN = 8; // pairs
const REFRESH_MS = 2_000;

export class Waits {
  element = h("section", { class: "waits", "aria-labelledby": "waits-title", hidden: true });
  #api;
  #list = h("ul", { class: "waits-pairs" });
  #load = new Throttle(() => this.#read(), REFRESH_MS);

  constructor(api) {
    this.#api = api;
    this.element.append(h("h3", { id: "waits-title", text: "Who waits for whom" }), this.#list);
  }

  /** Look again, soon. */
  refresh() {
    if (this.element.isConnected) this.#load.request();
  }

  async #read() {
    let found;
    try {
      found = await this.#api.history({ state: "waiting", limit: LOOKED });
    } catch {
      return; // the connection state shows it
    }
    this.#draw(pairs(found.items), found.more);
  }

  #draw(waits, more) {
    this.element.hidden = !waits.length;
    const left = waits.length - SHOWN;
    const rows = waits.slice(0, SHOWN).map(row);
    const rest = (left > 0 || more) && h("li", { class: "dim", text: left > 0 ? `and ${count(left, "more pair")}` : "and older ones" });
    this.#list.replaceChildren(...rows, ...(rest ? [rest] : []));
  }
}

/** Return `{from, to, number, since}` of each sender and recipient of `entries`, the newest of which come first. */
function pairs(entries) {
  const found = new Map();
  for (const { from, to, timestamp, recipients } of entries) {
    const waiting = recipients?.filter(({ state }) => state === "queued" || state === "leased").map((each) => each.to) ?? [to];
    for (const name of waiting) {
      const key = `${from} ${name}`;
      const number = (found.get(key)?.number ?? 0) + 1;
      found.set(key, { from, to: name, number, since: timestamp });
    }
  }
  return [...found.values()].sort((a, b) => a.since.localeCompare(b.since));
}

function row({ from, to, number, since }) {
  const link = h("a", { href: mailHash(to) }, h("bdi", { text: visible(from) }), " waits for ", h("bdi", { text: visible(to) }));
  const age = lasting(since);
  const note = h("span", { class: "dim", text: [number > 1 && count(number, "message"), age].filter(Boolean).join(" · ") });
  const item = h("li", {}, link, note);
  set(item, "title", `since ${new Date(since).toLocaleString()}`);
  return item;
}
