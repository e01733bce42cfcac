/* An agent's avatar: two letters in one of eight colours, drawn as a postage stamp. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

const INKS = 8; // as in style/tokens.css

/** Draw the avatar of `name`. It is hidden from screen readers: the name stands beside it. */
export function avatar(name) {
  const stamp = h("span", { class: "avatar", "aria-hidden": "true", text: initials(name) });
  stamp.style.background = `var(--ink-${ink(name)})`;
  return stamp;
}

/** Draw an avatar that stands for all agents. */
export function avatarOfAll(picture) {
  return h("span", { class: "avatar avatar-all", "aria-hidden": "true" }, icon(picture));
}

function ink(name) {
  let hash = 0x811c9dc5; // FNV-1a: similar names get different colours
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 13) % INKS;
}

/** Return the initials of the first two words (`build-bot.7`: BB), or the first two letters of a single word. */
function initials(name) {
  const words = name.split(/[._-]+/).filter(Boolean);
  const found = words.length > 1 ? [...words].slice(0, 2).map((word) => [...word][0]) : [...name].slice(0, 2);
  return found.join("").toUpperCase();
}
