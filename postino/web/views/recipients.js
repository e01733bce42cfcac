/* Several recipients of one message: who they are, and a tick for each that has read it. */

import { h } from "../dom.js";
import { full, visible } from "../format.js";
import { icon } from "../icons.js";
import { agentLink } from "./agent_link.js";

const SHOWN = 5; // names in the head of a message; the others are in its title
const TICKED = 10; // ticks beside a message, first of those whose state is news; a group may have 200 members
const TICKS = {
  acked: ["check", "has read it"],
  leased: ["lock", "is reading it"],
  queued: ["clock", "has not read it yet"],
  seen: ["check", "has seen it"],
  unseen: ["clock", "has not seen it yet"],
};
const ENDED = ["skull", "did not get it"];

/** Return what stands for the recipient of a message in its head: links to the agents, or the group. */
export function recipientLinks({ to, group, recipients, sent_to: sentTo, sent_to_total: total }) {
  const names = recipients?.map((each) => each.to) ?? sentTo;
  const title = names?.join(", ") ?? "";
  if (group) return h("span", { class: "agent-link", title }, h("bdi", { text: `#${visible(group)}` }));
  if (!names) return to && agentLink(to);
  const links = names.slice(0, SHOWN).flatMap((name, at) => [at ? ", " : "", agentLink(name)]);
  const more = (total ?? names.length) - SHOWN;
  return h("span", { class: "recipients", title }, ...links, more > 0 ? ` and ${more} more` : "");
}

/** Return `{label, details}` for the state of a message to several. */
export function describeRecipients(recipients) {
  const read = recipients.filter((each) => each.state === "acked").length;
  const waits = ({ state }) => state === "queued";
  const shown = recipients.length > TICKED ? [...recipients].sort((a, b) => waits(a) - waits(b)).slice(0, TICKED) : recipients;
  const more = recipients.length - shown.length;
  return { label: `Read by ${read} of ${recipients.length}`, details: [" ", ...shown.map(tick), more ? `and ${more} more` : ""] };
}

/** Return a tick for each agent that is named as a reader of a broadcast, or as one that has not seen it. */
export function readerTicks({ seen, agents, seenBy = [], notSeenBy = [] }) {
  const more = agents - seenBy.length - notSeenBy.length;
  const ticks = [...seenBy.map((to) => tick({ to, state: "seen" })), ...notSeenBy.map((to) => tick({ to, state: "unseen" }))];
  return agents && (seen || notSeenBy.length) ? [...ticks, more > 0 ? `and ${more} more` : ""] : [];
}

function tick({ to, state, settled_at: at, reason }) {
  const [picture, words] = TICKS[state] ?? ENDED;
  const title = [`${visible(to)} ${words}`, at && `since ${full(at)}`, reason && visible(reason)].filter(Boolean).join(", ");
  const name = h("bdi", { text: visible(to) });
  return h("span", { class: "tick", title, data: { state: state ?? "unknown", agent: to } }, icon(picture), name);
}

/** Return the recipients that a text names: one, several with commas between, or a group. */
export function parseRecipients(text) {
  const names = text.split(",").map((each) => each.trim()).filter(Boolean);
  return names.length > 1 ? names : (names[0] ?? "");
}
