/* What happened, as far as this page remembers: the events in order, each once. */

import { byPlace } from "../format.js";
import { Signal } from "./signal.js";

export const KEPT = 10_000; // as many as the daemon keeps
const SLACK = 500; // trimmed in pieces: shifting an array for every event would cost more than the event
export const SPAN_MS = 600_000; // what the counts and the chart look back on
export const STEP_MS = 10_000; // one bar of the chart

// what the chart and the counts tell apart; an event with `ids` stands for that many messages
const COUNTED = { msg_send: "sent", broadcast: "sent", msg_ack: "acked", msg_dead: "dead", msg_expired: "dead" };

export class EventLog {
  events = []; // oldest first
  added = new Signal();
  #last = "0-0";

  /** Take an event; false when it is known already, as after a resumed stream. */
  add(event) {
    if (byPlace(event.at, this.#last) <= 0) return false;
    this.#last = event.at;
    event.ms = Number(event.at.split("-")[0]);
    this.events.push(event);
    if (this.events.length > KEPT + SLACK) this.events.splice(0, this.events.length - KEPT);
    this.added.emit(event);
    return true;
  }

  /** Accept any place from now on: the store behind the daemon is another one. */
  forget() {
    this.#last = "0-0";
  }

  /** Count the last ten minutes before `now`: a row per step, oldest first, each `{sent, acked, dead}`. */
  rates(now) {
    const end = Math.ceil(now / STEP_MS) * STEP_MS;
    const rows = Array.from({ length: SPAN_MS / STEP_MS }, () => ({ sent: 0, acked: 0, dead: 0 }));
    for (let at = this.events.length - 1; at >= 0; at--) {
      const event = this.events[at];
      const row = rows[rows.length - Math.ceil((end - event.ms) / STEP_MS)];
      if (event.ms <= end - SPAN_MS) break;
      const kind = COUNTED[event.type];
      if (row && kind) row[kind] += event.ids?.length ?? 1;
    }
    return rows;
  }
}
