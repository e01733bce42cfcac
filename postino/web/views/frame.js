/* What stands round every view: the tabs, the state of the connection, notifications, help, short sayings. */

import { h, set, write } from "../dom.js";
import { icon } from "../icons.js";
import * as notify from "../notify.js";

const TABS = [
  ["mail", "#/", "mail", "Mail"],
  ["broadcasts", "#/broadcasts", "horn", "Broadcasts"],
  ["activity", "#/activity", "pulse", "Activity"],
];
const STATES = { connecting: "Connecting", live: "Live", waiting: "Offline, trying again" };
const SAYING_MS = 6_000;

export class Frame {
  #tabs = new Map();
  #link = h("button", { type: "button", class: "link-state", title: "The state of the live connection" });
  #words = h("span", { role: "status" });
  #bell = h(
    "button",
    { type: "button", class: "tool", on: { click: () => this.#toggleBell() } },
    icon("bell"),
    h("span", { class: "unseen", text: "Desktop notifications" }),
  );
  #warning = h("p", { class: "banner", role: "status", hidden: true });
  #name = "";
  #unread = 0;

  constructor({ dialogs, retry }) {
    for (const [view, href, picture, label] of TABS) {
      const tab = h("a", { class: "tab", href }, icon(picture), h("span", { text: label }));
      this.#tabs.set(view, tab);
      document.getElementById("views").append(tab);
    }
    this.#link.append(h("span", { class: "lamp", "aria-hidden": "true" }), this.#words);
    this.#link.addEventListener("click", retry);
    const help = h(
      "button",
      { type: "button", class: "tool", "aria-keyshortcuts": "?", on: { click: () => dialogs.help() } },
      icon("help"),
      h("span", { class: "unseen", text: "Help" }),
    );
    document.getElementById("top-end").append(this.#link, this.#bell, help);
    document.getElementById("main").before(this.#warning);
    document.getElementById("skip").addEventListener("click", skip);
    this.#drawBell();
  }

  /** Show `element` as the view called `view`; `name` stands in the title. */
  show(view, element, name) {
    for (const [each, tab] of this.#tabs) set(tab, "aria-current", each === view && "page");
    const main = document.getElementById("main");
    if (main.firstElementChild !== element) main.replaceChildren(element);
    this.#name = name;
    this.#drawTitle();
  }

  /** Say how the connection is. */
  connection(state) {
    this.#link.dataset.state = state;
    document.documentElement.dataset.connection = state;
    write(this.#words, STATES[state]);
  }

  unread(number) {
    this.#unread = number;
    this.#drawTitle();
  }

  /** Keep a warning on top; "" for none. */
  warn(words) {
    this.#warning.hidden = !words;
    write(this.#warning, words);
  }

  /** Say something that soon goes away by itself. */
  say(words, kind = "good") {
    const saying = h("p", { class: "saying", text: words, data: { kind } });
    document.getElementById("toasts").replaceChildren(saying);
    setTimeout(() => saying.remove(), SAYING_MS);
  }

  #drawTitle() {
    document.title = `${this.#unread ? `(${this.#unread}) ` : ""}${this.#name ? `${this.#name} · ` : ""}postino`;
  }

  async #toggleBell() {
    this.say(await notify.toggle());
    this.#drawBell();
  }

  #drawBell() {
    set(this.#bell, "aria-pressed", String(notify.wanted()));
  }
}

/** The link to the content must not become the place one is at. */
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}
