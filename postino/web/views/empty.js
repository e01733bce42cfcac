/* What stands where nothing is yet: how to put something there. */

import { h } from "../dom.js";
import { icon } from "../icons.js";
import { recallHere } from "../memory.js";

/** A command that can be copied. */
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
    h("button", { type: "button", class: "act", on: { click: copy } }, icon("copy"), label),
  );
}

/** The curl line that posts `message` to `path` of this daemon. */
export function curl(path, message) {
  const lines = [
    `curl ${location.origin}/api/${path}`,
    "  -H 'Content-Type: application/json'",
    ...(recallHere("token") === null ? [] : ['  -H "Authorization: Bearer $POSTINO_API_TOKEN"']),
    `  -d '${JSON.stringify(message)}'`,
  ];
  return lines.join(" \\\n");
}

function empty(title, words, ...rest) {
  return h(
    "div",
    { class: "empty" },
    h("img", { src: "/web/favicon.svg", alt: "", width: 40, height: 40 }),
    h("p", { class: "empty-title", text: title }),
    h("p", { text: words }),
    ...rest,
  );
}

export function emptyMail(agent) {
  const to = agent ?? "reviewer";
  return empty(
    agent ? `No mail for or from ${agent} yet` : "No mail yet",
    "Whatever can speak HTTP can write; the message waits until it is read. Try it:",
    command(curl("messages", { to, from: "ci", body: "build 512 is green" })),
  );
}

export function emptySearch() {
  return empty(
    "Nothing found",
    "No message kept here fits. Older ones may have left the history.",
    h("p", {}, h("a", { href: "#/mail", text: "Show all mail" })),
  );
}

export function emptyFeed() {
  return empty(
    "No broadcasts yet",
    "A broadcast is seen by every agent, also by those that come later. Try it:",
    command(curl("broadcasts", { from: "ci", body: "main is frozen until 15:00" })),
  );
}

export function emptyRoster() {
  return h(
    "div",
    { class: "empty empty-small", hidden: true },
    h("p", { class: "empty-title", text: "No agents yet" }),
    h(
      "p",
      {},
      "An agent appears when its session connects (",
      h("code", { text: "postino config" }),
      " tells how) or when somebody writes to it.",
    ),
  );
}
