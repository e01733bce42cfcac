/* What became of a message, in words. */

import { h, time } from "../dom.js";
import { describeRecipients } from "./recipients.js";
import { ago, full, lasting, moment, visible } from "../format.js";

const NOTIFIED = {
  socket: "the recipient was woken",
  hook: "the recipient was told by a hook",
  channel: "the recipient was told over its channel",
};
/** Why a message died or expired. */
export const REASONS = {
  max_deliveries: "never acknowledged",
  ttl: "not read in time",
  expired: "not read in time",
  dead_letters_full: "removed to make room for newer dead letters",
  altered: "altered on disk",
};

/** Return a warning above a text that the daemon found altered on its disk, or null. */
export function alteredNote({ altered }) {
  return altered ? h("p", { class: "altered", text: "Altered on disk: this is not what was sent" }) : null;
}

/**
 * Return `{kind, icon, label, details, title}`: `label` is the fate in a few words, `details` are nodes that follow it,
 * `title` says the rest, such as the session. `person`: the recipient is one, so that the reader is, too.
 */
export function describeState(entry, { person = false, now = Date.now() } = {}) {
  if (entry.kind === "broadcast") return { kind: "broadcast", icon: "megaphone", label: `Broadcast ${entry.seq}`, details: [], title: "" };
  const made = person && entry.state === "acked" && entry.reader ? seenBy(entry) : (STATES[entry.state] ?? unknown)(entry, now);
  return { details: [], title: "", ...made, ...(entry.recipients && describeRecipients(entry.recipients)) };
}

const STATES = {
  queued: (entry, now) => ({
    kind: "queued",
    icon: "clock",
    label: `${entry.deliveries ? "Waiting again" : "Waiting"} ${lasting(entry.timestamp, now)}`.trim(),
    details: [...redelivered(entry), NOTIFIED[entry.notified] && h("span", { class: "told", text: " · told" })].filter(Boolean),
    title: [`sent ${full(entry.timestamp)}`, NOTIFIED[entry.notified]].filter(Boolean).join("; "),
  }),
  leased: (entry, now) => {
    const over = entry.lease_until !== null && Date.parse(entry.lease_until) <= now;
    const until = entry.lease_until && !over ? [", until ", at(entry.lease_until)] : [];
    return {
      kind: "leased",
      icon: "lock",
      label: over ? "Not confirmed, will be given again" : `Being read by ${visible(entry.to)}`,
      details: [...until, ...redelivered(entry)],
      title: session(entry.reader),
    };
  },
  acked: (entry) => ({
    kind: "acked",
    icon: "check",
    label: "Read",
    details: [" ", at(entry.settled_at), ...redelivered(entry)],
    title: session(entry.reader),
  }),
  dead: (entry) => ({
    kind: "dead",
    icon: "skull",
    label: entry.reason === "altered" ? "Altered on disk" : entry.reason === "expired" ? "Nobody read it in time" : `Gave up after ${tries(entry)}`,
    title: `${REASONS[entry.reason] ?? visible(entry.reason ?? "")}; since ${full(entry.settled_at ?? entry.timestamp)}`,
  }),
  expired: (entry) => ({
    kind: "expired",
    icon: "clock",
    label: "Nobody read it in time",
    title: `${REASONS[entry.reason] ?? visible(entry.reason ?? "")}; since ${full(entry.settled_at ?? entry.timestamp)}`,
  }),
  cleared: (entry) => ({
    kind: "cleared",
    icon: "trash",
    label: "Cleared",
    details: [" ", at(entry.settled_at)],
    title: "with the inbox",
  }),
};

/** A message that a person has seen: by whom matters, as it may have been for all people. */
function seenBy(entry) {
  const details = [" ", at(entry.settled_at), " by ", h("bdi", { text: visible(entry.reader) })];
  return { kind: "acked", icon: "check", label: "Read", details };
}

const unknown = () => ({ kind: "unknown", icon: "help", label: "No longer tracked", title: "the index has forgotten it" });

function at(iso) {
  return iso ? time(iso, moment(iso), `${full(iso)}, ${ago(iso)}`) : "";
}

const session = (id) => (id ? `by the session ${visible(id)}` : "");

const tries = ({ deliveries }) => (deliveries === 1 ? "1 try" : `${deliveries} tries`);

function redelivered({ deliveries }) {
  return deliveries > 1 ? [h("span", { class: "redelivered", title: "it was given to a reader before", text: `try ${deliveries}` })] : [];
}
