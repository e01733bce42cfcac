/* One message as a row: sender and recipient, what became of it, the body, and what can be done with it. */

import { h, set, time } from "../dom.js";
import { clock, firstLine, full, short, visible } from "../format.js";
import { icon } from "../icons.js";
import { mailHash, messageHash, threadHash } from "../router.js";
import { agentLink } from "./agent_link.js";
import { avatar } from "./avatar.js";
import { Body } from "./body.js";
import { Choices } from "./choices.js";
import { recipientLinks } from "./recipients.js";
import { alteredNote, describeState } from "./message_state.js";

const JOINED_MS = 300_000; // messages of one sender to one recipient within this time share a head

export class MessageRow {
  element;
  entry;
  #state = h("p", { class: "message-state" });
  #buttons = h("div", { class: "actions" });
  #choices = null;
  #body;
  #actions;

  /**
   * `direction` is "in", "out" or "all". `actions` are `{reply, requeue, choose, done, open, find, isPerson, render,
   * toast}`: without `reply`, `requeue` and `done` the row has no such button, and without `choose` its choices are only
   * shown; `open(entry)` opens a closed one; `find(id)` returns the entry that this one replies to, if it is loaded;
   * `isPerson(name)` tells people from agents.
   */
  constructor(entry, { direction, agent = null, actions = {} }) {
    this.entry = entry;
    this.#actions = actions;
    this.#body = new Body(entry.body, entry.tree, actions.render);
    const id = `m-${entry.entry ?? `${entry.to}-${entry.seq}`}`;
    this.element = h(
      "article",
      { class: "message", "aria-labelledby": id, tabindex: "-1", data: { messageId: entry.id, direction } },
      avatar(entry.from),
      this.#head(id, agent),
      this.#state,
      time(entry.timestamp, clock(entry.timestamp), full(entry.timestamp)),
      h("div", { class: "message-main" }, this.#quote(), alteredNote(entry), this.#closed(), this.#body.element, this.#makeChoices()),
      this.#buttons,
    );
    this.element.addEventListener("keydown", (event) => event.target === this.element && event.key === "Enter" && this.open());
    this.#draw();
  }

  get timestamp() {
    return this.entry.timestamp;
  }

  /** Show the message in its new state. */
  update(entry) {
    if (entry === this.entry) return;
    const same = JSON.stringify(entry) === JSON.stringify(this.entry);
    this.entry = entry;
    if (!same) this.#draw();
  }

  /** Draw the state again if it depends on the time. */
  tick() {
    if (this.entry.state === "leased" || this.entry.state === "queued") this.#draw();
  }

  /** Show without a head of its own when it continues `previous`, the row above. */
  join(previous) {
    const last = previous?.entry;
    const { from, to, timestamp, thread, reply_to: replyTo, kind } = this.entry;
    const joined =
      last !== undefined && kind === "message" && last.kind === kind && last.from === from && last.to === to && last.thread === thread &&
      !replyTo && Date.parse(timestamp) - Date.parse(last.timestamp) < JOINED_MS;
    this.element.classList.toggle("joined", joined);
  }

  /** Return whether it has to be opened before anything else, and say so. */
  mustOpen() {
    if (this.entry.closed) this.#actions.toast("Open the message first.");
    return this.entry.closed === true;
  }

  reply() {
    if (this.#actions.reply && this.entry.from !== "system" && !this.mustOpen()) this.#actions.reply(this.entry);
  }

  /** Answer with the choice number `number`, if there is one. */
  choose(number) {
    if (this.#actions.choose && !this.mustOpen()) this.#choices?.choose(number);
  }

  toggleWritten() {
    this.#body.toggleWritten();
    this.#draw();
  }

  /** Copy the text as it was written. */
  async copy(text = this.entry.body, what = "The message is copied.") {
    if (this.mustOpen()) return;
    try {
      await navigator.clipboard.writeText(text);
      this.#actions.toast?.(what);
    } catch {
      this.#actions.toast?.("The browser does not allow it: select and copy it by hand.", "bad");
    }
  }

  /** Open it if it is closed; else go to its thread, or to the mail of its sender. */
  open() {
    if (this.entry.closed) return this.#actions.open?.(this.entry);
    const { thread, from } = this.entry;
    location.hash = thread ? threadHash(thread) : mailHash(from);
  }

  #draw() {
    const state = describeState(this.entry, { person: this.#actions.isPerson?.(this.entry.to) });
    this.element.dataset.state = state.kind;
    this.element.classList.toggle("closed", this.entry.closed === true);
    set(this.#state, "title", state.title || null);
    this.#state.replaceChildren(icon(state.icon), h("span", { class: "message-state-label", text: state.label }), ...state.details);
    this.#buttons.replaceChildren(...this.#makeButtons(state.kind));
  }

  #makeButtons(kind) {
    if (this.entry.closed) return [];
    const { reply, requeue, done } = this.#actions;
    const made = [];
    const { entry } = this.entry;
    if (kind === "dead" && requeue) made.push(button("repeat", "Requeue", () => requeue(this.entry)));
    if (reply && this.entry.from !== "system") made.push(button("reply", "Reply", () => this.reply(), { named: true }));
    if (done) made.push(button("check", "Done", () => done(this.entry), { named: true }));
    made.push(button("copy", "Copy", () => this.copy()));
    if (entry) made.push(button("link", "Copy link", () => this.copy(this.#address(), "The link to the message is copied.")));
    if (this.#body.rendered) {
      const shown = this.#body.written ? "Rendered" : "As written";
      made.push(button("eye", shown, () => this.toggleWritten()));
    }
    return made;
  }

  #address() {
    return `${location.origin}/${messageHash(this.entry)}`;
  }

  #head(id, agent) {
    const { from, kind, thread, via, verified } = this.entry;
    const recipient = kind === "broadcast" ? h("a", { class: "agent-link", href: "#/broadcasts", text: "everyone" }) : recipientLinks(this.entry);
    return h(
      "header",
      { class: "message-head" },
      h(
        "h3",
        { class: "from-to", id, title: verified ? null : `Not verified, via ${visible(via)}: an HTTP client can use any name` },
        agentLink(from),
        verified && seal(via),
        recipient && h("span", { class: "arrow", text: "to" }),
        recipient,
      ),
      thread && threadChip(thread, agent),
    );
  }

  #closed() {
    if (!this.#actions.open) return null;
    const click = () => this.#actions.open(this.entry);
    const open = h("button", { type: "button", class: "link", text: "Open it", on: { click } });
    return h("p", { class: "closed-line" }, "For all people: who opens it takes it. ", open);
  }

  #makeChoices() {
    const { choices, from } = this.entry;
    if (!choices) return null;
    this.#choices = new Choices(choices, visible(from), this.#actions.choose && ((choice) => this.#actions.choose(this.entry, choice)));
    return this.#choices.element;
  }

  #quote() {
    const id = this.entry.reply_to;
    if (!id) return null;
    const earlier = this.#actions.find?.(id);
    const jump = () => document.querySelector(`[data-message-id="${CSS.escape(id)}"]`)?.scrollIntoView({ block: "center" });
    return h(
      "p",
      { class: "quote" },
      icon("reply"),
      h("span", { class: "visually-hidden", text: "In reply to " }),
      earlier
        ? h("button", { type: "button", class: "link", dir: "auto", on: { click: jump }, text: firstLine(earlier.body) })
        : h("a", { class: "link", href: mailHash(this.entry.from, { message: id }), title: id, text: "an earlier message" }),
    );
  }
}

function seal(via) {
  return h(
    "span",
    { class: "seal", title: `postino has verified the sender, via ${visible(via)}` },
    icon("seal"),
    h("span", { class: "visually-hidden", text: `verified · ${visible(via)}` }),
  );
}

function threadChip(thread, agent) {
  return h(
    "a",
    { class: "chip chip-link", href: agent === null ? threadHash(thread) : mailHash(agent, { thread }), title: `The thread ${thread}` },
    icon("thread"),
    h("bdi", { text: short(visible(thread), 24) }),
  );
}

/** `named`: where there is room, the label stands beside the picture. */
function button(picture, label, click, { named = false } = {}) {
  const word = named && h("span", { class: "tool-label", "aria-hidden": "true", text: label });
  return h("button", { type: "button", class: "tool", "aria-label": label, title: label, on: { click } }, icon(picture), word);
}
