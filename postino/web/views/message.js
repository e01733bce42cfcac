/* One message as a card: who to whom, the text, and what has become of it. */

import { h, set, time } from "../dom.js";
import { clock, count, firstLine, full, grouped, short, visible } from "../format.js";
import { icon } from "../icons.js";
import { toMail } from "../router.js";
import { nodes } from "../text.js";
import { stateOf } from "./fate.js";
import { party } from "./party.js";
import { stamp } from "./stamp.js";

const LONG_CHARACTERS = 1_800; // longer bodies, or of more lines, are folded: one message must not hide the others
const LONG_LINES = 24;

export class MessageCard {
  element;
  #entry;
  #fate = h("p", { class: "fate" });
  #actions;
  #acts;

  /**
   * `direction`: "in", "out" or "all". `acts`: what can be done, `{reply, requeue, find}`; without `reply` the card
   * has no buttons.
   */
  constructor(entry, { direction, agent = null, acts = {} }) {
    this.#entry = entry;
    this.#acts = acts;
    this.#actions = h("div", { class: "acts" });
    const id = `m-${entry.entry ?? entry.seq}`;
    this.element = h(
      "article",
      { class: "message", "aria-labelledby": id, data: { messageId: entry.id, direction } },
      this.#head(id, agent),
      this.#quote(),
      body(entry.body),
      h("footer", {}, this.#fate, this.#actions),
    );
    this.#draw();
  }

  get timestamp() {
    return this.#entry.timestamp;
  }

  /** Show what has become of the message since. */
  update(entry) {
    if (entry === this.#entry) return;
    const same = JSON.stringify(entry) === JSON.stringify(this.#entry);
    this.#entry = entry;
    if (!same) this.#draw();
  }

  /** Write the state again: a lease may have ended by itself. */
  tick() {
    if (this.#entry.state === "leased") this.#draw();
  }

  #draw() {
    const state = stateOf(this.#entry);
    this.element.dataset.state = state.kind;
    this.#fate.replaceChildren(icon(state.icon), h("span", { class: "fate-word", text: state.word }), ...state.details);
    this.#actions.replaceChildren(...this.#buttons(state.kind));
  }

  #buttons(kind) {
    const { reply, requeue } = this.#acts;
    const made = [];
    if (kind === "dead" && requeue) made.push(action("again", "Requeue", () => requeue(this.#entry)));
    if (reply && this.#entry.from !== "system") made.push(action("reply", "Reply", () => reply(this.#entry)));
    return made;
  }

  #head(id, agent) {
    const { from, to, timestamp, kind, thread, via, verified } = this.#entry;
    const receiver =
      kind === "broadcast" ? h("a", { class: "party", href: "#/broadcasts", text: "everyone" }) : to && party(to);
    return h(
      "header",
      { class: "message-head" },
      stamp(from),
      h("h3", { class: "parties", id }, party(from), receiver && h("span", { class: "arrow", text: "to" }), receiver),
      h("span", { class: "chips" }, origin(via, verified), thread && threadChip(thread, agent)),
      time(timestamp, clock(timestamp), full(timestamp)),
    );
  }

  #quote() {
    const id = this.#entry.reply_to;
    if (!id) return null;
    const earlier = this.#acts.find?.(id);
    const words = earlier ? firstLine(earlier.body) : short(id, 16);
    const jump = () =>
      document.querySelector(`[data-message-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "center" });
    return h(
      "p",
      { class: "quote" },
      icon("reply"),
      "In reply to ",
      earlier
        ? h("button", { type: "button", class: "link", dir: "auto", on: { click: jump }, text: words })
        : h("code", { text: words }),
    );
  }
}

function origin(via, verified) {
  const title = verified
    ? "The daemon vouches for the sender"
    : "Nobody vouches for the sender: whoever can reach postino may use any name";
  return h(
    "span",
    { class: verified ? "chip chip-good" : "chip", title },
    verified && icon("seal"),
    `${verified ? "verified" : "unverified"} · ${visible(via)}`,
  );
}

function threadChip(thread, agent) {
  return h(
    "a",
    { class: "chip chip-link", href: toMail(agent, { thread }), title: `Only the thread ${thread}` },
    icon("thread"),
    h("bdi", { text: short(visible(thread), 24) }),
  );
}

function action(picture, label, click) {
  // named twice: on a narrow screen only the picture is seen
  return h(
    "button",
    { type: "button", class: "act", "aria-label": label, on: { click } },
    icon(picture),
    h("span", { text: label }),
  );
}

/** The text; a long one is folded, with a way to the rest. */
function body(text) {
  const shown = nodes(text);
  const element = h(
    "div",
    { class: "body" },
    shown.length ? shown : h("p", { class: "prose dim", text: "(only blanks)" }),
  );
  if (text.length <= LONG_CHARACTERS && text.split("\n", LONG_LINES + 1).length <= LONG_LINES) return element;
  element.classList.add("folded");
  const button = h("button", {
    type: "button",
    class: "unfold",
    "aria-expanded": "false",
    text: `Show all ${count(text.length, "character")}`,
    on: { click: () => unfold(element, button, text) },
  });
  return h("div", {}, element, button);
}

function unfold(element, button, text) {
  const folded = element.classList.toggle("folded");
  set(button, "aria-expanded", String(!folded));
  button.textContent = folded ? `Show all ${grouped(text.length)} characters` : "Show less";
}
