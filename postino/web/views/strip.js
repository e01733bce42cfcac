/* The strip under the top bar: what needs a person's attention, each a link. Empty, it takes no room. */

import { h } from "../dom.js";
import { count, grouped, lasting, visible } from "../format.js";
import { icon } from "../icons.js";
import { mailHash } from "../router.js";
import { attention } from "../state/attention.js";

const MOST = 5; // chips; the rest is a number
const REDRAW_MS = 15_000;

export class Strip {
  element = h("section", { class: "strip", "aria-label": "Needs attention", hidden: true });
  inboxMost = 0; // messages that an inbox holds
  #mine = null; // what waits for the user
  #notify = null; // how people are notified while no page is open
  #agents;
  #drawn = "";

  constructor(agents) {
    this.#agents = agents;
    agents.changed.on(() => this.draw());
    setInterval(() => this.draw(), REDRAW_MS);
  }

  /** The names that need attention, in the order of the chips. */
  get names() {
    return [...new Set(attention(this.#agents, this.inboxMost).map(({ name }) => name))];
  }

  /** `open` messages wait for the user, the oldest `since`. */
  setInbox(open, since) {
    this.#mine = open ? { kind: "you", name: null, number: open, since } : null;
    this.draw();
  }

  set notify(report) {
    this.#notify = report;
    this.draw();
  }

  draw() {
    const found = [this.#mine, ...attention(this.#agents, this.inboxMost, this.#notify)].filter(Boolean);
    const drawn = JSON.stringify([found, Math.floor(Date.now() / REDRAW_MS)]);
    if (drawn === this.#drawn) return;
    this.#drawn = drawn;
    this.element.hidden = !found.length;
    const more = found.length - MOST;
    const chips = found.slice(0, MOST).map(chip);
    const rest = more > 0 && h("li", { class: "strip-more", text: `+${more}` });
    this.element.replaceChildren(icon("warning"), h("ul", { class: "strip-chips" }, chips, rest));
  }
}

const TEXTS = {
  you: ({ number, since }) => [
    [`${number} for you`, lasting(since) && `oldest ${lasting(since)}`].filter(Boolean).join(" · "),
    `${count(number, "message")} in your inbox, the oldest for ${lasting(since) || "less than a minute"}`,
  ],
  dead: ({ name, number }) => [
    `${name}: ${count(number, "dead letter")}`,
    `${count(number, "message")} to ${name} given up: nobody confirmed or read them in time`,
  ],
  stuck: ({ name, number, since }) => [
    `${name}: ${number} unread · oldest ${lasting(since)}`,
    `${count(number, "message")} for ${name}, the oldest for ${lasting(since)}, and it is not at work`,
  ],
  notify: ({ service, error, since }) => [
    `${service}: notification failing`,
    `No notification was sent for ${lasting(since)}: ${error}. \`postino doctor --notify\` tries it.`,
  ],
  full: ({ name, number, most }) => [
    `${name}: inbox ${Math.floor((100 * number) / most)} % full`,
    `${name} has ${grouped(number)} of at most ${grouped(most)} messages: when it is full, senders are refused`,
  ],
};

function chip(found) {
  const [text, title] = TEXTS[found.kind](found).map(visible);
  return h("li", {}, h("a", { class: `strip-chip strip-${found.kind}`, href: found.kind === "you" ? "#/inbox" : mailHash(found.name), title, text }));
}
