/* The state of a message, as text. */

import { h, time } from "../dom.js";
import { ago, full, moment, short, visible } from "../format.js";

const NOTIFIED = {
  socket: "the recipient was woken",
  hook: "the recipient was told by a hook",
  channel: "the recipient was told in its channel",
};
const REASONS = {
  max_deliveries: (entry) => `given out ${entry.deliveries} times, never acknowledged`,
  ttl: () => "nobody read it in time",
  dead_letters_full: () => "newer dead letters needed its place",
};

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
        ...(over ? [" · the next read gets it again"] : []),
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
  details: [" · its trace has been swept"],
});

function at(iso) {
  return iso ? time(iso, moment(iso), `${full(iso)}, ${ago(iso)}`) : "";
}

function session(id) {
  return id ? h("code", { class: "session", title: id, text: short(visible(id), 12) }) : "a session";
}

function reason(entry) {
  const text = REASONS[entry.reason]?.(entry) ?? entry.reason;
  return text ? [` · ${visible(text)}`] : [];
}

function redelivered({ deliveries }) {
  return deliveries > 1 ? [h("span", { class: "redelivered", text: `redelivered, delivery ${deliveries}` })] : [];
}
