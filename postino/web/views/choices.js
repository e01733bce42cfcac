/* The choices that a message offers: buttons for the person who is asked, words for everybody else. */

import { h } from "../dom.js";
import { visible } from "../format.js";

export class Choices {
  element;

  /** `choose(choice)` answers with one; without it they are only shown. */
  constructor(choices, from, choose) {
    this.element = h(
      "ul",
      { class: "choices", "aria-label": `Choices of ${from}` },
      choices.map((choice) => h("li", {}, choose ? button(choice, choose) : shown(choice))),
    );
  }
}

function button(choice, choose) {
  return h("button", { type: "button", class: "choice", dir: "auto", text: visible(choice), on: { click: () => choose(choice) } });
}

const shown = (choice) => h("span", { class: "choice choice-shown", dir: "auto", text: visible(choice) });
