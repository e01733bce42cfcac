/* The state of a message, as text. */

import { h, time } from "../dom.js";
import { ago, full, moment, short, visible } from "../format.js";

const NOTIFIED = {
  socket: "the recipient was woken",
  hook: "the recipient was notified by a hook",
  channel: "the recipient was notified over its channel",
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

/** Return `{kind, icon, label, details}`; `details` are nodes and strings that follow the label. */
export function describeState(entry, now = Date.now()) {
  if (entry.kind === "broadcast")
    return { kind: "broadcast", icon: "megaphone", label: `Broadcast no. ${entry.seq}`, details: [] };
  return (STATES[entry.state] ?? unknown)(entry, now);
}

const STATES = {
  queued: (entry) => ({
    kind: "queued",
    icon: "clock",
    label: entry.deliveries ? "Queued again" : "Queued",
    details: [...redelivered(entry), NOTIFIED[entry.notified] && ` · ${NOTIFIED[entry.notified]}`].filter(Boolean),
  }),
  leased: (entry, now) => {
    const over = entry.lease_until !== null && Date.parse(entry.lease_until) <= now;
    const until = entry.lease_until && !over ? [" until ", at(entry.lease_until)] : [];
    return {
      kind: "leased",
      icon: "lock",
      label: over ? "Lease ended" : "Leased",
      details: [
        " by ",
        session(entry.reader),
        ...until,
        ...(over ? [" · the next read returns it again"] : []),
        ...redelivered(entry),
      ],
    };
  },
  acked: (entry) => ({
    kind: "acked",
    icon: "check",
    label: "Read",
    details: [" ", at(entry.settled_at), " by ", session(entry.reader), ...redelivered(entry)],
  }),
  dead: (entry) => ({
    kind: "dead",
    icon: "skull",
    label: "Dead",
    details: [" since ", at(entry.settled_at), ...reason(entry)],
  }),
  expired: (entry) => ({
    kind: "expired",
    icon: "clock",
    label: "Expired",
    details: [" ", at(entry.settled_at), ...reason(entry)],
  }),
  cleared: (entry) => ({
    kind: "cleared",
    icon: "trash",
    label: "Cleared",
    details: [" ", at(entry.settled_at), " with the inbox"],
  }),
};

const unknown = () => ({
  kind: "unknown",
  icon: "help",
  label: "State unknown",
  details: [" · no longer in the index"],
});

function at(iso) {
  return iso ? time(iso, moment(iso), `${full(iso)}, ${ago(iso)}`) : "";
}

function session(id) {
  return id ? h("code", { class: "session", title: id, text: short(visible(id), 12) }) : "a session";
}

function reason(entry) {
  const text = REASONS[entry.reason] ?? visible(entry.reason ?? "");
  const times = entry.reason === "max_deliveries" ? `delivered ${entry.deliveries} times, ` : "";
  return text ? [` · ${times}${text}`] : [];
}

function redelivered({ deliveries }) {
  return deliveries > 1 ? [h("span", { class: "redelivered", text: `redelivered, delivery ${deliveries}` })] : [];
}
