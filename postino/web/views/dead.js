/* The dead letters of one agent: a bar that says how many, the letters on request, requeue and drop. */

import { h, time, write } from "../dom.js";
import { count, firstLine, full, moment } from "../format.js";
import { icon } from "../icons.js";

const SHOWN = 50;

export class DeadBar {
  element = h("section", { class: "dead-bar", "aria-label": "Dead letters", hidden: true });
  #app;
  #agent = null;
  #words = h("p", { class: "dead-words" });
  #list = h("ul", { class: "dead-list", hidden: true });
  #toggle = h("button", {
    type: "button",
    class: "act",
    "aria-expanded": "false",
    on: { click: () => this.#open(this.#list.hidden) },
  });

  constructor(app) {
    this.#app = app;
    this.element.append(
      h(
        "div",
        { class: "dead-head" },
        icon("skull"),
        this.#words,
        this.#toggle,
        button("again", "Requeue all", () => this.#requeue(null)),
        button("sweep", "Drop all", () => this.#drop()),
      ),
      this.#list,
    );
    this.#open(false);
  }

  /** Show how many there are for `agent` (null: hide). */
  show(agent) {
    if (agent?.name !== this.#agent) this.#open(false);
    this.#agent = agent?.name ?? null;
    const number = agent?.dead ?? 0;
    this.element.hidden = number === 0;
    write(this.#words, `${count(number, "dead letter")}: given out too often, never acknowledged`);
    if (number && !this.#list.hidden) this.#fill();
  }

  /** Put letters (null: all) back into the inbox. */
  #requeue(ids) {
    return this.#app.attempt(async () => {
      const { requeued } = await this.#app.api.requeue(this.#agent, ids);
      return `${count(requeued.length, "message")} back in the inbox of ${this.#agent}.`;
    });
  }

  async #drop() {
    const agent = this.#agent;
    const sure = await this.#app.dialogs.confirm({
      title: "Drop the dead letters?",
      words: `All dead letters of ${agent} are dropped for good. Their senders are not told.`,
      action: "Drop them",
    });
    if (sure) await this.#app.attempt(() => this.#dropAll(agent));
  }

  async #dropAll(agent) {
    const { cleared } = await this.#app.api.clearDead(agent);
    return `${count(cleared, "dead letter")} dropped.`;
  }

  #open(open) {
    this.#list.hidden = !open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    this.#toggle.replaceChildren(icon("eye"), open ? "Hide" : "Show");
    if (open) this.#fill();
  }

  async #fill() {
    const agent = this.#agent;
    try {
      const { items, total } = await this.#app.api.dead(agent, SHOWN, 0);
      if (agent !== this.#agent) return; // another one is shown by now
      const rest = total > items.length ? [h("li", { class: "dim", text: `and ${total - items.length} more` })] : [];
      this.#list.replaceChildren(...items.map((letter) => this.#row(letter)), ...rest);
    } catch (refusal) {
      this.#list.replaceChildren(h("li", { text: refusal.message }));
    }
  }

  #row(letter) {
    return h(
      "li",
      { data: { deadId: letter.id } },
      h(
        "p",
        {},
        h("strong", {}, h("bdi", { text: letter.from })),
        " · ",
        time(letter.died_at, moment(letter.died_at), full(letter.died_at)),
        ` · given out ${letter.delivery} times`,
      ),
      h("p", { class: "dead-body", dir: "auto", text: firstLine(letter.body, 200) }),
      button("again", "Requeue", () => this.#requeue([letter.id])),
    );
  }
}

function button(picture, label, click) {
  return h("button", { type: "button", class: "act", on: { click } }, icon(picture), label);
}
