/* The list of threads beside the mail: who takes part, how much, and the newest message. */

import { arrange, h, set, visuallyHidden, write } from "../dom.js";
import { count, lasting, unmarked, visible } from "../format.js";
import { keyed } from "../keyed.js";
import { threadHash } from "../router.js";
import { arrows } from "../shortcuts.js";
import { Throttle } from "../throttle.js";

const PAGE = 100;
const REFRESH_MS = 1_000;

export class ThreadList {
  element;
  #api;
  #items = [];
  #current = "";
  #loaded = false;
  #list = h("ul", { class: "thread-rows", "aria-label": "Threads" });
  #note = h("p", { class: "no-match", role: "status" });
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
      h("div", { class: "agent-scroll" }, this.#list, this.#note),
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

  async #read() {
    try {
      this.#items = (await this.#api.threads({ limit: PAGE })).items;
    } catch (error) {
      write(this.#note, error.message);
      return;
    }
    this.#loaded = true;
    this.#draw();
  }

  #draw() {
    const rows = this.#rows.of(this.#items);
    arrange(
      this.#list,
      rows.map((row) => row.element),
    );
    write(this.#note, this.#loaded && !rows.length ? "No message in the history has a thread." : "");
  }
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
    write(this.#people, `${item.participants.map(visible).join(", ")} · ${count(item.messages, "message")}`);
    write(this.#preview, `${visible(item.last_from)}: ${visible(unmarked(item.text))}`);
    this.#waiting.hidden = item.waiting === 0;
    this.#waiting.replaceChildren(String(item.waiting), visuallyHidden(" waiting"));
    write(this.#age, lasting(item.last_at) || "now");
  }
}
