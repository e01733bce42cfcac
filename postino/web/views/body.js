/* The body of a message: the tree that the daemon rendered, or the text as it was written. */

import { h, set, write } from "../dom.js";
import { count, visible } from "../format.js";
import { drawTree } from "./tree.js";

// rem: higher ones are folded, so that one message does not hide the others. A third more than `.folded` leaves: a fold
// never hides a handful of lines
const TALL = 32;

const bodies = new WeakMap(); // the element of the content -> its Body

/** Return the elements of `text` as it was written. */
export function drawWritten(text) {
  return [h("p", { class: "prose written", dir: "auto", text: visible(text) })];
}

/** Fold the bodies within an element that are tall as they are shown now, and no other. Costs one layout. */
export function foldTall(within) {
  const shown = [...within.querySelectorAll(".body")].map((content) => bodies.get(content)).filter((body) => body.isShown);
  const tall = shown.map((body) => body.isTall); // all are measured before the first one changes
  shown.forEach((body, at) => body.fold(tall[at]));
}

export class Body {
  element;
  #text;
  #tree;
  #written = false; // the user asked for it
  #unfolded = false; // by the user
  #content = h("div", { class: "body" });
  #unfold = h("button", { type: "button", class: "unfold", hidden: true, on: { click: () => this.#toggleFold() } });

  /** `tree` undefined: it was not rendered for lack of time, and `render(text)` returns it. */
  constructor(text, tree, render = null) {
    this.#text = text;
    this.#tree = tree;
    this.element = h("div", { class: "body-box" }, this.#content, this.#unfold);
    bodies.set(this.#content, this);
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

  /** Whether it has a height: it is in the document, and not hidden. */
  get isShown() {
    return this.#content.clientHeight > 0;
  }

  /** Whether it is too high to be shown whole, folded or not. */
  get isTall() {
    return this.#content.scrollHeight > TALL * Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  /** Fold it if it is `tall`, unless the user has unfolded it. */
  fold(tall) {
    this.#unfold.hidden = !tall;
    this.#drawFold(tall && !this.#unfolded);
  }

  /** Show the text as it was written, or rendered again. */
  toggleWritten() {
    if (!this.rendered) return;
    this.#written = !this.#written;
    this.#draw();
    foldTall(this.element);
  }

  async #render(render) {
    try {
      this.#tree = await render(this.#text);
    } catch {
      return; // it stays as written
    }
    this.#draw();
    foldTall(this.element);
  }

  #draw() {
    const nodes = this.written ? drawWritten(this.#text) : drawTree(this.#tree);
    const blank = !this.#text.trim();
    this.#content.replaceChildren(...(blank ? [h("p", { class: "prose dim", text: "(blank)" })] : nodes));
  }

  #toggleFold() {
    this.#unfolded = !this.#unfolded;
    this.#drawFold(!this.#unfolded);
  }

  #drawFold(folded) {
    this.#content.classList.toggle("folded", folded);
    set(this.#unfold, "aria-expanded", String(!folded));
    write(this.#unfold, folded ? `Show all ${count(this.#text.length, "character")}` : "Show less");
  }
}
