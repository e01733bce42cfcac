/* The events received by this page, in order, each once. */

import { EventPlace } from "../event_place.js";
import { Signal } from "./signal.js";

export const KEPT = 10_000; // as many as the daemon keeps
const SLACK = 500; // trimmed in batches: shifting the array for every event would cost more than the event
export const SPAN_MS = 600_000; // the period of the counts and the chart
export const STEP_MS = 10_000; // one column of the chart

// the events that the chart and the counts show; an event with `ids` counts as that many messages
const COUNTED = { msg_send: "sent", broadcast: "sent", msg_ack: "acked", msg_dead: "dead", msg_expired: "dead" };

export class EventLog {
  events = []; // oldest first
  added = new Signal();
  loaded = false; // whether the events of the last minutes come, or have come
  started = new Signal();
  #last = new EventPlace();

  /** Add an event; return false if it is known already, as after a resumed stream. */
  add(event) {
    if (this.#last.covers(event.at)) return false;
    this.#last.advance(event.at);
    event.ms = Number(event.at.split("-")[0]);
    this.events.push(event);
    if (this.events.length > KEPT + SLACK) this.events.splice(0, this.events.length - KEPT);
    this.added.emit(event);
    return true;
  }

  /** The stream of events is connected. */
  start() {
    if (this.loaded) return;
    this.loaded = true;
    this.started.emit();
  }

  /** Accept an event with any ID next: another store may have lower ones. */
  acceptAnyId() {
    this.#last = new EventPlace();
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
