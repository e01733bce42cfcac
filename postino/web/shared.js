/* One event stream for all tabs of a browser: the tab that holds a lock reads it and passes on what comes. A browser
   opens six connections to one server; with a stream per tab the seventh tab would get no answer to anything. */

import { byPlace } from "./format.js";
import { EventStream, SILENCE_MS } from "./stream.js";

const NAME = "postino.events"; // of the lock and of the channel
const FROZEN_MS = SILENCE_MS + 5_000; // by then the holder would have said that its line is dead: it is the one

/** Return whether tabs can share: not on plain HTTP from elsewhere, nor where the browser lets the page keep nothing. */
export async function sharing() {
  try {
    new BroadcastChannel(NAME).close();
    await navigator.locks.query();
    return true;
  } catch {
    return false;
  }
}

/**
 * What an `EventStream` is to one tab. The order of things is safe because a tab knows the place up to which it has
 * seen all: who begins, or finds that something was missed, takes the lock over and reads on from its own place.
 * What is told twice by that is passed by.
 */
export class SharedStream {
  #open;
  #last;
  #onEvent;
  #onState;
  #state = null;
  #channel = null; // while it runs
  #turn = null; // aborts the waiting for the lock, or the holding of it
  #taking = false; // the lock is wanted now, whoever holds it
  #stream = null; // while this tab holds the lock
  #told = null; // what the others know of: the place before `#fresh`
  #fresh = [];
  #silence = null;

  constructor({ open, since, onEvent, onState }) {
    this.#open = open;
    this.#last = since;
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  /** Stay connected until `stop`. */
  async run() {
    const channel = new BroadcastChannel(NAME);
    channel.onmessage = ({ data }) => this.#hear(data);
    this.#channel = channel;
    this.#taking = true; // only the daemon knows what has happened since
    this.#tell("connecting");
    while (this.#channel === channel) await this.#takeTurn();
  }

  /** Hang up; `run` starts again from the same place. */
  stop() {
    this.#channel?.close();
    this.#channel = null;
    this.#state = null;
    clearTimeout(this.#silence);
    this.#turn?.abort();
  }

  /** Whether it is connected or on the way. */
  get running() {
    return this.#channel !== null;
  }

  /** Do not wait for the next try. */
  retry() {
    if (this.#stream) this.#stream.retry();
    else if (this.#state !== "live") this.#takeOver();
  }

  /** Wait for the lock, or take it, and hold it until it is taken. */
  async #takeTurn() {
    const turn = new AbortController();
    this.#turn = turn;
    const how = this.#taking ? { steal: true } : { signal: turn.signal };
    if (!this.#taking) this.#listen();
    try {
      await navigator.locks.request(NAME, how, () => this.#hold(turn.signal));
    } catch (error) {
      // "AbortError": another tab has taken it, or the waiting was called off
      if (error.name !== "AbortError") this.stop(); // the page is on its way out
    }
    turn.abort();
  }

  #hold(over) {
    if (over.aborted) return null;
    clearTimeout(this.#silence);
    this.#taking = false;
    this.#told = this.#last;
    const stream = new EventStream({
      open: this.#open,
      since: this.#last,
      onEvent: (event) => this.#pass(event),
      onState: (state) => this.#stands(state),
      onRead: () => this.#say(),
    });
    this.#stream = stream;
    stream.run();
    return new Promise((done) => {
      over.addEventListener("abort", () => {
        this.#stream = null;
        this.#fresh = [];
        stream.stop();
        done();
      });
    });
  }

  #pass(event) {
    this.#fresh.push(event);
    this.#take(event);
  }

  #stands(state) {
    this.#tell(state);
    if (state === "waiting") this.#say();
  }

  /** Tell the others what came; with nothing new, that this tab is alive. */
  #say() {
    const { hidden } = document;
    this.#channel?.postMessage({ state: this.#state, after: this.#told, events: this.#fresh, hidden });
    this.#told = this.#last;
    this.#fresh = [];
  }

  #hear({ state, after, events, hidden }) {
    if (this.#stream || this.#taking) return; // the own stream tells it too
    const missed = state === "live" && byPlace(after, this.#last) > 0;
    // timers of hidden tabs run once a minute: who is looked at tries again sooner
    const slow = state === "waiting" && hidden && !document.hidden;
    if (missed || slow) return this.#takeOver();
    this.#listen();
    this.#tell(state);
    // a gap behind a place that this tab has left already is none here
    const gap = byPlace(after, this.#last) === 0;
    for (const event of events) if (event.type !== "gap" || gap) this.#take(event);
  }

  /** Wait for a sign of life of who holds the lock: a frozen tab holds it and reads nothing. */
  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#takeOver(), FROZEN_MS);
  }

  #takeOver() {
    if (!this.#channel || this.#stream || this.#taking) return;
    this.#taking = true;
    this.#turn.abort();
  }

  #take(event) {
    if (event.type === "gap") this.#last = "0-0"; // maybe another store, which counts from the beginning
    else if (event.at && byPlace(event.at, this.#last) <= 0) return;
    else if (event.at) this.#last = event.at;
    this.#onEvent(event);
  }

  /** A change of hands is no loss of the connection. */
  #tell(state) {
    if (state === this.#state || (state === "connecting" && this.#state === "live")) return;
    this.#state = state;
    this.#onState(state);
  }
}
