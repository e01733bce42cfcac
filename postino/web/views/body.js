/* The body of a message: the tree that the daemon rendered, or the text as it was written. */

import { h, set } from "../dom.js";
import { count, visible } from "../format.js";
import { drawTree } from "./tree.js";

// longer ones are folded, so that one message does not hide the others
const LONG_CHARACTERS = 1_800;
const LONG_LINES = 18;

/** Return the elements of `text` as it was written. */
export function drawWritten(text) {
  return [h("p", { class: "prose written", dir: "auto", text: visible(text) })];
}

export class Body {
  element;
  #text;
  #tree;
  #written = false; // the user asked for it
  #content = h("div", { class: "body" });
  #unfold = h("button", { type: "button", class: "unfold", hidden: true, on: { click: () => this.#toggleFold() } });

  /** `tree` undefined: it was not rendered for lack of time, and `render(text)` returns it. */
  constructor(text, tree, render = null) {
    this.#text = text;
    this.#tree = tree;
    this.element = h("div", { class: "body-box" }, this.#content, this.#unfold);
    if (text.length > LONG_CHARACTERS || text.split("\n", LONG_LINES + 1).length > LONG_LINES) this.#fold();
    this.#draw();
    if (tree === undefined && render) this.#render(render);
  }

  /** Whether the text is shown as it was written. */
  get written() {
    return this.#written || !Array.isArray(this.#tree);
  }

  /** Whether there is a rendering to show. */
  get rendered() {
    return Array.isArray(this.#tree);
  }

  /** Show the text as it was written, or rendered again. */
  toggleWritten() {
    if (!this.rendered) return;
    this.#written = !this.#written;
    this.#draw();
  }

  async #render(render) {
    try {
      this.#tree = await render(this.#text);
    } catch {
      return; // it stays as written
    }
    this.#draw();
  }

  #draw() {
    const nodes = this.written ? drawWritten(this.#text) : drawTree(this.#tree);
    const blank = !this.#text.trim();
    this.#content.replaceChildren(...(blank ? [h("p", { class: "prose dim", text: "(blank)" })] : nodes));
  }

  #fold() {
    this.#content.classList.add("folded");
    this.#unfold.hidden = false;
    this.#drawFold(true);
  }

  #toggleFold() {
    this.#drawFold(this.#content.classList.toggle("folded"));
  }

  #drawFold(folded) {
    set(this.#unfold, "aria-expanded", String(!folded));
    this.#unfold.textContent = folded ? `Show all ${count(this.#text.length, "character")}` : "Show less";
  }
}
