/* Single keys, for those who rather type; they can be turned off, as speech input needs (WCAG 2.1.4). */

import { recall, remember } from "./memory.js";

/** What the keys do, in the order in which help tells it. */
export const KEYS = [
  ["/", "filter"],
  ["↑ ↓", "move through the agents"],
  ["Enter", "open the agent, or the first that is found"],
  ["w", "write"],
  ["1 2 3", "mail, broadcasts, activity"],
  ["p", "pause or go on, in the activity"],
  ["Esc", "leave a field, close what is open"],
  ["?", "this help"],
];

export const enabled = () => recall("keys", "on") === "on";
export const enable = (on) => remember("keys", on ? "on" : "off");

/** Call `actions[key]` for a key pressed outside of fields and dialogs. */
export function listen(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isField(event.target)) return event.target.blur();
    const action = actions[event.key];
    if (!action || event.ctrlKey || event.metaKey || event.altKey || !enabled()) return;
    if (isField(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    action();
  });
}

function isField(element) {
  return element.matches("input:not([type=checkbox]), textarea, select");
}

/** Let the arrows move the focus through what `items()` returns; Home and End go to the ends. */
export function arrows(container, items) {
  container.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1, Home: -Infinity, End: Infinity }[event.key];
    const all = items();
    if (step === undefined || !all.length || (event.target.matches("input") && Math.abs(step) > 1)) return;
    const at = all.indexOf(document.activeElement);
    const next = Math.min(all.length - 1, Math.max(0, at < 0 ? 0 : at + step));
    event.preventDefault();
    all[next].focus();
  });
}
