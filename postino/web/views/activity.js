/* The activity: what happens, newest first, as sentences; filtered, paused, counted, and drawn as a rate. */

import { Chart } from "../chart.js";
import { h, set, time, write } from "../dom.js";
import { count, full, grouped, seconds } from "../format.js";
import { icon } from "../icons.js";
import { perFrame } from "../pace.js";
import { KEPT } from "../state/log.js";
import { groupOf, sentence } from "./sentences.js";

const STEP = 200; // rows shown at first and added by the button
const GROUPS = [
  ["mail", "Mail"],
  ["trouble", "Dead, expired"],
  ["broadcasts", "Broadcasts"],
  ["agents", "Agents"],
];
const CHART_MS = 1_000;
const RECENT = "in the last ten minutes";
const TITLES = { online: "now", unread: "now", sent: RECENT, acknowledged: RECENT, dead: RECENT };

export class ActivityView {
  element;
  #log;
  #roster;
  #chart = new Chart();
  #counts = new Map(["online", "unread", "sent", "acknowledged", "dead"].map((name) => [name, h("dd", { text: "0" })]));
  #filter = h("input", {
    type: "search",
    placeholder: "Filter events",
    "aria-label": "Filter events",
    "aria-keyshortcuts": "/",
    spellcheck: "false",
  });
  #groups = new Set(GROUPS.map(([key]) => key));
  #pause = h("button", {
    type: "button",
    class: "act pause",
    "aria-keyshortcuts": "p",
    on: { click: () => this.togglePause() },
  });
  #waiting = h("p", { class: "paused" });
  #list = h("ol", { class: "events", reversed: true });
  #rest = h("button", { type: "button", class: "rest", on: { click: () => this.#showMore() } });
  #empty = h("p", {
    class: "empty",
    text: "Nothing has happened in the last minutes. What does will stand here at once.",
  });
  #shown = STEP;
  #drawn = null; // the newest event that stands in the list
  #paused = false;
  #missed = 0;
  #next = perFrame(() => (this.#paused ? this.#drawPause() : this.#prepend()));

  constructor({ log, roster }) {
    this.#log = log;
    this.#roster = roster;
    this.element = h(
      "section",
      { class: "activity", "aria-label": "Activity" },
      this.#top(),
      this.#tools(),
      this.#waiting,
      h(
        "div",
        { class: "event-scroll", tabindex: "0", role: "region", "aria-label": "Events" },
        this.#list,
        this.#rest,
        this.#empty,
      ),
    );
    this.#filter.addEventListener("input", () => this.#redraw());
    log.added.on((event) => this.#added(event));
    roster.changed.on(() => this.#drawCounts());
    setInterval(() => this.#drawRates(), CHART_MS);
    this.#drawPause();
  }

  show() {
    this.#redraw();
    this.#drawRates();
    this.#drawCounts();
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  /** Hold the list still, or let it go on with what has happened meanwhile. */
  togglePause() {
    this.#paused = !this.#paused;
    this.#missed = 0;
    this.#drawPause();
    if (!this.#paused) this.#redraw();
  }

  #top() {
    const numbers = [...this.#counts].map(([name, value]) =>
      h("div", { class: `count count-${name}` }, h("dt", { text: name, title: TITLES[name] }), value),
    );
    return h(
      "header",
      { class: "activity-top" },
      h("h2", { class: "unseen", text: "Activity" }),
      h("dl", { class: "counts" }, numbers),
      this.#chart.element,
    );
  }

  #tools() {
    const boxes = GROUPS.map(([key, label]) =>
      h(
        "label",
        { class: "toggle" },
        h("input", {
          type: "checkbox",
          checked: true,
          on: { change: (event) => this.#toggleGroup(key, event.target.checked) },
        }),
        h("span", { text: label }),
      ),
    );
    return h(
      "div",
      { class: "activity-tools" },
      h("div", { class: "filter-box" }, icon("search"), this.#filter, h("kbd", { "aria-hidden": "true", text: "/" })),
      h("fieldset", { class: "toggles" }, h("legend", { class: "unseen", text: "Kinds of events" }), boxes),
      this.#pause,
    );
  }

  #toggleGroup(key, on) {
    if (on) this.#groups.add(key);
    else this.#groups.delete(key);
    this.#redraw();
  }

  #showMore() {
    this.#shown += STEP;
    this.#redraw();
  }

  #added(event) {
    if (this.#paused && this.#fits(event)) this.#missed++;
    this.#next();
  }

  #fits(event) {
    if (!this.#groups.has(groupOf(event.type))) return false;
    const wanted = this.#filter.value.trim().toLowerCase();
    return !wanted || Object.values(event).some((value) => String(value).toLowerCase().includes(wanted));
  }

  /** The newest events that fit, newest first, back to `until`. */
  #newest(until) {
    const found = [];
    const { events } = this.#log;
    for (let at = events.length - 1; at >= 0 && found.length < this.#shown && events[at] !== until; at--) {
      if (this.#fits(events[at])) found.push(events[at]);
    }
    return found;
  }

  #prepend() {
    if (!this.element.isConnected) return; // drawn when shown
    this.#list.prepend(...this.#newest(this.#drawn).map(row));
    while (this.#list.childElementCount > this.#shown) this.#list.lastElementChild.remove();
    this.#finish();
  }

  #redraw() {
    this.#list.replaceChildren(...this.#newest(null).map(row));
    this.#finish();
  }

  #finish() {
    this.#drawn = this.#log.events.at(-1) ?? null;
    const rows = this.#list.childElementCount;
    const total = this.#log.events.length;
    this.#rest.hidden = rows < this.#shown || rows >= total;
    write(this.#rest, `Show ${STEP} more of ${grouped(Math.min(total, KEPT))} kept here`);
    this.#empty.hidden = rows > 0;
  }

  #drawPause() {
    set(this.#pause, "aria-pressed", String(this.#paused));
    this.#pause.replaceChildren(icon(this.#paused ? "play" : "pause"), this.#paused ? "Go on" : "Pause");
    const since = this.#missed ? ` · ${count(this.#missed, "event")} since` : "";
    write(this.#waiting, this.#paused ? `Paused${since}` : "");
  }

  #drawCounts() {
    write(this.#counts.get("online"), grouped(this.#roster.online));
    write(this.#counts.get("unread"), grouped(this.#roster.unread));
  }

  #drawRates() {
    if (!this.element.isConnected) return;
    const rows = this.#log.rates(Date.now());
    const sum = (kind) => grouped(rows.reduce((total, each) => total + each[kind], 0));
    this.#chart.draw(rows);
    write(this.#counts.get("sent"), sum("sent"));
    write(this.#counts.get("acknowledged"), sum("acked"));
    write(this.#counts.get("dead"), sum("dead"));
  }
}

function row(event) {
  const said = sentence(event);
  return h(
    "li",
    { class: `event event-${said.group}`, data: { eventId: event.at, type: event.type } },
    time(event.timestamp, seconds(event.timestamp), full(event.timestamp)),
    icon(said.icon),
    h("span", { class: "event-words" }, said.words),
  );
}
