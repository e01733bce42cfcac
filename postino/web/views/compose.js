/* The form that writes: a message to one agent, or a broadcast. What is sent leaves it, what fails comes back. */

import { newId } from "../api.js";
import { h, write } from "../dom.js";
import { grouped } from "../format.js";
import { icon } from "../icons.js";
import { recall, remember } from "../memory.js";

const MOST = 32_768; // characters; the daemon's limit
const OFFERED = 200; // names that To offers; more can be typed
const NEAR = 2_000; // characters before it, from which on the form counts aloud
const HINT = /Mac|iP/.test(navigator.platform) ? "⌘ Enter sends" : "Ctrl Enter sends";
const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}";

export class Compose {
  element;
  #send;
  #sent;
  #aside;
  #target = null;
  #drafts = new Map(); // target -> what is being written to it
  #draft = blank();
  #to = h("input", {
    class: "line",
    name: "to",
    required: true,
    maxlength: 64,
    pattern: NAME,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "agent",
    list: "known-agents",
  });
  #from = h("input", {
    class: "line",
    name: "from",
    maxlength: 64,
    pattern: NAME,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "anonymous",
    title: "Letters, digits, dot, dash and underscore. Kept in this browser once something was sent.",
  });
  #body = h("textarea", { name: "body", required: true, rows: 1, dir: "auto", enterkeyhint: "enter" });
  #context = h("p", { class: "compose-context", hidden: true });
  #said = h("p", { class: "compose-said", role: "alert" });
  #spoken = [""]; // what stands in it
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
   * `send(message)` posts it, `sent(answer, message, here)` says how that went; `toAgent`: there is a recipient to
   * name. `aside(words, kind)` is told what the form cannot say, since something else is shown by then.
   */
  constructor({ label, placeholder, toAgent, send, sent, aside }) {
    this.#send = send;
    this.#sent = sent;
    this.#aside = aside;
    this.#body.placeholder = placeholder;
    this.#body.setAttribute("aria-label", label);
    this.#toField = toAgent ? field("To", this.#to) : null;
    this.element = h(
      "form",
      { class: "compose", "aria-label": label, novalidate: true },
      this.#context,
      h("div", { class: "compose-lines" }, this.#toField, field("From", this.#from), this.#left),
      h("div", { class: "compose-row" }, this.#body, this.#button),
      this.#said,
    );
    this.#listen();
  }

  /** Write to `target` (null: to be named) from now on; what was written to the last one waits for its return. */
  aim(target) {
    this.#draft.body = this.#body.value;
    this.#draft = this.#drafts.get(target) ?? blank();
    this.#drafts.set(target, this.#draft);
    this.#target = target;
    this.#body.value = this.#draft.body;
    this.#from.value = this.#draft.from ?? recall("name");
    if (this.#toField) this.#toField.hidden = target !== null;
    this.#mention(this.#draft.about);
    this.#say(...this.#draft.said);
    this.#draft.said = [""];
    this.#drawBusy();
    this.#fit();
  }

  /** `old` is called `name` from now on: what was begun goes along. */
  rename(old, name) {
    const begun = this.#drafts.get(old);
    if (!begun || old === name) return;
    const other = this.#drafts.get(name);
    this.#drafts.delete(old);
    this.#drafts.set(name, begun);
    if (other?.body) this.#putBefore(begun, other.body);
  }

  /** Answer `entry`, in its thread. */
  reply(entry) {
    // an answer to one's own words goes on to whom they were written
    const to = entry.from === this.#from.value.trim() && entry.kind === "message" ? entry.to : entry.from;
    if (this.#target === null) this.#to.value = to;
    this.#mention({ thread: entry.thread, reply_to: entry.id, to });
    this.focus();
  }

  /** Write into `thread` ("" for none). */
  into(thread) {
    this.#mention(thread ? { thread } : {});
  }

  /** Take back that nobody answers: somebody does again. What came back into the form stays there. */
  answered() {
    for (const draft of this.#drafts.values()) draft.said = healed(draft.said);
    this.#say(...healed(this.#spoken));
  }

  focus() {
    (this.#toField && this.#target === null && !this.#to.value ? this.#to : this.#body).focus();
  }

  #listen() {
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.#body.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      this.#submit();
    });
    this.#body.addEventListener("input", () => this.#fit());
    this.#from.addEventListener("input", () => (this.#draft.from = this.#from.value));
  }

  async #submit() {
    const draft = this.#draft;
    if (draft.sending) return; // one at a time, or their order would be left to chance
    const message = this.#message();
    const wrong = this.#wrong(message);
    if (wrong) return this.#say(wrong, "bad");
    const bringBack = this.#takeOut(message);
    this.#body.focus();
    let said;
    try {
      const answer = await this.#send({ ...message, id: idFor(draft, message) });
      draft.attempt = null;
      keepName(draft, message);
      said = [this.#sent(answer, message, draft === this.#draft)].flat();
    } catch (refusal) {
      said = failure(refusal, bringBack());
    }
    draft.sending = false;
    this.#tell(draft, message, said);
  }

  /** Empty the form: what is typed from now on is another message. Return what brings the sent one back into it. */
  #takeOut({ body, thread }) {
    const draft = this.#draft;
    const { about } = draft;
    const after = thread ? { thread } : {};
    draft.sending = true;
    this.#body.value = "";
    this.#say("");
    this.#mention(after);
    this.#drawBusy();
    this.#fit();
    return () => {
      if (draft.about === after) draft.about = about;
      return this.#putBefore(draft, body);
    };
  }

  /** Put `text` before what stands in `draft`; return whether anything did. */
  #putBefore(draft, text) {
    const here = draft === this.#draft;
    const typed = here ? this.#body.value : draft.body;
    if (here) {
      this.#body.setRangeText(typed ? `${text}\n` : text, 0, 0, typed ? "preserve" : "end");
      this.#mention(draft.about);
      this.#fit();
    } else draft.body = typed ? `${text}\n${typed}` : text;
    return typed !== "";
  }

  #tell(draft, { to }, said) {
    const [words, kind = "good"] = said;
    this.#drawBusy();
    if (draft === this.#draft) this.#say(...said);
    else draft.said = said;
    const seen = draft === this.#draft && this.element.isConnected;
    if (!seen) this.#aside(kind === "bad" && to ? `${to}: ${words}` : words, kind);
  }

  #message() {
    const from = this.#from.value.trim();
    const { thread, reply_to, to } = this.#draft.about;
    const message = {
      body: this.#body.value,
      ...(from && { from }),
      ...(thread && { thread }),
      ...(reply_to && { reply_to }),
    };
    return this.#toField ? { to: to ?? this.#target ?? this.#to.value.trim(), ...message } : message;
  }

  #wrong({ to, body }) {
    if (this.#toField && !to) return "Name the agent who is to get this.";
    if (!body.trim()) return "There is nothing to send yet.";
    return null;
  }

  #mention(about) {
    this.#draft.about = about;
    const { thread, reply_to: replyTo, to } = about;
    this.#context.hidden = !thread && !replyTo;
    const words = [replyTo && `Reply to ${to}`, thread && `thread ${thread}`].filter(Boolean).join(" · ");
    this.#context.replaceChildren(
      icon(replyTo ? "reply" : "thread"),
      h("bdi", { text: words }),
      h("button", { type: "button", class: "link", text: "Drop", on: { click: () => this.#mention({}) } }),
    );
  }

  /** Grow with the text, and count when the end is near. */
  #fit() {
    const { value } = this.#body;
    this.#body.rows = Math.min(10, Math.max(1, value.split("\n", 10).length, Math.ceil(value.length / 90)));
    const left = MOST - [...value].length;
    write(
      this.#left,
      left < 0 ? `${grouped(-left)} too many` : left < NEAR ? `${grouped(left)} left` : value ? HINT : "",
    );
    this.#left.classList.toggle("over", left < 0);
    this.#left.classList.toggle("hint", left >= NEAR);
  }

  #drawBusy() {
    this.#button.disabled = this.#draft.sending;
    this.element.setAttribute("aria-busy", String(this.#draft.sending));
  }

  #say(words, kind = "good", later) {
    this.#spoken = [words, kind, later];
    this.#said.dataset.kind = kind;
    write(this.#said, words);
  }
}

