/* Each type of event as a sentence. An unknown type is shown as JSON. */

import { h } from "../dom.js";
import { count, short, visible } from "../format.js";
import { SHARED } from "../state/inbox.js";
import { agentLink as agent } from "./agent_link.js";
import { REASONS } from "./message_state.js";

const session = (id) => h("code", { class: "session", title: id, text: short(visible(String(id)), 12) });
const messages = (event) => count(event.ids?.length ?? event.count ?? 1, "message");
const deadLetters = (event) => count(event.ids?.length ?? event.count ?? 1, "dead letter");
const reason = (event) => REASONS[event.reason] ?? visible(event.reason ?? "");

/** Return what a person did with messages; null if an agent's session did it. */
function byPerson(event, verb) {
  const { reader, to } = event;
  if (reader !== to && to !== SHARED) return null;
  return [agent(reader), ` ${verb} ${messages(event)}${to === SHARED ? " for all people" : ""}`];
}

/** type -> [group, icon, event => the sentence] */
const SENTENCES = {
  msg_send: [
    "mail",
    "mail",
    (e) => [agent(e.from), " wrote to ", agent(e.to), ` · no. ${e.seq} via ${visible(String(e.via))}`],
  ],
  msg_read: ["mail", "lock", (e) => byPerson(e, "opened") ?? [agent(e.to), ` leased ${messages(e)} · `, session(e.reader)]],
  msg_ack: ["mail", "check", (e) => byPerson(e, "has read") ?? [agent(e.to), ` acknowledged ${messages(e)} · `, session(e.reader)]],
  msg_done: ["mail", "check", (e) => [agent(e.reader), ` marked ${messages(e)} as done`]],
  msg_nack: [
    "mail",
    "repeat",
    (e) => [
      agent(e.to),
      ` returned ${messages(e)}`,
      e.delay_ms > 0 ? `, to be read again after ${Math.round(e.delay_ms / 1000)} s` : "",
    ],
  ],
  msg_release: [
    "mail",
    "repeat",
    (e) => [
      `${messages(e)} returned to the inbox of `,
      agent(e.to),
      e.reader ? ": the session that leased it has ended" : ": a step back of the clock had hidden it",
    ],
  ],
  msg_notified: ["mail", "bell", (e) => [agent(e.to), ` was notified of ${messages(e)} by ${visible(String(e.how))}`]],
  msg_dead: [
    "trouble",
    "skull",
    (e) => ["A message from ", agent(e.from), " to ", agent(e.to), ` is a dead letter: ${reason(e)}`],
  ],
  msg_expired: ["trouble", "clock", (e) => ["A message to ", agent(e.to), ` has expired: ${reason(e)}`]],
  msg_requeue: ["mail", "repeat", (e) => [`${deadLetters(e)} of `, agent(e.to), " requeued"]],
  msg_clear: ["mail", "trash", (e) => ["The inbox of ", agent(e.to), ` was cleared: ${messages(e)}`]],
  dead_clear: ["mail", "trash", (e) => [`${deadLetters(e)} of `, agent(e.to), " cleared"]],
  broadcast: [
    "broadcasts",
    "megaphone",
    (e) => [agent(e.from), ` sent a broadcast · no. ${e.seq} via ${visible(String(e.via))}`],
  ],
  broadcast_read: ["broadcasts", "eye", (e) => [agent(e.reader), ` has seen the broadcasts up to no. ${e.seq}`]],
  broadcast_clear: ["broadcasts", "trash", (e) => [`${count(e.count, "broadcast")} cleared`]],
  agent_online: ["agents", "play", (e) => [agent(e.agent), " is online"]],
  agent_offline: ["agents", "pause", (e) => [agent(e.agent), " is offline"]],
  agent_rename: ["agents", "pen", (e) => [visible(String(e.old)), " was renamed to ", agent(e.agent)]],
  too_fast: [
    "trouble",
    "clock",
    (e) =>
      e.reason === "pair_rate"
        ? ["Loop guard: ", agent(e.from), " and ", agent(e.to), ` answer each other too fast · ${e.retry_after_s} s`]
        : ["Loop guard: ", agent(e.from), ` sends too fast · ${e.retry_after_s} s`],
  ],
  group_join: ["agents", "play", (e) => [agent(e.agent), ` has joined the group #${visible(String(e.group))}`]],
  group_leave: ["agents", "pause", (e) => [agent(e.agent), ` has left the group #${visible(String(e.group))}`]],
  agent_forget: ["agents", "cross", (e) => [visible(String(e.agent)), " was forgotten"]],
};

/** Return `{group, icon, text}` of an event; `text` is a list of nodes and strings. */
export function describeEvent(event) {
  const found = SENTENCES[event.type];
  if (!found) return { group: "agents", icon: "help", text: [visible(JSON.stringify(event))] };
  const [group, icon, text] = found;
  return { group, icon, text: text(event) };
}

/** Return the group of an event type, for the filter. */
export const groupOf = (type) => SENTENCES[type]?.[0] ?? "agents";
