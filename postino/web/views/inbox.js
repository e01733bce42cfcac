/* The inbox of a person: what waits for an answer, with its choices, and the form that answers. */

import { arrange, h, write } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { keyed } from "../keyed.js";
import { SHARED } from "../state/inbox.js";
import { oncePerFrame } from "../throttle.js";
import { avatarOfAll } from "./avatar.js";
import { foldTall } from "./body.js";
import { Compose } from "./compose.js";
import { emptyInbox } from "./empty.js";
import { MessageRow } from "./message.js";
import { NameLine } from "./name_line.js";
import { messageSent, noted } from "./send_status.js";

const SEEN_MS = 1_000; // that a message is visible in a focused page before it counts as seen
const TICK_MS = 10_000;
const LONGEST_ID = 128;

export class InboxView {
  element;
  #app;
  #inbox;
  #me;
  #name;
  #rows = keyed({
    key: (item) => `${item.to} ${item.id}`,
    make: (item) => this.#makeRow(item),
    update: (row, item) => row.update(asEntry(item)),
  });
  #visible = new Map(); // element -> the timer after which its message counts as seen
  #watcher = new IntersectionObserver((changes) => changes.forEach((change) => this.#onVisible(change)), { threshold: 0.5 });
  #summary = h("p", { class: "mail-summary", role: "status" });
  #list = h("div", { class: "messages inbox-rows" });
  #empty = h("p", { class: "empty" });
  #nothing = h("div", { data: { name: "" } });
  #compose;

  constructor(app) {
    this.#app = app;
    this.#inbox = app.inbox;
    this.#me = app.me;
    this.#name = new NameLine(app.me);
    this.#compose = new Compose(app, {
      label: "Write an answer",
      placeholder: matchMedia("(max-width: 45rem)").matches ? "Write a message" : "Write a message, or select one above and press r",
      onSent: (answer, message) => this.#onSent(answer, message),
    });
    this.element = h(
      "section",
      { class: "mail inbox", "aria-label": "Inbox" },
      h(
        "header",
        { class: "mail-head" },
        h("span", { class: "avatar-box" }, avatarOfAll("inbox")),
        h("div", { class: "mail-title" }, h("h2", { class: "mail-name", text: "Inbox" }), this.#summary),
        this.#name.element,
      ),
      h("div", { class: "scroll-box" }, h("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Open messages" }, this.#list, this.#empty, this.#nothing)),
      this.#compose.element,
    );
    this.#compose.aim(null);
    this.#inbox.changed.on(oncePerFrame(() => this.#draw()));
    this.#me.changed.on(() => this.#onName());
    new ResizeObserver(() => foldTall(this.#list)).observe(this.#list.parentElement);
    addEventListener("focus", () => this.#watchAgain());
    setInterval(() => this.#rows.values().forEach((row) => row.tick()), TICK_MS);
  }

  show() {
    this.#compose.refreshFrom();
    this.#inbox.refresh();
    this.#draw();
    this.#watchAgain();
  }

  /** The daemon answers again. */
  onConnected() {
    this.#compose.onConnected();
  }

  /** Select the message `step` rows further. */
  select(step) {
    const rows = this.#rows.values();
    const at = rows.indexOf(this.#focused());
    const row = rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + step))];
    row?.element.focus({ preventScroll: true });
    row?.element.scrollIntoView({ block: "nearest" });
  }

  /** Return the selected row, or else the first. */
  selected() {
    return this.#focused() ?? this.#rows.values()[0];
  }

  /** Answer the selected message with its choice number `number`. */
  choose(number) {
    this.selected()?.choose(number);
  }

  done() {
    const row = this.selected();
    if (row && !row.mustOpen()) this.#end(row.entry);
  }

  write() {
    this.#compose.focus();
  }

  #focused() {
    return this.#rows.values().find((row) => row.element === document.activeElement?.closest(".message"));
  }

  #onName() {
    this.#name.draw();
    this.#compose.refreshFrom();
    this.#draw();
  }

  #draw() {
    const { items, open, loaded, problem, more } = this.#inbox;
    const selected = this.#rows.values().indexOf(this.#focused());
    const rows = this.#rows.of(items);
    arrange(
      this.#list,
      rows.map((row) => row.element),
    );
    foldTall(this.#list);
    for (const row of rows) this.#watcher.observe(row.element);
    if (selected >= 0 && !this.#focused()) rows[Math.min(selected, rows.length - 1)]?.element.focus({ preventScroll: true });
    write(this.#summary, loaded ? `${count(open.length, "open message")}${more ? ", and older ones" : ""}` : "");
    const nothing = loaded && !problem;
    this.#empty.hidden = items.length > 0 || nothing;
    write(this.#empty, problem || this.#me.unknown || (this.#me.loaded && !this.#me.name ? "This daemon knows no person yet." : ""));
    this.#drawNothing(nothing && !items.length ? this.#me.name : "");
  }

  /** Show that nothing waits for the person of this `name`; "" if something does. */
  #drawNothing(name) {
    if (name === this.#nothing.dataset.name) return;
    this.#nothing.dataset.name = name;
    this.#nothing.replaceChildren(...(name ? [emptyInbox(name)] : []));
  }

  #makeRow(item) {
    const row = new MessageRow(asEntry(item), {
      direction: "in",
      agent: null,
      actions: {
        reply: (entry) => this.#reply(entry),
        choose: (entry, choice) => this.#answer(entry, choice),
        done: (entry) => this.#end(entry),
        open: (entry) => this.#take(entry),
        isPerson: () => true,
        render: this.#app.api.render,
        toast: this.#app.toast,
      },
    });
    this.#visible.set(row.element, null);
    return row;
  }

  /** A message of one's own counts as seen once it was visible for a while; one to all people has to be opened. */
  #onVisible({ target, isIntersecting }) {
    clearTimeout(this.#visible.get(target));
    if (!isIntersecting || !document.hasFocus()) return;
    const row = this.#rows.values().find(({ element }) => element === target);
    if (!row || row.entry.to === SHARED) return;
    this.#visible.set(
      target,
      setTimeout(() => document.hasFocus() && target.isConnected && this.#inbox.see(row.entry.item), SEEN_MS),
    );
  }

  #watchAgain() {
    for (const { element } of this.#rows.values()) {
      this.#watcher.unobserve(element);
      this.#watcher.observe(element);
    }
  }

  #reply(entry) {
    // with the recipient: the daemon finds out by itself only whom an answer to one's own mail is for
    this.#compose.reply({ ...entry, to: null });
  }

  /** Answer with a choice; return what its row is to say. */
  async #answer(entry, choice) {
    const { from, to, id, thread } = entry;
    // one id for each message with choices: a second click, here or in a terminal, sends nothing more
    const answer = `answer:${to}:${id}`.slice(-LONGEST_ID);
    const message = { to: from, body: choice, id: answer, reply_to: id, from: this.#me.name, ...(thread && { thread }) };
    try {
      const sent = await this.#app.api.send(message);
      this.#app.toast(`${from} gets your answer: ${choice}${sent.note ? `. ${noted(sent)}` : ""}`);
    } catch (error) {
      if (error.code !== "key_reused") return failed(error);
      await this.#app.attempt(async () => {
        await this.#inbox.done([id]);
        return "This question has been answered already."; // with another choice, or by somebody else
      });
    }
    this.#inbox.refresh();
    return "";
  }

  #end({ id, from }) {
    this.#app.attempt(async () => {
      await this.#inbox.done([id]);
      return `The message of ${from} is done.`;
    });
  }

  #take({ id }) {
    this.#app.attempt(async () => {
      const others = await this.#inbox.take([id]);
      return others.length ? `${others[0]} has opened it already.` : "The message is yours.";
    });
  }

  #onSent(answer, message) {
    this.#inbox.refresh();
    return messageSent(answer, message, this.#app.agents);
  }
}

/** Return what to say of an answer that failed. */
function failed({ message, outcome }) {
  if (outcome !== "unknown") return `Not sent: ${message}`;
  return `${message} It is not known whether your answer has arrived. Choose again: it will not arrive twice.`;
}

/** Return an item of the inbox as an entry of the history, which the rows show. */
function asEntry(item) {
  const { opened_by: by, opened_at: at } = item;
  return {
    ...item,
    item,
    kind: "message",
    state: by ? "acked" : "queued",
    deliveries: 0,
    reader: by,
    settled_at: at,
    lease_until: null,
    notified: "none",
    closed: item.to === SHARED && !by,
  };
}
