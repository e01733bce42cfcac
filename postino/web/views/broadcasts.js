/* The broadcasts: their text, how many agents have seen them, and the form that sends one. */

import { h, write } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { keyed } from "../keyed.js";
import { Broadcasts } from "../state/broadcasts.js";
import { oncePerFrame } from "../throttle.js";
import { avatarOfAll } from "./avatar.js";
import { button } from "./button.js";
import { Compose } from "./compose.js";
import { emptyBroadcasts } from "./empty.js";
import { MessageRow } from "./message.js";
import { MessageList } from "./message_list.js";
import { readerTicks } from "./recipients.js";
import { broadcastSent } from "./send_status.js";

export class BroadcastsView {
  element;
  #app;
  #state;
  #cards = keyed({ key: (item) => item.seq, make: makeCard, update: drawSeen });
  #summary = h("p", { class: "mail-summary" });
  #clear = button("trash", "Clear all", () => this.#askClear());
  #note = h("div", { class: "note" });
  #older = h("button", {
    type: "button",
    class: "more",
    on: { click: () => this.#state.older() },
    text: "Show older broadcasts",
  });
  #list = new MessageList({
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
    this.#state.changed.on(oncePerFrame(() => this.#draw()));
    this.#compose = new Compose(app, {
      label: "Write to everyone",
      toAgent: false,
      send: app.api.broadcast,
      onSent: (answer) => this.#onSent(answer),
    });
    this.element = h(
      "section",
      { class: "mail", "aria-label": "Broadcasts" },
      h(
        "header",
        { class: "mail-head" },
        h("span", { class: "avatar-box" }, avatarOfAll("megaphone")),
        h("div", { class: "mail-title" }, h("h2", { class: "mail-name", text: "Broadcasts" }), this.#summary),
        h("div", { class: "mail-tools" }, this.#clear),
      ),
      h("div", { class: "scroll-box" }, this.#list.element, this.#list.jump),
      this.#compose.element,
    );
    this.#compose.aim("all");
  }

  show() {
    this.#compose.aim("all"); // the name may have been changed in the other form
    this.#state.refresh();
  }

  onEvent(event) {
    if (this.element.isConnected) this.#state.onEvent(event);
  }

  refresh() {
    if (this.element.isConnected) this.#state.refresh();
  }

  /** The daemon answers again. */
  onConnected() {
    this.#compose.onConnected();
  }

  /** Put the cursor into the form. */
  write() {
    this.#compose.focus();
  }

  #onSent(answer) {
    this.#state.refresh();
    this.#list.toBottom();
    return broadcastSent(answer);
  }

  #draw() {
    this.#list.fill(this.#cards.of(this.#state.items), () => this.#drawAround());
  }

  #drawAround() {
    const { items, total, more, loaded, problem } = this.#state;
    write(this.#summary, loaded ? `${count(total, "broadcast")} kept; each agent reads each of them once` : "");
    this.#clear.hidden = total === 0;
    this.#older.hidden = !more;
    const note = problem && !items.length ? h("p", { class: "empty", text: problem.message }) : emptyBroadcasts();
    this.#note.replaceChildren(...(items.length || !(loaded || problem) ? [] : [note]));
  }

  #askClear() {
    const question = {
      title: "Clear all broadcasts?",
      text: `${count(this.#state.total, "broadcast")} will be deleted, including for agents that have not seen them.`,
      action: "Clear all",
    };
    this.#app.confirmed(question, async () => {
      const { cleared } = await this.#app.api.clearBroadcasts();
      return `${count(cleared, "broadcast")} cleared.`;
    });
  }
}

function makeCard(item) {
  const { element } = new MessageRow({ ...item, kind: "broadcast", to: "all" }, { direction: "all" });
  const meter = h("meter", { min: 0, "aria-label": "Seen" });
  const text = h("span", { class: "seen-text" });
  const ticks = h("span", { class: "ticks" });
  element.querySelector(".message-main").append(h("p", { class: "seen" }, icon("eye"), text, meter, ticks));
  return { timestamp: item.timestamp, element, meter, text, ticks };
}

function drawSeen({ meter, text, ticks }, item) {
  const { seen, agents } = item;
  ticks.replaceChildren(...readerTicks(item));
  meter.max = Math.max(1, agents);
  meter.value = seen;
  write(text, agents ? `seen by ${seen} of ${count(agents, "agent")}` : "no agents yet");
}
