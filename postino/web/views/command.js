/* Shell commands that the user can copy. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { loadForTab } from "../storage.js";

/** Show a command with a button that copies it. */
export function command(text) {
  const label = h("span", { text: "Copy" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      label.textContent = "Copied";
    } catch {
      label.textContent = "Select and copy it by hand";
    }
  };
  return h(
    "div",
    { class: "command" },
    h("pre", { tabindex: "0", role: "group", "aria-label": "command" }, h("code", { text })),
    h("button", { type: "button", class: "action", on: { click: copy } }, icon("copy"), label),
  );
}

/** Return the curl command that posts `message` to `path` of this daemon. */
export function curl(path, message) {
  const lines = [
    `curl ${location.origin}/api/${path}`,
    "  -H 'Content-Type: application/json'",
    ...(loadForTab("token") === null ? [] : ['  -H "Authorization: Bearer $POSTINO_API_TOKEN"']),
    `  -d '${JSON.stringify(message)}'`,
  ];
  return lines.join(" \\\n");
}
