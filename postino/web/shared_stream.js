/* One event stream for all tabs of a browser: the tab that holds a lock reads it and broadcasts what it receives.
   A browser opens at most six connections to one server: with a stream per tab, requests of the seventh would hang. */

import { EventPlace } from "./event_place.js";
import { EventStream, SILENCE_MS } from "./event_stream.js";

const NAME = "postino.events"; // of the lock and of the channel
const FROZEN_MS = SILENCE_MS + 5_000; // by then a reading tab has reported a dead connection, unless it is frozen

/** Return whether tabs can share: not over plain HTTP from another machine, nor where site data is blocked. */
export async function canShare() {
  try {
    new BroadcastChannel(NAME).close();
    await navigator.locks.query();
    return true;
  } catch {
    return false;
  }
}

/**
 * An `EventStream` that one tab reads for all. Each tab knows the place up to which it has seen every event. A tab
 * that starts, or finds that it missed events, steals the lock and reads from its own place; events that other tabs
 * receive twice because of that are dropped by their id.
 */
export class SharedStream {
  #open;
  #last; // the place up to which this tab has seen every event
  #onEvent;
  #onState;
  #state = null;
  #channel = null; // while it runs
  #turn = null; // aborts waiting for the lock, or holding it
  #stealing = false; // take the lock even if another tab holds it
  #stream = null; // while this tab holds the lock
  #posted = null; // the id of the place up to which the other tabs have been sent every event
  #unposted = []; // events after `#posted`
  #silence = null;

  constructor({ open, since, onEvent, onState }) {
    this.#open = open;
    this.#last = new EventPlace(since);
    this.#onEvent = onEvent;
    this.#onState = onState;
  }

  /** Stay connected until `stop`. */
  async run() {
    const channel = new BroadcastChannel(NAME);
    channel.onmessage = ({ data }) => this.#onMessage(data);
    this.#channel = channel;
    this.#stealing = true; // only the daemon has the events since `#last`
    this.#setState("connecting");
    while (this.#channel === channel) await this.#takeTurn();
  }

  /** Disconnect; `run` resumes from the same event. */
  stop() {
    this.#channel?.close();
    this.#channel = null;
    this.#state = null;
    clearTimeout(this.#silence);
    this.#turn?.abort();
  }

  /** Whether it is connected or trying to connect. */
  get running() {
    return this.#channel !== null;
  }

  /** Reconnect at once instead of after the pause. */
  retry() {
    if (this.#stream) this.#stream.retry();
    else if (this.#state !== "live") this.#steal();
  }

  /** Wait for the lock, or steal it, and hold it until another tab steals it. */
  async #takeTurn() {
    const turn = new AbortController();
    this.#turn = turn;
    const options = this.#stealing ? { steal: true } : { signal: turn.signal };
    if (!this.#stealing) this.#awaitMessage();
    try {
      await navigator.locks.request(NAME, options, () => this.#hold(turn.signal));
    } catch (error) {
      // AbortError: another tab stole the lock, or the wait was aborted; any other: the page is being unloaded
      if (error.name !== "AbortError") this.stop();
    }
    turn.abort();
  }

  /** Read the stream for all tabs until `over` is aborted. */
  #hold(over) {
    if (over.aborted) return null;
    clearTimeout(this.#silence);
    this.#stealing = false;
    this.#posted = this.#last.id;
    const stream = new EventStream({
      open: this.#open,
      since: this.#last.id,
      onEvent: (event) => this.#onStreamEvent(event),
      onState: (state) => this.#onStreamState(state),
      onChunk: () => this.#post(),
    });
    this.#stream = stream;
    stream.run();
    return new Promise((done) => {
      over.addEventListener("abort", () => {
        this.#stream = null;
        this.#unposted = [];
        stream.stop();
        done();
      });
    });
  }

  #onStreamEvent(event) {
    this.#unposted.push(event);
    this.#receive(event);
  }

  #onStreamState(state) {
    this.#setState(state);
    if (state === "waiting" || state === "away") this.#post();
  }

  /** Post new events to the other tabs; without any, the post shows that this tab is alive. */
  #post() {
    const { hidden } = document;
    this.#channel?.postMessage({ state: this.#state, after: this.#posted, events: this.#unposted, hidden });
    this.#posted = this.#last.id;
    this.#unposted = [];
  }

  #onMessage({ state, after, events, hidden }) {
    if (this.#stream || this.#stealing) return; // this tab reads, or will read, the same events itself
    const before = new EventPlace(after);
    const missed = state === "live" && !this.#last.reaches(before);
    // browsers run timers of hidden tabs once a minute: a visible tab reconnects sooner
    const slow = (state === "waiting" || state === "away") && hidden && !document.hidden;
    if (missed || slow) return this.#steal();
    this.#awaitMessage();
    this.#setState(state);
    // a gap before `#last` lost nothing that this tab has not seen
    const concerned = before.id === this.#last.id;
    for (const event of events) if (event.type !== "gap" || concerned) this.#receive(event);
  }

  /** Steal the lock when the tab that holds it posts nothing for too long: it may be frozen. */
  #awaitMessage() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#steal(), FROZEN_MS);
  }

  #steal() {
    if (!this.#channel || this.#stream || this.#stealing) return;
    this.#stealing = true;
    this.#turn.abort();
  }

  #receive(event) {
    if (event.type === "gap")
      this.#last = new EventPlace(event.at || undefined); // the store may be another one, with lower IDs
    else if (event.at && this.#last.covers(event.at)) return;
    else if (event.at) this.#last.advance(event.at);
    this.#onEvent(event);
  }

  /** Report a new state; a live stream that only moves to another tab stays "live". */
  #setState(state) {
    if (state === this.#state || (state === "connecting" && this.#state === "live")) return;
    this.#state = state;
    this.#onState(state);
  }
}
