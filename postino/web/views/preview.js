/* What a text looks like when it is rendered, while it is being written. */

import { h, set } from "../dom.js";
import { icon } from "../icons.js";
import { Throttle } from "../throttle.js";
import { drawWritten } from "./body.js";
import { drawTree } from "./tree.js";

const PAUSE_MS = 500; // between two requests

export class Preview {
  element = h("div", { class: "body preview-pane", role: "region", "aria-label": "Preview", tabindex: "0", hidden: true });
  button = h(
    "button",
    { type: "button", class: "tool preview-toggle", "aria-label": "Preview", title: "Preview", on: { click: () => this.toggle() } },
    icon("eye"),
  );
  #render;
  #text = "";
  #shown = null; // the text that is shown
  #draw = new Throttle(() => this.#ask(), PAUSE_MS);

  /** `render(text)` returns the tree of a text, null if it is to be shown as written. */
  constructor(render) {
    this.#render = render;
    set(this.button, "aria-pressed", "false");
  }

  toggle() {
    const on = this.element.hidden;
    this.element.hidden = !on;
    set(this.button, "aria-pressed", String(on));
    if (on) this.#draw.request();
  }

  /** Show `text`, soon. */
  update(text) {
    this.#text = text;
    if (!this.element.hidden && text !== this.#shown) this.#draw.request();
  }

  async #ask() {
    const text = this.#text;
    let nodes;
    try {
      const tree = text.trim() ? await this.#render(text) : [];
      nodes = tree ? drawTree(tree) : drawWritten(text);
    } catch (error) {
      nodes = [h("p", { class: "prose dim", text: error.message })]; // the next key asks again
    }
    this.#shown = text;
    if (text === this.#text) this.element.replaceChildren(...(text.trim() ? nodes : [h("p", { class: "prose dim", text: "Nothing to show yet" })]));
  }
}
