/* Who wrote or got something: a link to the conversation, if one can be had. */

import { h } from "../dom.js";
import { visible } from "../format.js";
import { toMail } from "../router.js";

const RESERVED = new Set(["all", "human", "system", "postino"]); // as in postino/model.py: nobody can write to them

/** Make the name of an agent, as a link to its mail; of a reserved one as words. */
export function party(name) {
  const shown = h("bdi", { text: visible(String(name)) });
  if (RESERVED.has(String(name).toLowerCase())) return h("span", { class: "party" }, shown);
  return h("a", { class: "party", href: toMail(name) }, shown);
}
