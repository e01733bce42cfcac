/* Events as they happen, each passed on once; the last ten minutes are loaded for the event log. */

import { EventStream } from "./event_stream.js";
import { canShare, SharedStream } from "./shared_stream.js";
import { SPAN_MS } from "./state/event_log.js";

const HIDDEN_MS = 60_000; // where tabs cannot share a stream, hidden tabs must not use up the browser's connections
const RETRY_MS = 1_000;

export class LiveEvents {
  #api;
  #log;
  #onState;
  #onConnected;
  #onEvent;
  #began = 0; // the daemon's time at the start, ms; earlier events go into the log only
  #shared;
  #stream = null;
  #hiddenTimer = null;

  /**
   * `onState(state)` reports the connection's state, `onConnected()` that it is live (again), `onEvent(event)` each
   * event from now on. `keepHidden()` says whether a hidden page stays connected, `shared` whether all tabs read one
   * stream, where the browser can.
   */
  constructor({ api, log, onState, onConnected, onEvent, keepHidden, shared = true }) {
    this.#shared = shared;
    this.#api = api;
    this.#log = log;
    this.#onState = onState;
    this.#onConnected = onConnected;
    this.#onEvent = onEvent;
    document.addEventListener("visibilitychange", () => this.#onVisibility(keepHidden()));
    addEventListener("online", () => this.retry());
    // a page in the back/forward cache or a frozen one gives up the lock, and may come back as it was
    addEventListener("pagehide", () => this.#stream?.stop());
    addEventListener("pageshow", () => this.#onVisibility(true));
    document.addEventListener("freeze", () => this.#stream?.stop());
    document.addEventListener("resume", () => this.#onVisibility(keepHidden()));
  }

  /** Connect as soon as the daemon answers and `ready` is fulfilled: the events of ten minutes may be many. */
  async start(ready) {
    this.#onState("connecting");
    this.#began = await this.#daemonTime();
    await ready;
    const Stream = this.#shared && (await canShare()) ? SharedStream : EventStream;
    this.#stream = new Stream({
      open: (path, options) => this.#api.open(path, options),
      since: `${this.#began - SPAN_MS}-0`,
      onEvent: (event) => this.#receive(event),
      onState: (state) => this.#onStreamState(state),
    });
    this.#stream.run();
  }

  /** Reconnect at once instead of after the pause. */
  retry() {
    this.#stream?.retry();
  }

  /** Return the daemon's time, ms: stream IDs are made of it. */
  async #daemonTime() {
    for (;;) {
      try {
        return Date.parse((await this.#api.stats()).time);
      } catch (error) {
        this.#onState(error.code === "store_away" ? "away" : "waiting");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #onStreamState(state) {
    this.#onState(state);
    if (state !== "live") return;
    this.#log.start();
    this.#onConnected();
  }

  #receive(event) {
    if (event.type === "gap") {
      this.#startOver();
      this.#onConnected();
    } else if (event.at && this.#log.add(event) && event.ms > this.#began) this.#onEvent(event);
  }

  /** After a gap, accept lower IDs too: the store may be another one. */
  #startOver() {
    if (this.#log.events.length) this.#began = 0;
    this.#log.acceptAnyId();
  }

  /** Disconnect a while after the page was hidden, and resume when it is visible. */
  #onVisibility(keep) {
    clearTimeout(this.#hiddenTimer);
    if (document.hidden && !keep) this.#hiddenTimer = setTimeout(() => this.#stream?.stop(), HIDDEN_MS);
    else if (this.#stream && !this.#stream.running) this.#stream.run();
  }
}
