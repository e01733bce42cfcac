/* The name of a sender or recipient, as a link to its mail. */

import { h } from "../dom.js";
import { visible } from "../format.js";
import { mailHash } from "../router.js";

const RESERVED = new Set(["all", "human", "system", "postino"]); // as in postino/model.py: they have no inbox

/** Show the name of an agent as a link to its mail; a reserved name is shown without a link. */
export function agentLink(name) {
  const shown = h("bdi", { text: visible(String(name)) });
  if (RESERVED.has(String(name).toLowerCase())) return h("span", { class: "agent-link" }, shown);
  return h("a", { class: "agent-link", href: mailHash(name) }, shown);
}
