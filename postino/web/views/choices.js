/* The choices that a message offers: buttons for the person who is asked, words for everybody else. */

import { h, set, write } from "../dom.js";
import { visible } from "../format.js";

export class Choices {
  element;
  #buttons;
  #note = h("p", { class: "choices-note", role: "status" });
  #choices;
  #choose;
  #sending = false;

  /** `choose(choice)` answers with one and returns what is to be said below, "" for nothing; without it they are words. */
  constructor(choices, from, choose) {
    this.#choices = choices;
    this.#choose = choose;
    this.#buttons = choices.map((choice, at) => h("button", { type: "button", class: "choice", dir: "auto", text: visible(choice), on: { click: () => this.choose(at + 1) } }));
    const list = h("ul", { class: "choices", "aria-label": `Choices of ${from}` }, this.#buttons.map((button) => h("li", {}, button)));
    this.element = choose ? h("div", {}, list, this.#note) : shown(choices);
  }

  /** Answer with the choice number `number`, unless an answer is on its way. The buttons keep the focus meanwhile. */
  async choose(number) {
    if (this.#sending || number > this.#choices.length) return;
    this.#draw(number);
    write(this.#note, "");
    write(this.#note, await this.#choose(this.#choices[number - 1]));
    this.#draw(0);
  }

  /** Show that the choice number `sent` is on its way, 0 for none. */
  #draw(sent) {
    this.#sending = sent > 0;
    this.#buttons.forEach((button, at) => {
      set(button, "aria-disabled", this.#sending && "true");
      button.classList.toggle("choice-sent", at + 1 === sent);
    });
  }
}

function shown(choices) {
  const words = choices.flatMap((choice, at) => [at > 0 && " · ", h("bdi", { text: visible(choice) })]);
  return h("p", { class: "choices-shown" }, "Choices: ", words);
}
