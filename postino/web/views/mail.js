/* The mail of one agent, or of all: the newest at the bottom, older pages above, and the form that sends. */

import { h, write } from "../dom.js";
import { count } from "../format.js";
import { keyed } from "../keyed.js";
import { go, mailHash } from "../router.js";
import { MailHistory } from "../state/mail_history.js";
import { load } from "../storage.js";
import { oncePerFrame } from "../throttle.js";
import { Compose } from "./compose.js";
import { DeadLetters } from "./dead_letters.js";
import { emptyMail, emptySearch } from "./empty.js";
import { MailHead } from "./mail_head.js";
import { MessageCard } from "./message.js";
import { MessageList } from "./message_list.js";
import { messageSent } from "./send_status.js";

const TICK_MS = 10_000; // a lease ends without an event: it is shown after this, at the latest

export class MailView {
  element;
  #app;
  #place = { agent: undefined, q: "", thread: "" };
  #history = null;
  #cards = keyed({
    key: (entry) => entry.entry,
    make: (entry) => this.#makeCard(entry),
    update: (card, entry) => card.update(entry),
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
    this.#compose = new Compose({
      label: "Write a message",
      placeholder: "Write a message",
      toAgent: true,
      send: (message) => app.api.send(message),
      onSent: (...sent) => this.#onSent(...sent),
      toast: app.toast,
    });
    this.element = h(
      "section",
      { class: "mail", "aria-label": "Mail" },
      this.#head.element,
      this.#dead.element,
      h("div", { class: "scroll-box" }, this.#list.element, this.#list.jump),
      this.#compose.element,
    );
    app.agents.changed.on(() => this.#drawHead());
    setInterval(() => this.#cards.values().forEach((card) => card.tick()), TICK_MS);
  }

  /** Show the mail of `{agent, q, thread}`. */
  show({ agent, q, thread }) {
    const last = this.#place;
    this.#place = { agent, q, thread };
    const moved = agent !== last.agent;
    if (moved) this.#compose.aim(agent);
    // a draft that replies to a message keeps that when its thread is not left
    if (thread ? moved || thread !== last.thread : !moved && last.thread) this.#compose.setThread(thread);
    if (moved || q !== last.q) this.#start();
    this.#drawHead();
    this.#draw();
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
    const { agent, q, thread } = this.#place;
    if (agent === old) go(mailHash(name, { q, thread }), { replace: true });
  }

  /** Put the cursor into the form. */
  write() {
    this.#compose.focus();
  }

  #start() {
    this.#history?.stop();
    this.#cards.clear();
    this.#list.reset();
    this.#note.replaceChildren();
    const { agent, q } = this.#place;
    this.#history = new MailHistory(this.#app.api, this.#app.agents, { agent, q });
    this.#history.changed.on(this.#drawSoon);
    this.#history.changed.on(() => this.#drawTitle());
    this.#history.refresh();
  }

  #filter(change) {
    const { agent, q, thread } = { ...this.#place, ...change };
    go(mailHash(agent, { q, thread }), { replace: true });
  }

  #onSent(answer, message, shown) {
    this.refresh();
    if (shown) this.#list.toBottom();
    return messageSent(answer, message);
  }

  #draw() {
    if (this.#list.atBottom) this.#history.trim();
    const shown = this.#shown();
    this.#list.fill(this.#cards.of(shown), () => this.#drawAround(shown.length));
  }

  #shown() {
    const { thread } = this.#place;
    const { entries } = this.#history;
    return thread ? entries.filter((entry) => entry.thread === thread || entry.id === thread) : entries;
  }

  #makeCard(entry) {
    const { agent } = this.#place;
    const direction =
      agent === null || entry.kind === "broadcast" ? "all" : this.#history.isShownAgent(entry.to) ? "in" : "out";
    const actions = {
      reply: (each) => this.#compose.reply(each),
      requeue: (each) => this.#app.attempt(() => this.#requeue(each)),
      find: (id) => this.#history.find(id),
    };
    return new MessageCard(entry, { direction, agent, actions });
  }

  async #requeue({ to, id }) {
    const { api, agents } = this.#app;
    await api.requeue(agents.present(to), [id]);
    return "The message is in the inbox again.";
  }

  #drawAround(shown) {
    const { more, loading, loaded, looked, problem } = this.#history;
    const far = looked ? ` (${count(looked, "message")} searched)` : "";
    this.#older.hidden = !more;
    this.#older.disabled = loading;
    write(this.#older, loading ? `Loading older mail…${far}` : "Show older mail");
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
    this.#head.draw({ agent, record, loaded: this.#history.loaded, q, thread, mine });
  }
}
