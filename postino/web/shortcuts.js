/* Keyboard shortcuts of one key. They can be turned off because they interfere with speech input (WCAG 2.1.4). */

import { load, save } from "./storage.js";

/** What the keys do, in the order in which the help lists them. */
export const KEYS = [
  ["/", "filter the agents or the events"],
  ["s", "search the messages"],
  ["↑ ↓", "move through the agents or threads"],
  ["j k", "next, previous message"],
  ["Enter", "open the agent, the message or its thread, or the first match"],
  ["r", "reply to the message"],
  ["e", "mark the message of the inbox as done"],
  ["1 to 5", "answer the message of the inbox with its choice"],
  ["w", "write a message"],
  ["v", "show the message as written, or rendered"],
  ["y", "copy the message"],
  ["[ ]", "previous, next agent that needs attention"],
  ["g i", "inbox; g m messages, g t threads, g b broadcasts, g a activity"],
  ["p", "pause or resume the activity"],
  ["Esc", "leave a field, close a dialog"],
  ["?", "show this help"],
];

const PAUSE_MS = 1_200; // between the two keys of a sequence

export const enabled = () => load("keys", "on") === "on";
export const enable = (on) => save("keys", on ? "on" : "off");

/** Call `actions[key]` for a key pressed outside of fields and dialogs; `"g m"` is `m` soon after `g`. */
export function listen(actions) {
  let before = "";
  let pressed = 0;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isField(event.target)) return event.target.blur();
    const first = Date.now() - pressed < PAUSE_MS ? before : "";
    const action = actions[`${first} ${event.key}`] ?? actions[event.key];
    before = event.key;
    pressed = Date.now();
    if (!action || event.ctrlKey || event.metaKey || event.altKey || !enabled()) return;
    if (isField(event.target) || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    action();
  });
}

function isField(element) {
  return element.matches("input:not([type=checkbox]), textarea, select");
}

/** Let the arrow keys, Home and End move the focus through the elements that `items()` returns. */
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
