/* Places between events. These are the entries of two streams, of events and of history, whose IDs are not in one order:
   an event's id is the ID of its entry, a letter for its stream, and the ID up to which the other stream was told. */

import { compareIds } from "./format.js";

/** How far this page knows what happened. */
export class EventPlace {
  #events;
  #history;

  /** The place right after the event `id`; a plain stream ID stands for that time in both streams. */
  constructor(id = "0-0") {
    const [own, letter, other] = id.split(/([eh])/);
    [this.#events, this.#history] = letter === "h" ? [other, own] : [own, other ?? own];
  }

  /** The place as the id of an event that it is right after, or as a time if it is one. */
  get id() {
    return this.#events === this.#history ? this.#events : `${this.#events}e${this.#history}`;
  }

  /** Whether the event `id` is before this place. */
  covers(id) {
    const [own, letter] = id.split(/([eh])/);
    return compareIds(own, letter === "h" ? this.#history : this.#events) <= 0;
  }

  /** Whether all that is before `place` is before this one. */
  reaches(place) {
    return compareIds(place.#events, this.#events) <= 0 && compareIds(place.#history, this.#history) <= 0;
  }

  /** Go on to the place right after the event `id`, in neither stream back. */
  advance(id) {
    const next = new EventPlace(id);
    if (compareIds(next.#events, this.#events) > 0) this.#events = next.#events;
    if (compareIds(next.#history, this.#history) > 0) this.#history = next.#history;
  }
}
