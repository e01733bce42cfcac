/* What surrounds every view: tabs, connection state, notifications, help, a warning banner and toasts. */

import { h, set, visuallyHidden, write } from "../dom.js";
import { grouped } from "../format.js";
import { icon } from "../icons.js";
import * as notifications from "../notifications.js";
import { mailHash } from "../router.js";

const TABS = [
  ["inbox", "#/inbox", "inbox", "Inbox"],
  ["mail", "#/", "mail", "Messages"],
  ["threads", "#/threads", "thread", "Threads"],
  ["broadcasts", "#/broadcasts", "megaphone", "Broadcasts"],
  ["activity", "#/activity", "pulse", "Activity"],
];
/** The numbers in the top bar: what stands beside one and beside several, what it counts, and where that is shown. */
const VITALS = {
  online: ["online", "online", "Agents and people that are connected now", "#/"],
  unread: ["unread", "unread", "Messages that nobody has begun to read", mailHash(null, { q: "is:waiting" })],
  deaf: ["offline with mail", "offline with mail", "Agents that have mail and are not connected: it waits until they are", "#/"],
  stuck: ["stuck", "stuck", "Agents that are not at work, and whose oldest message waits for more than ten minutes", "#/"],
  dead: ["dead letter", "dead letters", "Messages that were given up: nobody confirmed or read them in time", mailHash(null, { q: "is:dead" })],
};
const STATES = { connecting: "Connecting", live: "Live", away: "Valkey is away", waiting: "Offline, trying again" };
const TOAST_MS = 6_000;

export class Frame {
  #tabs = new Map();
  #connection = h("button", { type: "button", class: "connection", title: "The state of the live connection" });
  #connectionText = h("span", { role: "status" });
  #bell = h(
    "button",
    { type: "button", class: "tool", on: { click: () => this.#toggleNotifications() } },
    icon("bell"),
    h("span", { class: "visually-hidden", text: "Desktop notifications" }),
  );
  #warning = h("p", { class: "banner", role: "status", hidden: true });
  #vitals = h("ul", { class: "vitals", "aria-label": "At a glance" });
  #name = "";
  #open = 0;
  #openCount = h("span", { class: "tab-count", hidden: true });

  /** `retry()` is called when the user clicks the connection state; `strip` is shown above every view. */
  constructor({ dialogs, retry, strip }) {
    for (const [view, href, picture, label] of TABS) {
      const tab = h("a", { class: "tab", href }, icon(picture), h("span", { text: label }), view === "inbox" && this.#openCount);
      this.#tabs.set(view, tab);
      document.getElementById("views").append(tab);
    }
    this.#connection.append(h("span", { class: "connection-dot", "aria-hidden": "true" }), this.#connectionText);
    this.#connection.addEventListener("click", retry);
    const help = h(
      "button",
      { type: "button", class: "tool", "aria-keyshortcuts": "?", on: { click: () => dialogs.help() } },
      icon("help"),
      h("span", { class: "visually-hidden", text: "Help" }),
    );
    document.getElementById("top-end").append(this.#vitals, this.#connection, this.#bell, help);
    document.getElementById("main").before(h("div", { class: "notices" }, this.#warning, strip));
    document.getElementById("skip").addEventListener("click", skip);
    this.#drawBell();
  }

  /** Show `element` as the view called `view`; `name` is shown in the title. */
  show(view, element, name) {
    for (const [each, tab] of this.#tabs) set(tab, "aria-current", each === view && "page");
    const main = document.getElementById("main");
    if (main.firstElementChild !== element) main.replaceChildren(element);
    this.#name = name;
    this.#drawTitle();
  }

  /** Show the state of the connection: "connecting", "live", "away" (Valkey is) or "waiting". */
  setConnection(state) {
    this.#connection.dataset.state = state;
    document.documentElement.dataset.connection = state;
    write(this.#connectionText, STATES[state]);
  }

  /** Show how many messages wait for the user, in the tab and in the title. */
  setOpen(number) {
    this.#open = number;
    this.#openCount.hidden = number === 0;
    this.#openCount.replaceChildren(number > 99 ? "99+" : String(number), visuallyHidden(" open"));
    this.#drawTitle();
  }

  /** Show the numbers that matter, those that are not zero. */
  setVitals(numbers) {
    const shown = Object.entries(numbers).filter(([name, number]) => number || name === "online" || name === "unread");
    this.#vitals.replaceChildren(...shown.map(([name, number]) => vital(name, number)));
  }

  /** Show a warning above the view; "" removes it. */
  warn(text) {
    this.#warning.hidden = !text;
    write(this.#warning, text);
  }

  /** Show a text for a few seconds. */
  toast(text, kind = "good") {
    const shown = h("p", { class: "toast", text, data: { kind } });
    document.getElementById("toasts").replaceChildren(shown);
    setTimeout(() => shown.remove(), TOAST_MS);
  }

  #drawTitle() {
    document.title = `${this.#open ? `(${this.#open}) ` : ""}${this.#name ? `${this.#name} · ` : ""}postino`;
  }

  async #toggleNotifications() {
    this.toast(await notifications.toggle());
    this.#drawBell();
  }

  #drawBell() {
    set(this.#bell, "aria-pressed", String(notifications.enabled()));
  }
}

function vital(name, number) {
  const [one, several, title, href] = VITALS[name];
  const words = ` ${number === 1 ? one : several}`;
  return h("li", {}, h("a", { class: `vital vital-${name}`, href, title }, h("strong", { text: grouped(number) }), words));
}

/** Move the focus without changing the hash, which names the view. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
