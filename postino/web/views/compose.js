/* The form that sends a message or a broadcast. Sending empties it; the text of a failed send is put back. */

import { newId } from "../api.js";
import { h, write } from "../dom.js";
import { grouped, NAME } from "../format.js";
import { icon } from "../icons.js";
import { load, save } from "../storage.js";
import { Preview } from "./preview.js";
import { parseRecipients } from "./recipients.js";
import { afterReconnect, NO_STATUS, sendFailed } from "./send_status.js";

const MOST = 32_768; // characters; the daemon's limit
const OFFERED = 200; // names in the list of the field To; others can be typed
const NEAR = 2_000; // characters before the limit at which the form starts to show how many are left
const HINT = /Mac|iP/.test(navigator.platform) ? "⌘ Enter sends" : "Ctrl Enter sends";

export class Compose {
  element;
  #name;
  #isNameKnown;
  #preview;
  #send;
  #onSent;
  #toast;
  #target = null;
  #drafts = new Map(); // by target
  #draft = newDraft();
  #to = h("input", {
    class: "text-field",
    name: "to",
    required: true,
    maxlength: 3_300,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "agent",
    title: "An agent, several with commas between, or a group such as #team",
    list: "known-agents",
  });
  #from = h("input", {
    class: "text-field",
    name: "from",
    maxlength: 64,
    pattern: NAME,
    autocomplete: "off",
    spellcheck: "false",
    title: "Letters, digits, dot, dash and underscore. Kept in this browser after the first send.",
  });
  #body = h("textarea", { name: "body", required: true, rows: 1, dir: "auto", enterkeyhint: "enter" });
  #context = h("p", { class: "compose-context", hidden: true });
  #status = NO_STATUS;
  #statusText = h("p", { class: "compose-status", role: "alert" });
  #left = h("span", { class: "compose-left" });
  #button = h("button", {
    type: "submit",
    class: "send",
    title: "Ctrl or ⌘ with Enter",
    "aria-keyshortcuts": "Control+Enter Meta+Enter",
    text: "Send",
  });
  #toField;

  /**
   * `send(message)` posts a message, `onSent(answer, message, shown)` returns the status to show, where `shown` says
   * whether its draft is still shown. `toAgent` is false for broadcasts.
   */
  constructor({ api, me, toast }, { label, placeholder = label, toAgent = true, send = api.send, onSent }) {
    this.#name = () => load("name", null) ?? me.writer; // "": the user wants to write as nobody
    this.#isNameKnown = () => me.loaded || load("name", null) !== null;
    this.#preview = new Preview(api.render);
    this.#send = send;
    this.#onSent = onSent;
    this.#toast = toast;
    this.#body.placeholder = placeholder;
    this.#body.setAttribute("aria-label", label);
    this.#toField = toAgent ? field("To", this.#to) : null;
    this.element = h(
      "form",
      { class: "compose", "aria-label": label, novalidate: true },
      this.#context,
      this.#preview.element,
      h("div", { class: "compose-lines" }, this.#toField, field("From", this.#from), this.#left, this.#preview.button),
      h("div", { class: "compose-row" }, this.#body, this.#button),
      this.#statusText,
    );
    this.#listen();
  }

  /** Write to `target` from now on (null: the field To names it), and show the draft that was begun for it. */
  aim(target) {
    this.#draft.body = this.#body.value;
    this.#draft = this.#drafts.get(target) ?? newDraft();
    this.#drafts.set(target, this.#draft);
    this.#target = target;
    this.#body.value = this.#draft.body;
    this.refreshFrom();
    if (this.#toField) this.#toField.hidden = target !== null;
    this.#setContext(this.#draft.context);
    this.#setStatus(this.#draft.status);
    this.#draft.status = NO_STATUS;
    this.#drawSending();
    this.#fit();
  }

  /** Put the user's name into the field From, unless another one was typed. */
  refreshFrom() {
    this.#from.placeholder = this.#isNameKnown() ? "anonymous" : "not known yet";
    if (document.activeElement !== this.#from) this.#from.value = this.#draft.from ?? this.#name();
  }

  /** Move the draft of `old` to its new name. */
  rename(old, name) {
    const draft = this.#drafts.get(old);
    if (!draft || old === name) return;
    const other = this.#drafts.get(name);
    this.#drafts.delete(old);
    this.#drafts.set(name, draft);
    if (other?.body) this.#prepend(draft, other.body);
  }

  /** Reply to `entry`, in its thread. */
  reply(entry) {
    // a reply to the user's own message goes to the recipient of that message
    const isOwn = entry.from === this.#from.value.trim() && entry.kind === "message";
    const to = isOwn ? entry.to : entry.from;
    if (this.#target === null) this.#to.value = to;
    this.#setContext({ thread: entry.thread, reply_to: entry.id, to, got: to === entry.from && entry.to });
    this.focus();
  }

  /** Send into `thread` ("": none). */
  setThread(thread) {
    this.#setContext(thread ? { thread } : {});
  }

  /** The daemon answers again: no status says any more that it does not. Texts that were put back stay. */
  onConnected() {
    for (const draft of this.#drafts.values()) draft.status = afterReconnect(draft.status);
    this.#setStatus(afterReconnect(this.#status));
  }

  focus() {
    (this.#toField && this.#target === null && !this.#to.value ? this.#to : this.#body).focus();
  }

  #listen() {
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#submit();
    });
    this.#body.addEventListener("input", () => this.#fit());
    this.#from.addEventListener("input", () => (this.#draft.from = this.#from.value));
  }

  async #submit() {
    const draft = this.#draft;
    if (draft.sending) return; // two requests at once could arrive in any order
    const message = this.#message();
    const wrong = this.#check(message);
    if (wrong) return this.#setStatus({ text: wrong, kind: "bad" });
    const { reply_to: replyTo, got } = draft.context;
    const { to, ...answer } = message;
    const asked = replyTo && got && got === message.from ? answer : message; // the daemon knows whom it answers
    const putBack = this.#takeOut(message);
    this.#body.focus();
    let status;
    try {
      const sent = await this.#send({ ...asked, id: idFor(draft, message) });
      draft.attempt = null;
      this.#keepName(draft, message);
      status = this.#onSent(sent, message, draft === this.#draft);
    } catch (error) {
      status = sendFailed(error, putBack());
    }
    draft.sending = false;
    this.#report(draft, message, status);
  }

  /** Empty the form: what is typed from now on is another message. Return a function that puts the text back. */
  #takeOut({ body, thread }) {
    const draft = this.#draft;
    const { context } = draft;
    const next = thread ? { thread } : {};
    draft.sending = true;
    this.#body.value = "";
    this.#setStatus(NO_STATUS);
    this.#setContext(next);
    this.#drawSending();
    this.#fit();
    return () => {
      if (draft.context === next) draft.context = context;
      return this.#prepend(draft, body);
    };
  }

  /** Put `text` before the text of `draft`; return whether there was any. */
  #prepend(draft, text) {
    const shown = draft === this.#draft;
    const typed = shown ? this.#body.value : draft.body;
    if (shown) {
      this.#body.setRangeText(typed ? `${text}\n` : text, 0, 0, typed ? "preserve" : "end");
      this.#setContext(draft.context);
      this.#fit();
    } else draft.body = typed ? `${text}\n${typed}` : text;
    return typed !== "";
  }

  /** Show the status of a send, as a toast if its draft is not visible. */
  #report(draft, { to }, status) {
    this.#drawSending();
    const shown = draft === this.#draft;
    if (shown) this.#setStatus(status);
    else draft.status = status;
    if (shown && this.element.isConnected) return;
    const { text, kind } = status;
    this.#toast(kind === "bad" && to ? `${to}: ${text}` : text, kind);
  }

  #message() {
    const from = this.#from.value.trim();
    const { thread, reply_to, to } = this.#draft.context;
    const message = {
      body: this.#body.value,
      ...(from && { from }),
      ...(thread && { thread }),
      ...(reply_to && { reply_to }),
    };
    return this.#toField ? { to: parseRecipients(to ?? this.#target ?? this.#to.value), ...message } : message;
  }

  /** Save an accepted name for all forms, unless it is the one that they begin with. */
  #keepName(draft, { from = "" }) {
    if (from !== this.#name()) save("name", from);
    if (draft.from?.trim() === from && from === this.#name()) draft.from = null;
  }

  #check({ to, body, from }) {
    if (this.#toField && !to) return "Enter the name of the recipient.";
    if (!from && !this.#isNameKnown()) return "Your name is not known yet: enter it, or wait until Valkey answers.";
    if (!body.trim()) return "Write a message first.";
    return null;
  }

  #setContext(context) {
    this.#draft.context = context;
    const { thread, reply_to: replyTo, to } = context;
    this.#context.hidden = !thread && !replyTo;
    const text = [replyTo && `Reply to ${to}`, thread && `thread ${thread}`].filter(Boolean).join(" · ");
    this.#context.replaceChildren(
      icon(replyTo ? "reply" : "thread"),
      h("bdi", { text }),
      h("button", { type: "button", class: "link", text: "Remove", on: { click: () => this.#setContext({}) } }),
    );
  }

  /** Fit the height to the text, and show how many characters are left near the limit. */
  #fit() {
    const { value } = this.#body;
    this.#preview.update(value);
    this.#body.rows = Math.min(10, Math.max(1, value.split("\n", 10).length, Math.ceil(value.length / 90)));
    const left = MOST - [...value].length;
    write(
      this.#left,
      left < 0 ? `${grouped(-left)} too many` : left < NEAR ? `${grouped(left)} left` : value ? HINT : "",
    );
    this.#left.classList.toggle("over", left < 0);
    this.#left.classList.toggle("hint", left >= NEAR);
  }

  #drawSending() {
    this.#button.disabled = this.#draft.sending;
    this.element.setAttribute("aria-busy", String(this.#draft.sending));
  }

  #setStatus(status) {
    this.#status = status;
    this.#statusText.dataset.kind = status.kind;
    write(this.#statusText, status.text);
  }
}

/**
 * Make an empty draft. `from` is a name that was typed and not accepted yet, or null; `context` holds thread, reply_to,
 * to, and who `got` the message that is answered; `attempt` is a send without an answer, which may have been accepted.
 */
function newDraft() {
  return { body: "", from: null, context: {}, attempt: null, sending: false, status: NO_STATUS };
}

/** Return the id of a send. The same content is sent again under the same id, so that it is stored once. */
function idFor(draft, message) {
  const content = JSON.stringify(message);
  if (draft.attempt?.content !== content) draft.attempt = { id: newId(), content };
  return draft.attempt.id;
}

function field(label, input) {
  return h("label", { class: "compose-field" }, h("span", { text: label }), input);
}

/** The list of names that the field To offers. */
export class KnownNames {
  element = h("datalist", { id: "known-agents" });
  #names = "";

  constructor(agents) {
    agents.changed.on(() => this.#draw([...agents.groups.map((group) => `#${group}`), ...agents.byName.keys()].slice(0, OFFERED)));
  }

  #draw(names) {
    if (names.join() === this.#names) return;
    this.#names = names.join();
    this.element.replaceChildren(...names.map((name) => h("option", { value: name })));
  }
}
