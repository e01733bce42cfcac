/* What surrounds every view: tabs, connection state, notifications, help, a warning banner and toasts. */

import { h, set, visuallyHidden, write } from "../dom.js";
import { grouped } from "../format.js";
import { icon } from "../icons.js";
import * as notifications from "../notifications.js";

const TABS = [
  ["inbox", "#/inbox", "inbox", "Inbox"],
  ["mail", "#/", "mail", "Messages"],
  ["threads", "#/threads", "thread", "Threads"],
  ["broadcasts", "#/broadcasts", "megaphone", "Broadcasts"],
  ["activity", "#/activity", "pulse", "Activity"],
];
/** What the numbers in the top bar count. */
const VITALS = {
  online: "agents that are online",
  unread: "messages that a read could return now",
  deaf: "agents that have mail and no session that could read it",
  stuck: "agents that are not busy and whose oldest message waits for more than ten minutes",
  dead: "messages that were given up",
};
const STATES = { connecting: "Connecting", live: "Live", waiting: "Offline, trying again" };
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

  /** Show the state of the connection: "connecting", "live" or "waiting". */
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
    this.#vitals.replaceChildren(
      ...shown.map(([name, number]) =>
        h("li", { class: `vital vital-${name}`, title: VITALS[name] }, h("strong", { text: grouped(number) }), ` ${name}`),
      ),
    );
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

/** Move the focus without changing the hash, which names the view. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
