/* The line that says under which name agents reach the person, and lets them change it. */

import { h } from "../dom.js";
import { NAME } from "../format.js";

export class NameLine {
  element = h("form", { class: "name-line", hidden: true, novalidate: true });
  #me;
  #changes = false; // the user is changing the name
  #field = h("input", {
    class: "text-field",
    "aria-label": "Your name",
    maxlength: 64,
    pattern: NAME,
    autocomplete: "off",
    spellcheck: "false",
    required: true,
  });

  constructor(me) {
    this.#me = me;
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.#field.value.trim();
      this.#changes = false;
      if (name) me.choose(name);
    });
    this.draw();
  }

  draw() {
    const { name, problem } = this.#me;
    this.element.hidden = !name;
    if (this.#changes) return;
    const change = h("button", { type: "button", class: "link", text: "Change", on: { click: () => this.#change() } });
    const reached = h("span", {}, "Agents reach you as ", h("strong", {}, h("bdi", { text: name })), " or ", h("code", { text: "human" }));
    this.element.replaceChildren(...[reached, change, problem && h("span", { class: "name-problem", role: "alert", text: problem })].filter(Boolean));
  }

  #change() {
    this.#changes = true;
    this.#field.value = this.#me.name;
    const cancel = () => {
      this.#changes = false;
      this.draw();
    };
    this.element.replaceChildren(
      h("label", {}, "Agents reach you as ", this.#field),
      h("button", { type: "submit", class: "plain", text: "Use this name" }),
      h("button", { type: "button", class: "link", text: "Cancel", on: { click: cancel } }),
    );
    this.#field.focus();
    this.#field.select();
  }
}
