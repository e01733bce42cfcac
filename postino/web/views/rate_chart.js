/* The rate chart: messages sent above the axis, acknowledged and dead ones below it, a column for each ten seconds. */

import { h, svg } from "../dom.js";
import { count } from "../format.js";

const WIDTH = 6; // of a column with its gap, in units of the drawing
const BAR = 4;
const HEIGHT = 40; // of each half
const FLOOR = 4; // messages at full height, at least: a single message must not look like a peak

export class RateChart {
  element;
  #drawing = svg("svg", { class: "chart-drawing", preserveAspectRatio: "none", role: "img" });
  #peak = h("span", { class: "chart-peak" });

  constructor() {
    this.element = h(
      "figure",
      { class: "chart" },
      h(
        "figcaption",
        {},
        h("span", { class: "key key-in", text: "sent" }),
        h("span", { class: "key key-out", text: "acknowledged" }),
        h("span", { class: "key key-dead", text: "dead" }),
        this.#peak,
      ),
      this.#drawing,
      h(
        "p",
        { class: "chart-scale", "aria-hidden": "true" },
        h("span", { text: "10 min ago" }),
        h("span", { text: "now" }),
      ),
    );
  }

  /** Draw rows of `{sent, acked, dead}`, oldest first. */
  draw(rows) {
    const top = Math.max(FLOOR, ...rows.map((row) => Math.max(row.sent, row.acked + row.dead)));
    const height = (number) => (number / top) * HEIGHT;
    const bars = rows.flatMap((row, at) => [
      bar("bar-in", at, HEIGHT - height(row.sent), height(row.sent)),
      bar("bar-out", at, HEIGHT + 1, height(row.acked)),
      bar("bar-dead", at, HEIGHT + 1 + height(row.acked), height(row.dead)),
    ]);
    const width = rows.length * WIDTH;
    this.#drawing.setAttribute("viewBox", `0 0 ${width} ${2 * HEIGHT + 1}`);
    this.#drawing.setAttribute("aria-label", summary(rows));
    this.#drawing.replaceChildren(
      svg("rect", { class: "axis", x: 0, y: HEIGHT, width, height: 1 }),
      ...bars.filter(Boolean),
    );
    this.#peak.textContent = `top ${top} per 10 s`;
  }
}

function bar(kind, at, y, height) {
  return height > 0 && svg("rect", { class: kind, x: at * WIDTH + 1, y, width: BAR, height: Math.max(1, height) });
}

function summary(rows) {
  const sum = (kind) => rows.reduce((total, row) => total + row[kind], 0);
  const settled = `${sum("acked")} acknowledged, ${sum("dead")} dead`;
  return `The last ten minutes: ${count(sum("sent"), "message")} sent, ${settled}`;
}
