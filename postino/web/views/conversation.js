/* The mail of one agent, or everybody's: the newest at the foot, older pages above, and the form that writes. */

import { h, write } from "../dom.js";
import { recall } from "../memory.js";
import { perFrame } from "../pace.js";
import { go, toMail } from "../router.js";
import { Conversation } from "../state/conversation.js";
import { accepted, Compose } from "./compose.js";
import { DeadBar } from "./dead.js";
import { emptyMail, emptySearch } from "./empty.js";
import { MailHead } from "./mailhead.js";
import { MessageCard } from "./message.js";
import { Scroller } from "./scroller.js";

const TICK_MS = 10_000; // a lease that ends by itself is seen after this at the latest

export class ConversationView {
  element;
  #app;
  #place = { agent: undefined, q: "", thread: "" };
  #state = null;
  #cards = new Map(); // entry -> card
  #redraw = perFrame(() => this.#draw());
  #head;
  #dead;
  #compose;
  #note = h("div", { class: "note" });
  #older = h("button", { type: "button", class: "rest", on: { click: () => this.#state.older() } });
  #scroller = new Scroller({
    label: "Messages",
    noun: "message",
    above: this.#older,
    below: this.#note,
    onTop: () => this.#state.older(),
  });

  constructor(app) {
    this.#app = app;
    this.#dead = new DeadBar(app);
    this.#head = new MailHead(app, {
      search: (q) => this.#filter({ q }),
      unthread: () => this.#filter({ thread: "" }),
    });
    this.#compose = new Compose({
      label: "Write a message",
      placeholder: "Write a message",
      toAgent: true,
      send: (draft) => app.api.send(draft),
      sent: (...how) => this.#sent(...how),
      aside: app.say,
    });
    this.element = h(
      "section",
      { class: "mail", "aria-label": "Mail" },
      this.#head.element,
      this.#dead.element,
      h("div", { class: "scroll-box" }, this.#scroller.element, this.#scroller.jump),
      this.#compose.element,
    );
    app.roster.changed.on(() => this.#drawHead());
    setInterval(() => this.#cards.forEach((card) => card.tick()), TICK_MS);
  }

  /** Show the mail that `place` names: `{agent, q, thread}`. */
  show({ agent, q, thread }) {
    const last = this.#place;
    this.#place = { agent, q, thread };
    const moved = agent !== last.agent;
    if (moved) this.#compose.aim(agent);
    // an answer that was begun there keeps what it answers
    if (thread ? moved || thread !== last.thread : !moved && last.thread) this.#compose.into(thread);
    if (moved || q !== last.q) this.#begin();
    this.#drawHead();
    this.#draw();
  }

  /** Take in an event; a renamed agent is followed to its new name. */
  touch(event) {
    if (event.type === "agent_rename") this.#rename(event.old, event.agent);
    this.#state?.touch(event);
  }

  /** Read again what may have changed while nobody listened. */
  refresh() {
    this.#state?.refresh();
  }

  /** The daemon answers again: no form says any more that it does not. */
  answered() {
    this.#compose.answered();
  }

  #rename(old, name) {
    this.#compose.rename(old, name);
    const { agent, q, thread } = this.#place;
    if (agent === old) go(toMail(name, { q, thread }), { replace: true });
  }

  /** Put the cursor into the form. */
  write() {
    this.#compose.focus();
  }

  #begin() {
    this.#state?.stop();
    this.#cards.clear();
    this.#scroller.reset();
    this.#note.replaceChildren();
    this.#state = new Conversation(this.#app.api, this.#app.roster, { agent: this.#place.agent, q: this.#place.q });
    this.#state.changed.on(this.#redraw);
    this.#state.changed.on(() => this.#drawTitle());
    this.#state.refresh();
  }

  #filter(change) {
    const { agent, q, thread } = { ...this.#place, ...change };
    go(toMail(agent, { q, thread }), { replace: true });
  }

  #sent(answer, message, here) {
    this.refresh();
    if (here) this.#scroller.toFoot();
    return accepted(answer, message);
  }

  #draw() {
    if (this.#scroller.atFoot) this.#state.trim();
    const shown = this.#shown();
    this.#scroller.fill(
      shown.map((entry) => this.#card(entry)),
      () => this.#drawEnds(shown.length),
    );
    this.#forget(shown);
  }

  #shown() {
    const { thread } = this.#place;
    const { entries } = this.#state;
    return thread ? entries.filter((entry) => entry.thread === thread || entry.id === thread) : entries;
  }

  #card(entry) {
    let card = this.#cards.get(entry.entry);
    if (card) card.update(entry);
    else this.#cards.set(entry.entry, (card = this.#newCard(entry)));
    return card;
  }

  #newCard(entry) {
    const { agent } = this.#place;
    const direction =
      agent === null || entry.kind === "broadcast" ? "all" : this.#state.isOurs(entry.to) ? "in" : "out";
    const acts = {
      reply: (each) => this.#compose.reply(each),
      requeue: (each) => this.#app.attempt(() => this.#requeue(each)),
      find: (id) => this.#state.find(id),
    };
    return new MessageCard(entry, { direction, agent, acts });
  }

  async #requeue({ to, id }) {
    const { api, roster } = this.#app;
    await api.requeue(roster.present(to), [id]);
    return "Back in the inbox.";
  }

  #forget(shown) {
    if (this.#cards.size === shown.length) return;
    const kept = new Set(shown.map((entry) => entry.entry));
    for (const entry of this.#cards.keys()) if (!kept.has(entry)) this.#cards.delete(entry);
  }

  #drawEnds(shown) {
    const { more, loading, loaded, problem } = this.#state;
    this.#older.hidden = !more;
    this.#older.disabled = loading;
    write(this.#older, loading ? "Reading older mail…" : "Show older mail");
    if (problem && !shown) this.#note.replaceChildren(h("p", { class: "empty", text: problem.message }));
    else if (!loaded || shown || more) this.#note.replaceChildren();
    else this.#note.replaceChildren(this.#place.q || this.#place.thread ? emptySearch() : emptyMail(this.#place.agent));
  }

  #drawHead() {
    const { agent } = this.#place;
    if (agent === undefined) return;
    const present = this.#app.roster.present(agent);
    if (present !== agent) return this.#rename(agent, present); // a former name leads on
    this.#drawTitle();
    this.#dead.show(this.#app.roster.get(agent) ?? null);
  }

  #drawTitle() {
    const { agent, q, thread } = this.#place;
    const record = this.#app.roster.get(agent);
    const mine = agent !== null && agent === recall("name");
    this.#head.draw({ agent, record, loaded: this.#state.loaded, q, thread, mine });
  }
}
