/* What a view shows while it has no content: how to create some. */

import { h } from "../dom.js";
import { command, curl } from "./command.js";

export function emptyMail(agent) {
  const to = agent ?? "reviewer";
  return empty(
    agent ? `No mail for or from ${agent} yet` : "No mail yet",
    "Any HTTP client can send a message; it waits until it is read. Try it:",
    command(curl("messages", { to, from: "ci", body: "it works" })),
  );
}

export function emptySearch() {
  return empty(
    "Nothing found",
    "No message in the history matches. Older messages may have expired.",
    h("p", {}, h("a", { href: "#/mail", text: "Show all mail" })),
  );
}

/** `name` is that of the person. */
export function emptyInbox(name) {
  return empty(
    "Nothing waits for you",
    `Agents write to you as ${name}, or to human. Try it:`,
    command(`postino send ${name} 'Merge now?' \\\n  --from builder --choice Merge --choice Wait`),
  );
}

export function noThread() {
  return empty("Threads", "A thread is what several agents have said about one thing: choose one from the list.");
}

export function emptyBroadcasts() {
  return empty(
    "No broadcasts yet",
    "Every agent sees a broadcast, including agents that connect later. Try it:",
    command(curl("broadcasts", { from: "ci", body: "main is frozen until 15:00" })),
  );
}

export function emptyAgents() {
  return h(
    "div",
    { class: "empty empty-small", hidden: true },
    h("p", { class: "empty-title", text: "No agents yet" }),
    h(
      "p",
      {},
      "An agent appears when its session connects (",
      h("code", { text: "postino config" }),
      " shows how) or when a message is sent to it.",
    ),
  );
}

function empty(title, text, ...more) {
  return h(
    "div",
    { class: "empty" },
    h("img", { src: "/web/favicon.svg", alt: "", width: 40, height: 40 }),
    h("p", { class: "empty-title", text: title }),
    h("p", { text }),
    ...more,
  );
}
