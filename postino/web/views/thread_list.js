/* The list of threads beside the mail: who takes part, how much, and the newest message. */

import { arrange, h, set, visuallyHidden, write } from "../dom.js";
import { count, grouped, lasting, unmarked, visible } from "../format.js";
import { keyed } from "../keyed.js";
import { threadHash } from "../router.js";
import { arrows } from "../shortcuts.js";
import { Throttle } from "../throttle.js";

const PAGE = 200;
const REFRESH_MS = 2_000; // one call looks at thousands of messages
const LOOKS = 5; // calls that look for the newest thread

export class ThreadList {
  element;
  #api;
  #items = [];
  #current = "";
  #loaded = false;
  #calls = 1; // that look into the history, each at a bounded part of it
  #looked = 0; // messages
  #more = false; // older ones were not looked at
  #list = h("ul", { class: "thread-rows", "aria-label": "Threads" });
  #note = h("p", { class: "no-match", role: "status" });
  #older = h("button", {
    type: "button",
    class: "more",
    hidden: true,
    text: "Look further back",
    on: { click: () => this.#lookFurther() },
  });
  #rows = keyed({
    key: ({ thread }) => thread,
    make: ({ thread }) => new Row(thread),
    update: (row, item) => row.draw(item, item.thread === this.#current),
  });
  #load = new Throttle(() => this.#read(), REFRESH_MS);

  constructor(api) {
    this.#api = api;
    this.element = h(
      "nav",
      { class: "agents threads", "aria-label": "Threads" },
      h("h2", { class: "threads-title", text: "Threads" }),
      h("div", { class: "agent-scroll" }, this.#list, this.#note, this.#older),
    );
    arrows(this.element, () => [...this.#list.querySelectorAll("a")]);
  }

  /** Show the list, and mark the thread that is open. */
  show(thread) {
    this.#current = thread;
    this.#draw();
    this.#load.request();
  }

  refresh() {
    if (this.element.isConnected) this.#load.request();
  }

  onEvent({ type }) {
    if (type.startsWith("msg_")) this.refresh();
  }

  focusFilter() {
    this.#list.querySelector("a")?.focus();
  }

  #lookFurther() {
    this.#calls++;
    this.#older.disabled = true;
    this.#load.request();
  }

  /** Look as far as was asked for, and until there is a thread. The counts of a thread on all pages add up to its own. */
  async #read() {
    const found = new Map();
    let [calls, looked, more, before] = [0, 0, true, null];
    try {
      while (more && calls < (found.size ? this.#calls : Math.max(LOOKS, this.#calls))) {
        const page = await this.#api.threads({ limit: PAGE, before });
        for (const each of page.items) found.set(each.thread, joined(found.get(each.thread), each));
        calls++;
        looked += page.looked;
        ({ more, before } = page);
      }
    } catch (error) {
      write(this.#note, error.message);
      return;
    } finally {
      this.#older.disabled = false;
    }
    const items = [...found.values()].map((each) => ({ ...each, complete: !more }));
    [this.#items, this.#looked, this.#more, this.#loaded] = [items, looked, more, true];
    this.#calls = Math.max(calls, this.#calls);
    this.#draw();
  }

  #draw() {
    const rows = this.#rows.of(this.#items);
    arrange(
      this.#list,
      rows.map((row) => row.element),
    );
    this.#older.hidden = !this.#more;
    write(this.#note, this.#loaded ? this.#about(rows.length) : "");
  }

  #about(threads) {
    const looked = `the newest ${grouped(this.#looked)} messages`;
    if (this.#more) return threads ? `Of ${looked}; + counts no older ones.` : `None of ${looked} has a thread.`;
    return threads ? "" : "No message in the history has a thread.";
  }
}

/** Return a thread as two pages of the history have it, the newer one first. */
function joined(newer, older) {
  if (!newer) return older;
  const participants = [...new Set([...older.participants, ...newer.participants])];
  const sum = (name) => newer[name] + older[name];
  return { ...newer, participants, began: older.began, messages: sum("messages"), waiting: sum("waiting"), dead: sum("dead") };
}

class Row {
  element;
  #link;
  #people = h("span", { class: "agent-status" });
  #preview = h("span", { class: "preview", dir: "auto" });
  #waiting = h("span", { class: "badge" });
  #age = h("span", { class: "age" });

  constructor(thread) {
    this.#link = h(
      "a",
      { class: "agent thread-row", href: threadHash(thread) },
      h("span", { class: "agent-name" }, h("bdi", { text: visible(thread) })),
      this.#people,
      this.#preview,
      h("span", { class: "agent-end" }, this.#waiting, this.#age),
    );
    this.element = h("li", { data: { thread } }, this.#link);
  }

  draw(item, current) {
    set(this.#link, "aria-current", current && "page");
    const messages = item.complete ? count(item.messages, "message") : `${item.messages}+ messages`;
    write(this.#people, `${messages} · ${item.participants.map(visible).join(", ")}`);
    write(this.#preview, `${visible(item.last_from)}: ${visible(unmarked(item.text))}`);
    this.#waiting.hidden = item.waiting === 0;
    this.#waiting.replaceChildren(`${item.waiting}${item.complete ? "" : "+"}`, visuallyHidden(" waiting"));
    write(this.#age, lasting(item.last_at) || "now");
  }
}
