/* One message as a card: sender, recipient, body and state. */

import { h, set, time } from "../dom.js";
import { clock, count, firstLine, full, grouped, short, visible } from "../format.js";
import { icon } from "../icons.js";
import { mailHash } from "../router.js";
import { agentLink } from "./agent_link.js";
import { avatar } from "./avatar.js";
import { renderBody } from "./body.js";
import { alteredNote, describeState } from "./message_state.js";

// bodies longer than this are folded, so that one message does not hide the others
const LONG_CHARACTERS = 1_800;
const LONG_LINES = 24;

export class MessageCard {
  element;
  #entry;
  #state = h("p", { class: "message-state" });
  #buttons = h("div", { class: "actions" });
  #actions;

  /**
   * `direction` is "in", "out" or "all". `actions` are `{reply, requeue, find}`: without `reply` the card has no such
   * button; `find(id)` returns the entry that this one replies to, if it is loaded.
   */
  constructor(entry, { direction, agent = null, actions = {} }) {
    this.#entry = entry;
    this.#actions = actions;
    const id = `m-${entry.entry ?? entry.seq}`;
    this.element = h(
      "article",
      { class: "message", "aria-labelledby": id, data: { messageId: entry.id, direction } },
      this.#head(id, agent),
      this.#quote(),
      alteredNote(entry),
      foldable(entry.body),
      h("footer", {}, this.#state, this.#buttons),
    );
    this.#draw();
  }

  get timestamp() {
    return this.#entry.timestamp;
  }

  /** Show the message in its new state. */
  update(entry) {
    if (entry === this.#entry) return;
    const same = JSON.stringify(entry) === JSON.stringify(this.#entry);
    this.#entry = entry;
    if (!same) this.#draw();
  }

  /** Draw the state again if it depends on the time: a lease ends without an event. */
  tick() {
    if (this.#entry.state === "leased") this.#draw();
  }

  #draw() {
    const state = describeState(this.#entry);
    this.element.dataset.state = state.kind;
    this.#state.replaceChildren(
      icon(state.icon),
      h("span", { class: "message-state-label", text: state.label }),
      ...state.details,
    );
    this.#buttons.replaceChildren(...this.#makeButtons(state.kind));
  }

  #makeButtons(kind) {
    const { reply, requeue } = this.#actions;
    const made = [];
    if (kind === "dead" && requeue) made.push(button("repeat", "Requeue", () => requeue(this.#entry)));
    if (reply && this.#entry.from !== "system") made.push(button("reply", "Reply", () => reply(this.#entry)));
    return made;
  }

  #head(id, agent) {
    const { from, to, timestamp, kind, thread, via, verified } = this.#entry;
    const recipient =
      kind === "broadcast"
        ? h("a", { class: "agent-link", href: "#/broadcasts", text: "everyone" })
        : to && agentLink(to);
    return h(
      "header",
      { class: "message-head" },
      avatar(from),
      h(
        "h3",
        { class: "from-to", id },
        agentLink(from),
        recipient && h("span", { class: "arrow", text: "to" }),
        recipient,
      ),
      h("span", { class: "chips" }, originChip(via, verified), thread && threadChip(thread, agent)),
      time(timestamp, clock(timestamp), full(timestamp)),
    );
  }

  #quote() {
    const id = this.#entry.reply_to;
    if (!id) return null;
    const earlier = this.#actions.find?.(id);
    const text = earlier ? firstLine(earlier.body) : short(id, 16);
    const jump = () =>
      document.querySelector(`[data-message-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "center" });
    return h(
      "p",
      { class: "quote" },
      icon("reply"),
      "In reply to ",
      earlier
        ? h("button", { type: "button", class: "link", dir: "auto", on: { click: jump }, text })
        : h("code", { text }),
    );
  }
}

function originChip(via, verified) {
  const title = verified
    ? "The daemon has verified the sender"
    : "The sender is not verified: an HTTP client can use any name";
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
    { class: "chip chip-link", href: mailHash(agent, { thread }), title: `Only the thread ${thread}` },
    icon("thread"),
    h("bdi", { text: short(visible(thread), 24) }),
  );
}

function button(picture, label, click) {
  // the label is repeated for screen readers: on a narrow screen only the icon is shown
  return h(
    "button",
    { type: "button", class: "action", "aria-label": label, on: { click } },
    icon(picture),
    h("span", { text: label }),
  );
}

/** Render a body; a long one is folded, with a button that unfolds it. */
function foldable(text) {
  const nodes = renderBody(text);
  const element = h("div", { class: "body" }, nodes.length ? nodes : h("p", { class: "prose dim", text: "(blank)" }));
  if (text.length <= LONG_CHARACTERS && text.split("\n", LONG_LINES + 1).length <= LONG_LINES) return element;
  element.classList.add("folded");
  const unfold = h("button", {
    type: "button",
    class: "unfold",
    "aria-expanded": "false",
    text: `Show all ${count(text.length, "character")}`,
    on: { click: () => toggleFold(element, unfold, text) },
  });
  return h("div", {}, element, unfold);
}

function toggleFold(element, button, text) {
  const folded = element.classList.toggle("folded");
  set(button, "aria-expanded", String(!folded));
  button.textContent = folded ? `Show all ${grouped(text.length)} characters` : "Show less";
}
