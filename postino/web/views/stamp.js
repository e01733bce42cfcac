/* An agent's stamp: two letters on one of eight inks, so that a face is known again at a glance. */

import { h } from "../dom.js";

const INKS = 8;

/** Draw the stamp of `name`; it adds nothing to what is read aloud. */
export function stamp(name) {
  return h("span", { class: `stamp ink-${ink(name)}`, "aria-hidden": "true", text: letters(name) });
}

function ink(name) {
  let hash = 0x811c9dc5; // FNV-1a: names that differ in little get inks that differ
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return (hash >>> 13) % INKS;
}

/** The initials of `build-bot.7`; of one word its first two letters. */
function letters(name) {
  const words = name.split(/[._-]+/).filter(Boolean);
  const found = words.length > 1 ? [...words].slice(0, 2).map((word) => [...word][0]) : [...name].slice(0, 2);
  return found.join("").toUpperCase();
}