/**
 * Nothing written yet. `from`: what was typed there and not accepted yet (null: nothing); `about`: thread and reply_to;
 * `attempt`: a try that may have succeeded unheard.
 */
function blank() {
  return { body: "", from: null, about: {}, attempt: null, sending: false, said: [""] };
}

/** The same words are tried again under the same id: should the first try have succeeded, nothing is doubled. */
function idFor(draft, message) {
  const content = JSON.stringify(message);
  if (draft.attempt?.content !== content) draft.attempt = { id: newId(), content };
  return draft.attempt.id;
}

/** A name that was accepted stands in every form from now on; none, too. */
function keepName(draft, { from = "" }) {
  remember("name", from);
  if (draft.from?.trim() === from) draft.from = null;
}

function field(label, input) {
  return h("label", { class: "compose-field" }, h("span", { text: label }), input);
}

/**
 * What to say: words, their kind, and what is left of them once somebody answers again. `mixed`: what was not sent
 * stands before what was typed since, so that another try is another message.
 */
function failure({ message, outcome, code }, mixed) {
  const doubt = "What you sent stands before what you typed since; it may have arrived.";
  if (outcome === "unknown" && mixed) return [`${message} ${doubt}`, "bad", doubt];
  if (outcome === "unknown")
    return [`${message} Your text is kept; send it again when it does, it will not arrive twice.`, "bad", ""];
  return code === "inbox_full"
    ? [`${message}. Your text is kept; try again when some of it has been read.`, "bad"]
    : [`Not sent: ${message}`, "bad"];
}

/** What is left of `said` when somebody answers again. */
function healed(said) {
  const [, , later] = said;
  return later === undefined ? said : [later, "note"];
}

/** Say how a message was accepted. */
export function accepted(answer, draft) {
  if (!answer.created) return `It had arrived already, as no. ${answer.seq}.`;
  if (answer.known) return `Sent to ${answer.to} as no. ${answer.seq}.`;
  const near = answer.names.length ? ` Did you mean ${answer.names.join(", ")}?` : "";
  return [`Nobody called ${draft.to} has been seen yet; the message waits.${near}`, "note"];
}

/** Say how a broadcast was accepted. */
export function announced(answer) {
  return answer.created ? `Broadcast no. ${answer.seq} is out.` : `It was out already, as no. ${answer.seq}.`;
}

/** The list of names that the field To offers. */
export class KnownNames {
  element = h("datalist", { id: "known-agents" });
  #names = "";

  constructor(roster) {
    roster.changed.on(() => this.#draw([...roster.agents.keys()].slice(0, OFFERED)));
  }

  #draw(names) {
    if (names.join() === this.#names) return;
    this.#names = names.join();
    this.element.replaceChildren(...names.map((name) => h("option", { value: name })));
  }
}
