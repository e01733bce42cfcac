/* The broadcasts: what was said to all, how many have seen it, and the form that says more. */

import { h, write } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { perFrame } from "../pace.js";
import { Broadcasts } from "../state/broadcasts.js";
import { announced, Compose } from "./compose.js";
import { emptyFeed } from "./empty.js";
import { MessageCard } from "./message.js";
import { Scroller } from "./scroller.js";

export class BroadcastsView {
  element;
  #app;
  #state;
  #cards = new Map(); // number -> {card, seen}
  #redraw = perFrame(() => this.#draw());
  #about = h("p", { class: "mail-about" });
  #clear = h(
    "button",
    { type: "button", class: "act", on: { click: () => this.#askClear() } },
    icon("sweep"),
    "Clear all",
  );
  #note = h("div", { class: "note" });
  #older = h("button", {
    type: "button",
    class: "rest",
    on: { click: () => this.#state.older() },
    text: "Show older broadcasts",
  });
  #scroller = new Scroller({
    label: "Broadcasts",
    noun: "broadcast",
    above: this.#older,
    below: this.#note,
    onTop: () => {},
  });
  #compose;

  constructor(app) {
    this.#app = app;
    this.#state = new Broadcasts(app.api);
    this.#state.changed.on(this.#redraw);
    this.#compose = new Compose({
      label: "Write to everyone",
      placeholder: "Write to everyone",
      toAgent: false,
      send: (draft) => app.api.broadcast(draft),
      sent: (answer) => this.#sent(answer),
      aside: app.say,
    });
    this.element = h(
      "section",
      { class: "mail", "aria-label": "Broadcasts" },
      h(
        "header",
        { class: "mail-head" },
        h("span", { class: "face" }, h("span", { class: "stamp stamp-all", "aria-hidden": "true" }, icon("horn"))),
        h("div", { class: "mail-title" }, h("h2", { class: "mail-name", text: "Broadcasts" }), this.#about),
        h("div", { class: "mail-tools" }, this.#clear),
      ),
      h("div", { class: "scroll-box" }, this.#scroller.element, this.#scroller.jump),
      this.#compose.element,
    );
    this.#compose.aim("all");
  }

  show() {
    this.#compose.aim("all"); // the name may have been changed in the other form
    this.#state.refresh();
  }

  touch(event) {
    if (this.element.isConnected) this.#state.touch(event);
  }

  refresh() {
    if (this.element.isConnected) this.#state.refresh();
  }

  /** The daemon answers again: no form says any more that it does not. */
  answered() {
    this.#compose.answered();
  }

  write() {
    this.#compose.focus();
  }

  #sent(answer) {
    this.#state.refresh();
    this.#scroller.toFoot();
    return announced(answer);
  }

  #draw() {
    const { items } = this.#state;
    const kept = new Set(items.map((item) => item.seq));
    for (const seq of this.#cards.keys()) if (!kept.has(seq)) this.#cards.delete(seq);
    this.#scroller.fill(
      items.map((item) => this.#card(item)),
      () => this.#drawEnds(),
    );
  }

  #drawEnds() {
    const { items, total, more, loaded, problem } = this.#state;
    write(this.#about, loaded ? `${count(total, "broadcast")} kept; every agent sees each of them once` : "");
    this.#clear.hidden = total === 0;
    this.#older.hidden = !more;
    const note = problem && !items.length ? h("p", { class: "empty", text: problem.message }) : emptyFeed();
    this.#note.replaceChildren(...(items.length || !(loaded || problem) ? [] : [note]));
  }

  #card(item) {
    let made = this.#cards.get(item.seq);
    if (!made) this.#cards.set(item.seq, (made = newCard(item)));
    drawSeen(made.seen, item);
    return made;
  }

  async #askClear() {
    const sure = await this.#app.dialogs.confirm({
      title: "Clear all broadcasts?",
      words: `${count(this.#state.total, "broadcast")} will be dropped; agents that have not seen them never will.`,
      action: "Clear all",
    });
    if (sure) await this.#app.attempt(() => this.#clearAll());
  }

  async #clearAll() {
    const { cleared } = await this.#app.api.clearBroadcasts();
    return `${count(cleared, "broadcast")} cleared.`;
  }
}

function newCard(item) {
  const { element } = new MessageCard({ ...item, kind: "broadcast", to: "all" }, { direction: "all" });
  const seen = { meter: h("meter", { min: 0, "aria-label": "Seen" }), words: h("span", { class: "seen-words" }) };
  element.querySelector("footer").append(h("p", { class: "seen" }, icon("eye"), seen.words, seen.meter));
  return { timestamp: item.timestamp, element, seen };
}

function drawSeen({ meter, words }, { seen, agents }) {
  meter.max = Math.max(1, agents);
  meter.value = seen;
  write(words, agents ? `seen by ${seen} of ${count(agents, "agent")}` : "no agent yet to see it");
}
