/* The activity: events as sentences, newest first, with a filter, a pause, counts and a rate chart. */

import { h, set, time, write } from "../dom.js";
import { count, full, grouped, seconds } from "../format.js";
import { icon } from "../icons.js";
import { KEPT } from "../state/event_log.js";
import { oncePerFrame } from "../throttle.js";
import { describeEvent, groupOf } from "./event_text.js";
import { RateChart } from "./rate_chart.js";
import { Waits } from "./waits.js";

const STEP = 200; // rows shown at first, and added by the button
const GROUPS = [
  ["mail", "Mail"],
  ["trouble", "Dead, expired"],
  ["broadcasts", "Broadcasts"],
  ["agents", "Agents"],
];
const CHART_MS = 1_000;
const RECENT = "in the last ten minutes";
const UNKNOWN = "–"; // as while Valkey is away when the page is loaded
const TITLES = { online: "now", unread: "now", sent: RECENT, acknowledged: RECENT, dead: RECENT };

export class ActivityView {
  element;
  #log;
  #agents;
  #waits;
  #chart = new RateChart();
  #counts = new Map(Object.keys(TITLES).map((name) => [name, h("dd", { text: UNKNOWN })]));
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
    class: "action pause",
    "aria-keyshortcuts": "p",
    on: { click: () => this.togglePause() },
  });
  #pauseText = h("p", { class: "paused" });
  #list = h("ol", { class: "events", reversed: true });
  #more = h("button", { type: "button", class: "more", on: { click: () => this.#showMore() } });
  #empty = h("p", {
    class: "empty",
    text: "No events in the last ten minutes. New ones appear here at once.",
  });
  #shown = STEP;
  #newestShown = null;
  #paused = false;
  #missed = 0; // events since the pause
  #drawSoon = oncePerFrame(() => (this.#paused ? this.#drawPause() : this.#prepend()));

  constructor({ api, log, agents }) {
    this.#waits = new Waits(api);
    this.#log = log;
    this.#agents = agents;
    this.element = h(
      "section",
      { class: "activity", "aria-label": "Activity" },
      this.#top(),
      this.#tools(),
      this.#pauseText,
      h(
        "div",
        { class: "event-scroll", tabindex: "0", role: "region", "aria-label": "Events" },
        this.#list,
        this.#more,
        this.#empty,
      ),
    );
    this.#filter.addEventListener("input", () => this.#redraw());
    log.added.on((event) => this.#onAdded(event));
    log.started.on(() => this.element.isConnected && this.show());
    agents.changed.on(() => this.#drawCounts());
    setInterval(() => this.#drawRates(), CHART_MS);
    this.#drawPause();
  }

  show() {
    this.#redraw();
    this.#drawRates();
    this.#drawCounts();
    this.#waits.refresh();
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  /** Stop adding events to the list, or go on and add those that were missed. */
  togglePause() {
    this.#paused = !this.#paused;
    this.#missed = 0;
    this.#drawPause();
    if (!this.#paused) this.#redraw();
  }

  #top() {
    const counts = [...this.#counts].map(([name, value]) =>
      h("div", { class: `count count-${name}` }, h("dt", { text: name, title: TITLES[name] }), value),
    );
    return h(
      "header",
      { class: "activity-top" },
      h("h2", { class: "visually-hidden", text: "Activity" }),
      h("dl", { class: "counts" }, counts),
      this.#chart.element,
      this.#waits.element,
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
      h("fieldset", { class: "toggles" }, h("legend", { class: "visually-hidden", text: "Kinds of events" }), boxes),
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

  #onAdded(event) {
    if (event.type.startsWith("msg_")) this.#waits.refresh();
    if (this.#paused && this.#matches(event)) this.#missed++;
    this.#drawSoon();
  }

  #matches(event) {
    if (!this.#groups.has(groupOf(event.type))) return false;
    const wanted = this.#filter.value.trim().toLowerCase();
    return !wanted || Object.values(event).some((value) => String(value).toLowerCase().includes(wanted));
  }

  /** Return the matching events after `until`, newest first, at most as many as are shown. */
  #newest(until) {
    const found = [];
    const { events } = this.#log;
    for (let at = events.length - 1; at >= 0 && found.length < this.#shown && events[at] !== until; at--) {
      if (this.#matches(events[at])) found.push(events[at]);
    }
    return found;
  }

  #prepend() {
    if (!this.element.isConnected) return; // `show` draws it
    this.#list.prepend(...this.#newest(this.#newestShown).map(row));
    while (this.#list.childElementCount > this.#shown) this.#list.lastElementChild.remove();
    this.#drawEnd();
  }

  #redraw() {
    this.#list.replaceChildren(...this.#newest(null).map(row));
    this.#drawEnd();
  }

  #drawEnd() {
    this.#newestShown = this.#log.events.at(-1) ?? null;
    const rows = this.#list.childElementCount;
    const total = this.#log.events.length;
    this.#more.hidden = rows < this.#shown || rows >= total;
    write(this.#more, `Show ${STEP} more of ${grouped(Math.min(total, KEPT))}`);
    this.#empty.hidden = rows > 0 || !this.#log.loaded;
  }

  #drawPause() {
    set(this.#pause, "aria-pressed", String(this.#paused));
    this.#pause.replaceChildren(icon(this.#paused ? "play" : "pause"), this.#paused ? "Resume" : "Pause");
    const since = this.#missed ? ` · ${count(this.#missed, "event")} since` : "";
    write(this.#pauseText, this.#paused ? `Paused${since}` : "");
  }

  #drawCounts() {
    if (!this.#agents.loaded) return;
    write(this.#counts.get("online"), grouped(this.#agents.online));
    write(this.#counts.get("unread"), grouped(this.#agents.unread));
  }

  #drawRates() {
    if (!this.element.isConnected || !this.#log.loaded) return;
    const rows = this.#log.rates(Date.now());
    const sum = (kind) => grouped(rows.reduce((total, each) => total + each[kind], 0));
    this.#chart.draw(rows);
    write(this.#counts.get("sent"), sum("sent"));
    write(this.#counts.get("acknowledged"), sum("acked"));
    write(this.#counts.get("dead"), sum("dead"));
  }
}

function row(event) {
  const { group, icon: picture, text } = describeEvent(event);
  return h(
    "li",
    { class: `event event-${group}`, data: { eventId: event.at, type: event.type } },
    time(event.timestamp, seconds(event.timestamp), full(event.timestamp)),
    icon(picture),
    h("span", { class: "event-text" }, text),
  );
}
