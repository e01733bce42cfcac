/* A button with a picture and a label. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

export function button(picture, label, click) {
  return h("button", { type: "button", class: "action", on: { click } }, icon(picture), label);
}
