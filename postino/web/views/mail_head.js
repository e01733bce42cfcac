/* The head of the mail view: the agent, what waits for it, the search, and operations on the inbox. */

import { h, write } from "../dom.js";
import { ago, count, place, visible } from "../format.js";
import { icon } from "../icons.js";
import { SEARCH_HELP } from "../search.js";
import { SHARED } from "../state/inbox.js";
import { load } from "../storage.js";
import { avatar, avatarOfAll } from "./avatar.js";
import { button } from "./button.js";
import { ManageAgent } from "./manage_agent.js";

const SEARCH_MS = 250; // after the last key
const NAMED = 6; // who write in a thread

export class MailHead {
  element;
  #app;
  #agent = null;
  #title = ""; // of the thread that is shown without an agent
  #waiting = 0;
  #avatar = h("span", { class: "avatar-box" });
  #name = h("h2", { class: "mail-name" });
  #summary = h("p", { class: "mail-summary" });
  #thread = h("p", { class: "thread-bar", hidden: true });
  #search = h("input", {
    type: "search",
    placeholder: "Search this mail",
    "aria-label": "Search this mail",
    title: SEARCH_HELP,
    "aria-keyshortcuts": "s",
    maxlength: 256,
    spellcheck: "false",
  });
  #found = h("p", { class: "mail-found", role: "status" });
  #manage;
  #clear = button("trash", "Clear inbox", () => this.#askClear());
  #markRead = button("check", "Mark all read", () => this.#app.attempt(() => this.#readAll()));
  #onShowAll;

  /** `onSearch(q)` is called when the search text has changed, `onShowAll()` to leave the thread. */
  constructor(app, { onSearch, onShowAll }) {
    this.#app = app;
    this.#manage = new ManageAgent(app);
    this.#onShowAll = onShowAll;
    let timer;
    this.#search.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => onSearch(this.#search.value.trim()), SEARCH_MS);
    });
    this.element = h(
      "header",
      { class: "mail-head" },
      h("a", { class: "back", href: "#/", "aria-label": "Back to the agents" }, icon("back")),
      this.#avatar,
      h("div", { class: "mail-title" }, this.#name, this.#summary),
      h(
        "div",
        { class: "mail-tools" },
        h("div", { class: "filter-box" }, icon("search"), this.#search),
        this.#markRead,
        this.#clear,
        ...this.#manage.buttons,
      ),
      this.#found,
      this.#thread,
    );
  }

  /**
   * `record` is what the REST API says of `agent` (null: all agents, or those of `thread`), `loaded` whether its mail was loaded, `mine`
   * whether it is the name used in this browser, `entries` what is shown of the history.
   */
  draw({ agent, record, loaded, q, thread, mine, entries }) {
    const title = agent === null ? thread : "";
    if (agent !== this.#agent || title !== this.#title || !this.#avatar.firstChild) this.#drawAgent(agent, title);
    this.#waiting = record?.messageCount ?? 0;
    const words = title ? summaryOfThread(entries) : agent === null ? summaryOfAll(this.#app.agents) : summary(record, loaded);
    write(this.#summary, words);
    this.#summary.classList.toggle("online", record?.online ?? false);
    this.#clear.hidden = this.#waiting === 0;
    this.#markRead.hidden = !mine || !record?.unread || record.kind === "human"; // people have an inbox for that
    this.#manage.draw(record);
    if (document.activeElement !== this.#search) this.#search.value = q;
    this.#drawThread(title ? "" : thread);
  }

  focusSearch() {
    this.#search.focus();
    this.#search.select();
  }

  /** Say how many messages the search has found; "" without a search. */
  drawFound(text) {
    write(this.#found, text);
  }

  #drawAgent(agent, title) {
    this.#agent = agent;
    this.#title = title;
    this.#avatar.replaceChildren(agent === null ? avatarOfAll(title ? "thread" : "mail") : avatar(agent));
    this.#name.replaceChildren(h("bdi", { text: agent === null ? visible(title) || "All mail" : visible(agent) }));
  }

  #drawThread(thread) {
    this.#thread.hidden = !thread;
    this.#thread.replaceChildren(
      icon("thread"),
      "Thread ",
      h("strong", {}, h("bdi", { text: visible(thread) })),
      h("button", { type: "button", class: "link", text: "Show all", on: { click: () => this.#onShowAll() } }),
    );
  }

  #askClear() {
    const agent = this.#agent;
    const question = {
      title: `Clear the inbox of ${agent}?`,
      text: `${count(this.#waiting, "unacknowledged message")} will be deleted, including leased ones. This cannot be undone.`,
      action: "Clear inbox",
    };
    this.#app.confirmed(question, async () => {
      const { cleared } = await this.#app.api.clear(agent);
      return `${count(cleared, "message")} cleared.`;
    });
  }

  /** Read and acknowledge all messages of the user's own inbox. */
  async #readAll() {
    const consumer = `web:${load("name")}`;
    let read = 0;
    for (let more = true; more;) {
      const lease = await this.#app.api.readNow(this.#agent, consumer);
      read += lease.items.length;
      more = lease.more && lease.items.length > 0;
    }
    return `${count(read, "message")} marked as read.`;
  }
}

function summaryOfAll(agents) {
  if (!agents.loaded) return "";
  return `${count(agents.byName.size, "agent")}, ${agents.online} online · ${count(agents.unread, "unread message")}`;
}

/** Say how much of a thread is shown and who takes part in it. */
function summaryOfThread(entries) {
  const names = [...new Set(entries.flatMap(({ from, to, recipients }) => [from, ...(recipients?.map((each) => each.to) ?? [to])]))].map(visible);
  const others = names.length > NAMED ? ` and ${names.length - NAMED} more` : "";
  return entries.length ? `${count(entries.length, "message")} · ${names.slice(0, NAMED).join(", ")}${others}` : "";
}

function presence({ name, online, sessions, lastSeen }) {
  if (name === SHARED) return "the mailbox of all people";
  if (online) return sessions > 1 ? `online in ${sessions} sessions` : "online";
  return lastSeen ? `last seen ${ago(lastSeen)}` : "never seen";
}

function summary(record, loaded) {
  if (!record) return loaded ? "Not seen yet; mail to this name waits" : ""; // not loaded: the name may be malformed
  const leased = record.messageCount - record.unread;
  return [
    presence(record),
    record.online && record.state !== "unknown" && record.state,
    place(record),
    `${record.unread} unread`,
    leased > 0 && `${leased} being read`,
    record.groups?.length > 0 && `in ${record.groups.map((group) => `#${visible(group)}`).join(", ")}`,
    record.aliases.length > 0 && `formerly ${record.aliases.slice(0, 3).join(", ")}`,
  ]
    .filter(Boolean)
    .join(" · ");
}
