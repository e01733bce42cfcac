/* The dead letters of one agent: a bar with their number, the letters on request, requeue and clear. */

import { h, time, write } from "../dom.js";
import { count, firstLine, full, moment } from "../format.js";
import { icon } from "../icons.js";
import { button } from "./button.js";
import { alteredNote } from "./message_state.js";

const SHOWN = 50;

export class DeadLetters {
  element = h("section", { class: "dead-bar", "aria-label": "Dead letters", hidden: true });
  #app;
  #agent = null;
  #summary = h("p", { class: "dead-summary" });
  #list = h("ul", { class: "dead-list", hidden: true });
  #toggle = h("button", {
    type: "button",
    class: "action",
    "aria-expanded": "false",
    on: { click: () => this.#setOpen(this.#list.hidden) },
  });

  constructor(app) {
    this.#app = app;
    this.element.append(
      h(
        "div",
        { class: "dead-head" },
        icon("skull"),
        this.#summary,
        this.#toggle,
        button("repeat", "Requeue all", () => this.#requeue(null)),
        button("trash", "Clear all", () => this.#askClear()),
      ),
      this.#list,
    );
    this.#setOpen(false);
  }

  /** Show the number of dead letters of `agent`, a record of the REST API; null hides the bar. */
  show(agent) {
    if (agent?.name !== this.#agent) this.#setOpen(false);
    this.#agent = agent?.name ?? null;
    const number = agent?.dead ?? 0;
    this.element.hidden = number === 0;
    write(this.#summary, `${count(number, "dead letter")}: delivered too often, never acknowledged`);
    if (number && !this.#list.hidden) this.#fill();
  }

  /** Put dead letters (null: all) back into the inbox. */
  #requeue(ids) {
    return this.#app.attempt(() => requeue(this.#app.api, this.#agent, ids));
  }

  #askClear() {
    const agent = this.#agent;
    const question = {
      title: "Clear the dead letters?",
      text: `All dead letters of ${agent} will be deleted. Their senders are not notified.`,
      action: "Clear dead letters",
    };
    this.#app.confirmed(question, async () => {
      const { cleared } = await this.#app.api.clearDead(agent);
      return `${count(cleared, "dead letter")} cleared.`;
    });
  }

  #setOpen(open) {
    this.#list.hidden = !open;
    this.#toggle.setAttribute("aria-expanded", String(open));
    this.#toggle.replaceChildren(icon("eye"), open ? "Hide" : "Show");
    if (open) this.#fill();
  }

  async #fill() {
    const agent = this.#agent;
    try {
      const { items, total } = await this.#app.api.dead(agent, SHOWN, 0);
      if (agent !== this.#agent) return; // another agent is shown by now
      const more = total > items.length ? [h("li", { class: "dim", text: `and ${total - items.length} more` })] : [];
      this.#list.replaceChildren(...items.map((letter) => this.#row(letter)), ...more);
    } catch (error) {
      this.#list.replaceChildren(h("li", { text: error.message }));
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
        ` · delivered ${letter.delivery} times`,
      ),
      alteredNote(letter),
      h("p", { class: "dead-body", dir: "auto", text: firstLine(letter.body, 200) }),
      button("repeat", "Requeue", () => this.#requeue([letter.id])),
    );
  }
}

/** Put dead letters (null: all) of `agent` back into its inbox; return what is to be said. */
export async function requeue(api, agent, ids) {
  try {
    const { requeued } = await api.requeue(agent, ids);
    if (requeued.length) return `${count(requeued.length, "message")} moved back to the inbox of ${agent}.`;
  } catch (error) {
    if (error.code !== "unknown_message") throw error;
  }
  return "It was moved back before, or cleared."; // by a second click, on another page or in a terminal
}
