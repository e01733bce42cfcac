/* A scrolling list of message cards, the newest at the bottom. At the bottom it follows new messages; scrolled up it
   keeps its place and counts them. */

import { arrange, h } from "../dom.js";
import { count, day } from "../format.js";
import { icon } from "../icons.js";
import { keyed } from "../keyed.js";
import { foldTall } from "./body.js";

const NEAR = 80; // px from the top or bottom that still count as there

export class MessageList {
  element;
  jump = h("button", { type: "button", class: "jump", hidden: true, on: { click: () => this.toBottom() } });
  #noun;
  #last = null;
  #arrived = 0;
  #follows = true; // whether the bottom was visible before the last change
  #headings = keyed({ key: (name) => name, make: (name) => h("h3", { class: "day" }, h("span", { text: name })) });
  #list = h("div", { class: "messages" });

  /**
   * `label` names the region, `noun` is what it lists, `above` and `below` are elements around the cards, `onTop` is
   * called when the user scrolls to the top.
   */
  constructor({ label, noun, above, below, onTop }) {
    this.#noun = noun;
    // focusable, so that it can be scrolled with the keyboard
    this.element = h(
      "div",
      { class: "scroller", tabindex: "0", role: "region", "aria-label": label },
      above,
      this.#list,
      below,
    );
    this.element.addEventListener(
      "scroll",
      () => {
        this.#follows = this.atBottom;
        this.#drawJump();
        if (this.element.scrollTop < NEAR && !this.#follows) onTop();
      },
      { passive: true },
    );
    // the form below grows with its text, and a phone can be turned
    new ResizeObserver(() => this.#onResize()).observe(this.element);
  }

  get atBottom() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  toBottom() {
    this.#follows = true;
    this.element.scrollTop = this.element.scrollHeight;
    this.#drawJump();
  }

  /** Empty the list; the next one starts at its bottom. */
  reset() {
    this.#list.replaceChildren();
    this.#last = null;
    this.#arrived = 0;
    this.#follows = true;
  }

  /** Show `cards`, `{timestamp, element}`, under a heading for each day; `drawAround()` draws `above` and `below`. */
  fill(cards, drawAround) {
    const anchor = this.#follows ? null : this.#anchor();
    arrange(this.#list, this.#withHeadings(cards));
    drawAround();
    foldTall(this.#list);
    this.#countNew(cards.map((card) => card.element));
    this.#restore(anchor);
    this.#drawJump();
  }

  #onResize() {
    const anchor = this.#follows ? null : this.#anchor();
    foldTall(this.#list);
    this.#restore(anchor);
  }

  #restore(anchor) {
    if (anchor) this.element.scrollTop = anchor.node.offsetTop - anchor.offset;
    else this.toBottom();
  }

  /** Return the first visible node and its offset. The browser's scroll anchoring is off: it fails at the very top. */
  #anchor() {
    const { scrollTop } = this.element;
    const node = [...this.#list.children].find((child) => child.offsetTop + child.offsetHeight > scrollTop);
    return node ? { node, offset: node.offsetTop - scrollTop } : null;
  }

  #withHeadings(cards) {
    const days = cards.map(({ timestamp }) => day(timestamp));
    const headings = this.#headings.of(days);
    return cards.flatMap(({ element }, at) => (days[at] === days[at - 1] ? [element] : [headings[at], element]));
  }

  #countNew(elements) {
    const known = this.#last ? elements.lastIndexOf(this.#last) : -1;
    if (known >= 0) this.#arrived += elements.length - 1 - known;
    this.#last = elements.at(-1) ?? null;
  }

  #drawJump() {
    this.jump.hidden = this.atBottom;
    if (this.jump.hidden) this.#arrived = 0;
    this.jump.replaceChildren(icon("down"), this.#arrived ? count(this.#arrived, `new ${this.#noun}`) : "Newest");
  }
}
