/* A list that grows at its foot: who is there follows it, who reads above keeps the place and is told what came. */

import { arrange, h } from "../dom.js";
import { count, day } from "../format.js";
import { icon } from "../icons.js";

const NEAR = 80; // px from an end that still count as there

export class Scroller {
  element;
  jump = h("button", { type: "button", class: "jump", hidden: true, on: { click: () => this.toFoot() } });
  #noun;
  #last = null;
  #arrived = 0;
  #follows = true; // whether the foot was in sight before the last change
  #days = new Map(); // name -> heading
  #list = h("div", { class: "messages" });

  /** `label` names the region, `noun` what it lists; `above` and `below` stand round it; `onTop` asks for more. */
  constructor({ label, noun, above, below, onTop }) {
    this.#noun = noun;
    // can be focused, so that the keyboard can scroll it
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
        this.#follows = this.atFoot;
        this.#drawJump();
        if (this.element.scrollTop < NEAR && !this.#follows) onTop();
      },
      { passive: true },
    );
    // the form below grows with its text, a phone is turned
    new ResizeObserver(() => this.#follows && this.toFoot()).observe(this.element);
  }

  get atFoot() {
    const { scrollTop, scrollHeight, clientHeight } = this.element;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }

  toFoot() {
    this.#follows = true;
    this.element.scrollTop = this.element.scrollHeight;
    this.#drawJump();
  }

  /** Begin with another list: at its foot. */
  reset() {
    this.#list.replaceChildren();
    this.#last = null;
    this.#arrived = 0;
    this.#follows = true;
  }

  /** Show `cards`, `{timestamp, element}`, each day under its name; `others()` draws what stands round them. */
  fill(cards, others) {
    const anchor = this.#follows ? null : this.#anchor();
    arrange(this.#list, this.#withDays(cards));
    others();
    this.#countNew(cards.map((card) => card.element));
    if (anchor) this.element.scrollTop = anchor.node.offsetTop - anchor.offset;
    else this.toFoot();
    this.#drawJump();
  }

  /** The first node in sight and where it is; the browser's own anchoring is off, it does nothing at the very top. */
  #anchor() {
    const { scrollTop } = this.element;
    const node = [...this.#list.children].find((child) => child.offsetTop + child.offsetHeight > scrollTop);
    return node ? { node, offset: node.offsetTop - scrollTop } : null;
  }

  #withDays(cards) {
    let last = "";
    return cards.flatMap(({ timestamp, element }) => {
      const name = day(timestamp);
      const nodes = name === last ? [element] : [this.#day(name), element];
      last = name;
      return nodes;
    });
  }

  #day(name) {
    let heading = this.#days.get(name);
    if (!heading) this.#days.set(name, (heading = h("h3", { class: "day" }, h("span", { text: name }))));
    return heading;
  }

  #countNew(elements) {
    const known = this.#last ? elements.lastIndexOf(this.#last) : -1;
    if (known >= 0) this.#arrived += elements.length - 1 - known;
    this.#last = elements.at(-1) ?? null;
  }

  #drawJump() {
    this.jump.hidden = this.atFoot;
    if (this.jump.hidden) this.#arrived = 0;
    this.jump.replaceChildren(icon("down"), this.#arrived ? count(this.#arrived, `new ${this.#noun}`) : "Newest");
  }
}
