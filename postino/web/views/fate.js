/* What has become of a message, in words. */

import { h, time } from "../dom.js";
import { ago, full, moment, short, visible } from "../format.js";

const TOLD = {
  socket: "the recipient was woken",
  hook: "the recipient was told by a hook",
  channel: "the recipient was told in its channel",
};
const REASONS = {
  max_deliveries: (entry) => `given out ${entry.deliveries} times, never acknowledged`,
  ttl: () => "nobody read it in time",
  dead_letters_full: () => "newer dead letters needed its place",
};

/** Return `{kind, icon, word, details}`; `details` are nodes and strings that follow the word. */
export function stateOf(entry, now = Date.now()) {
  if (entry.kind === "broadcast")
    return { kind: "broadcast", icon: "horn", word: `Broadcast no. ${entry.seq}`, details: [] };
  return (STATES[entry.state] ?? traceless)(entry, now);
}

const STATES = {
  queued: (entry) => ({
    kind: "queued",
    icon: "clock",
    word: entry.deliveries ? "Queued again" : "Queued",
    details: [...repeats(entry), TOLD[entry.notified] && ` · ${TOLD[entry.notified]}`].filter(Boolean),
  }),
  leased: (entry, now) => {
    const over = entry.lease_until !== null && Date.parse(entry.lease_until) <= now;
    const until = entry.lease_until && !over ? [" until ", at(entry.lease_until)] : [];
    return {
      kind: "leased",
      icon: "hold",
      word: over ? "Lease ended" : "Leased",
      details: [
        " by ",
        session(entry.reader),
        ...until,
        ...(over ? [" · the next read gets it again"] : []),
        ...repeats(entry),
      ],
    };
  },
  acked: (entry) => ({
    kind: "acked",
    icon: "check",
    word: "Read",
    details: [" ", at(entry.settled_at), " by ", session(entry.reader), ...repeats(entry)],
  }),
  dead: (entry) => ({
    kind: "dead",
    icon: "skull",
    word: "Dead",
    details: [" since ", at(entry.settled_at), ...because(entry)],
  }),
  expired: (entry) => ({
    kind: "expired",
    icon: "clock",
    word: "Expired",
    details: [" ", at(entry.settled_at), ...because(entry)],
  }),
  cleared: (entry) => ({
    kind: "cleared",
    icon: "sweep",
    word: "Cleared",
    details: [" ", at(entry.settled_at), " with the inbox"],
  }),
};

const traceless = () => ({
  kind: "unknown",
  icon: "help",
  word: "State unknown",
  details: [" · its trace has been swept"],
});

function at(iso) {
  return iso ? time(iso, moment(iso), `${full(iso)}, ${ago(iso)}`) : "";
}

function session(id) {
  return id ? h("code", { class: "session", title: id, text: short(visible(id), 12) }) : "a session";
}

function because(entry) {
  const reason = REASONS[entry.reason]?.(entry) ?? entry.reason;
  return reason ? [` · ${visible(reason)}`] : [];
}

function repeats({ deliveries }) {
  return deliveries > 1 ? [h("span", { class: "repeat", text: `redelivered, delivery ${deliveries}` })] : [];
}
