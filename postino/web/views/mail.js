/* The mail of one agent, or of all: the newest at the bottom, older pages above, and the form that sends. */

import { h, set, write } from "../dom.js";
import { count } from "../format.js";
import { mark } from "../highlight.js";
import { keyed } from "../keyed.js";
import { go, mailHash, threadHash } from "../router.js";
import { parseSearch } from "../search.js";
import { SHARED } from "../state/inbox.js";
import { MailHistory } from "../state/mail_history.js";
import { load } from "../storage.js";
import { oncePerFrame } from "../throttle.js";
import { Compose } from "./compose.js";
import { DeadLetters, requeue } from "./dead_letters.js";
import { emptyMail, emptySearch } from "./empty.js";
import { MailHead } from "./mail_head.js";
import { MessageRow } from "./message.js";
import { MessageList } from "./message_list.js";
import { messageSent } from "./send_status.js";

const TICK_MS = 10_000; // a lease ends without an event: it is shown after this, at the latest

export class MailView {
  element;
  #app;
  #place = { view: "mail", agent: undefined, q: "", thread: "", message: "" };
  #search = parseSearch("");
  #history = null;
  #wanted = ""; // the id of a message that the address names, until it was shown
  #rows = keyed({
    key: (entry) => entry.entry,
    make: (entry) => this.#makeRow(entry),
    update: (row, entry) => row.update(entry),
  });
  #drawSoon = oncePerFrame(() => this.#draw());
  #head;
  #dead;
  #compose;
  #note = h("div", { class: "note" });
  #older = h("button", { type: "button", class: "more", on: { click: () => this.#history.older() } });
  #list = new MessageList({
    label: "Messages",
    noun: "message",
    above: this.#older,
    below: this.#note,
    onTop: () => this.#history.older(),
  });

  constructor(app) {
    this.#app = app;
    this.#dead = new DeadLetters(app);
    this.#head = new MailHead(app, {
      onSearch: (q) => this.#filter({ q }),
      onShowAll: () => this.#filter({ thread: "" }),
    });
    this.#compose = new Compose(app, { label: "Write a message", onSent: (...sent) => this.#onSent(...sent) });
    app.me.changed.on(() => this.#compose.refreshFrom());
    this.element = h(
      "section",
      { class: "mail", "aria-label": "Mail" },
      this.#head.element,
      this.#dead.element,
      h("div", { class: "scroll-box" }, this.#list.element, this.#list.jump),
      this.#compose.element,
    );
    app.agents.changed.on(() => this.#drawHead());
    setInterval(() => this.#rows.values().forEach((row) => row.tick()), TICK_MS);
  }

  /** Show the mail of `{agent, q, thread}`, at one `message` if that is given. */
  show({ view, agent, q, thread, message }) {
    const last = this.#place;
    this.#place = { view, agent, q, thread, message };
    const moved = agent !== last.agent;
    if (moved) this.#compose.aim(agent);
    // a draft that replies to a message keeps that when its thread is not left
    if (thread ? moved || thread !== last.thread : !moved && last.thread) this.#compose.setThread(thread);
    set(this.element, "data-thread", Boolean(thread));
    if (message !== last.message) this.#wanted = message;
    if (moved || q !== last.q || thread !== last.thread) this.#start();
    this.#drawHead();
    this.#draw();
  }

  /** Put the cursor into the search. */
  focusSearch() {
    this.#head.focusSearch();
  }

  /** Select the message `step` rows further, or the first one that is visible. */
  select(step) {
    const rows = this.#rows.values();
    const at = rows.findIndex((row) => row.element === document.activeElement?.closest(".message"));
    const next = at < 0 ? this.#visible(rows, step) : Math.min(rows.length - 1, Math.max(0, at + step));
    rows[next]?.element.focus({ preventScroll: true });
    rows[next]?.element.scrollIntoView({ block: "nearest" });
  }

  /** Return the selected row, or else the newest. */
  selected() {
    const rows = this.#rows.values();
    return rows.find((row) => row.element === document.activeElement?.closest(".message")) ?? rows.at(-1);
  }

  /** Return the place of the first row that is visible, seen from above (`step` > 0) or from below. */
  #visible(rows, step) {
    const { top, bottom } = this.#list.element.getBoundingClientRect();
    const inside = ({ element }) => {
      const box = element.getBoundingClientRect();
      return box.bottom > top + 4 && box.top < bottom - 4;
    };
    return step > 0 ? rows.findIndex(inside) : rows.findLastIndex(inside);
  }

  /** Apply an event; after a rename show the mail under the new name. */
  onEvent(event) {
    if (event.type === "agent_rename") this.#onRename(event.old, event.agent);
    this.#history?.onEvent(event);
  }

  /** Load the newest page again. */
  refresh() {
    this.#history?.refresh();
  }

  /** The daemon answers again. */
  onConnected() {
    this.#compose.onConnected();
  }

  #onRename(old, name) {
    this.#compose.rename(old, name);
    const { agent, q, thread, message } = this.#place;
    if (agent === old) go(mailHash(name, { q, thread, message }), { replace: true });
  }

  /** Put the cursor into the form. */
  write() {
    this.#compose.focus();
  }

  #start() {
    this.#history?.stop();
    this.#rows.clear();
    this.#list.reset();
    this.#note.replaceChildren();
    const { agent, q, thread } = this.#place;
    this.#search = parseSearch(q);
    const query = { agent, ...this.#search.query, ...(thread && { thread }) };
    this.#history = new MailHistory(this.#app.api, this.#app.agents, query);
    this.#history.changed.on(this.#drawSoon);
    this.#history.changed.on(() => this.#drawTitle());
    this.#history.refresh();
  }

  #filter(change) {
    const { view, agent, q, thread } = { ...this.#place, ...change };
    const hash = view === "threads" && thread ? threadHash(thread, { q }) : mailHash(agent, { q, thread });
    go(hash, { replace: true });
  }

  #onSent(answer, message, shown) {
    this.refresh();
    if (shown) this.#list.toBottom();
    return messageSent(answer, message);
  }

  #draw() {
    if (this.#list.atBottom) this.#history.trim();
    const shown = this.#history.entries;
    const rows = this.#rows.of(shown);
    rows.forEach((row, at) => row.join(rows[at - 1]));
    this.#list.fill(rows, () => this.#drawAround(shown.length));
    mark(this.#list.element, this.#search.words);
    if (this.#wanted) this.#showWanted(rows);
  }

  /** Show the message that the address names; an older one than those loaded is searched for by its id. */
  #showWanted(rows) {
    if (!this.#history.loaded) return;
    const id = this.#wanted;
    const row = rows.find(({ entry }) => entry.id === id);
    if (!row && this.#place.q !== id) return go(mailHash(this.#place.agent, { q: id, message: id }), { replace: true });
    this.#wanted = "";
    row?.element.focus({ preventScroll: true });
    row?.element.scrollIntoView({ block: "center" });
  }

  #makeRow(entry) {
    const { agent } = this.#place;
    const direction =
      agent === null || entry.kind === "broadcast" ? "all" : this.#history.isShownAgent(entry.to) ? "in" : "out";
    const actions = {
      reply: (each) => this.#compose.reply(each),
      requeue: ({ to, id }) => this.#app.attempt(() => requeue(this.#app.api, this.#app.agents.present(to), [id])),
      find: (id) => this.#history.find(id),
      isPerson: (name) => this.#app.agents.get(name)?.kind === "human" || name === SHARED,
      render: this.#app.api.render,
      toast: this.#app.toast,
    };
    return new MessageRow(entry, { direction, agent, actions });
  }

  #drawAround(shown) {
    const { more, loading, loaded, looked, problem } = this.#history;
    const far = looked ? ` (${count(looked, "message")} searched)` : "";
    this.#older.hidden = !more;
    this.#older.disabled = loading;
    write(this.#older, loading ? `Loading older mail…${far}` : "Show older mail");
    this.#head.drawFound(this.#place.q && loaded ? found(shown, more, this.#search.problem) : "");
    if (problem && !shown) this.#note.replaceChildren(h("p", { class: "empty", text: problem.message }));
    else if (!loaded && looked) this.#note.replaceChildren(h("p", { class: "empty", text: `Searching…${far}` }));
    else if (!loaded || shown || more) this.#note.replaceChildren();
    else this.#note.replaceChildren(this.#place.q || this.#place.thread ? emptySearch() : emptyMail(this.#place.agent));
  }

  #drawHead() {
    const { agent } = this.#place;
    if (agent === undefined) return;
    const present = this.#app.agents.present(agent);
    if (present !== agent) return this.#onRename(agent, present); // the address has a former name
    this.#drawTitle();
    this.#dead.show(this.#app.agents.get(agent) ?? null);
  }

  #drawTitle() {
    const { agent, q, thread } = this.#place;
    const record = this.#app.agents.get(agent);
    const mine = agent !== null && agent === load("name");
    this.#head.draw({ agent, record, loaded: this.#history.loaded, q, thread, mine, entries: this.#history.entries });
  }
}

/** Say how many messages a search has found. */
function found(number, more, problem) {
  return problem || `${count(number, "message")}${more ? " so far" : ""} found`;
}
