/* The head of the mail: whose it is, how much waits, search, and what can be done with the inbox. */

import { h, write } from "../dom.js";
import { ago, count, visible } from "../format.js";
import { icon } from "../icons.js";
import { recall } from "../memory.js";
import { stamp } from "./stamp.js";

const SEARCH_MS = 250; // after the last key

export class MailHead {
  element;
  #app;
  #agent = null;
  #waiting = 0;
  #face = h("span", { class: "face" });
  #name = h("h2", { class: "mail-name" });
  #about = h("p", { class: "mail-about" });
  #thread = h("p", { class: "thread-bar", hidden: true });
  #search = h("input", {
    type: "search",
    placeholder: "Search this mail",
    "aria-label": "Search this mail",
    maxlength: 256,
    spellcheck: "false",
  });
  #clear = h(
    "button",
    { type: "button", class: "act", on: { click: () => this.#askClear() } },
    icon("sweep"),
    "Clear inbox",
  );
  #seen = h(
    "button",
    { type: "button", class: "act", on: { click: () => this.#app.attempt(() => this.#markRead()) } },
    icon("check"),
    "Mark all read",
  );
  #unthread;

  /** `search(q)` and `unthread()` change what is shown. */
  constructor(app, { search, unthread }) {
    this.#app = app;
    this.#unthread = unthread;
    let timer;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => search(this.#search.value.trim()), SEARCH_MS);
    });
    this.element = h(
      "header",
      { class: "mail-head" },
      h("a", { class: "back", href: "#/", "aria-label": "Back to the agents" }, icon("back")),
      this.#face,
      h("div", { class: "mail-title" }, this.#name, this.#about),
      h(
        "div",
        { class: "mail-tools" },
        h("div", { class: "filter-box" }, icon("search"), this.#search),
        this.#seen,
        this.#clear,
      ),
      this.#thread,
    );
  }

  /**
   * `record`: what is known of `agent` (null: everybody), `loaded`: its mail was read, `mine`: it is the name used in
   * this browser.
   */
  draw({ agent, record, loaded, q, thread, mine }) {
    if (agent !== this.#agent || !this.#face.firstChild) this.#turnTo(agent);
    this.#waiting = record?.messageCount ?? 0;
    write(this.#about, agent === null ? everybody(this.#app.roster) : about(record, loaded));
    this.#about.classList.toggle("online", record?.online ?? false);
    this.#clear.hidden = this.#waiting === 0;
    this.#seen.hidden = !mine || !record?.unread;
    if (document.activeElement !== this.#search) this.#search.value = q;
    this.#drawThread(thread);
  }

  #turnTo(agent) {
    this.#agent = agent;
    const face =
      agent === null ? h("span", { class: "stamp stamp-all", "aria-hidden": "true" }, icon("mail")) : stamp(agent);
    this.#face.replaceChildren(face);
    this.#name.replaceChildren(h("bdi", { text: agent === null ? "All mail" : visible(agent) }));
  }

  #drawThread(thread) {
    this.#thread.hidden = !thread;
    this.#thread.replaceChildren(
      icon("thread"),
      "Only the thread ",
      h("strong", {}, h("bdi", { text: visible(thread) })),
      h("button", { type: "button", class: "link", text: "Show all", on: { click: () => this.#unthread() } }),
    );
  }

  async #askClear() {
    const agent = this.#agent;
    const those = `${count(this.#waiting, "message")} that ${this.#waiting === 1 ? "is" : "are"} not acknowledged`;
    const sure = await this.#app.dialogs.confirm({
      title: `Clear the inbox of ${agent}?`,
      words: `${those} will be dropped, also what is being read just now. This cannot be undone.`,
      action: "Clear inbox",
    });
    if (sure) await this.#app.attempt(() => this.#clearInbox(agent));
  }

  async #clearInbox(agent) {
    const { cleared } = await this.#app.api.clear(agent);
    return `${count(cleared, "message")} cleared.`;
  }

  /** Read one's own mail to its end: what stood on this page has been seen. */
  async #markRead() {
    const consumer = `web:${recall("name")}`;
    let read = 0;
    for (let more = true; more;) {
      const lease = await this.#app.api.readNow(this.#agent, consumer);
      read += lease.items.length;
      more = lease.more && lease.items.length > 0;
    }
    return `${count(read, "message")} marked as read.`;
  }
}

function everybody(roster) {
  return `${count(roster.agents.size, "agent")}, ${roster.online} online · ${count(roster.unread, "unread message")}`;
}

function about(record, loaded) {
  if (!record) return loaded ? "Not seen yet; mail to this name waits" : ""; // it may be a name that none can have
  const leased = record.messageCount - record.unread;
  return [
    record.online
      ? `online${record.sessions > 1 ? ` in ${record.sessions} sessions` : ""}`
      : record.lastSeen
        ? `last seen ${ago(record.lastSeen)}`
        : "never seen",
    `${record.unread} unread`,
    leased > 0 && `${leased} being read`,
    record.aliases.length > 0 && `formerly ${record.aliases.slice(0, 3).join(", ")}`,
  ]
    .filter(Boolean)
    .join(" · ");
}
