/* The live side: begins with the last ten minutes, stays connected while somebody looks, passes on each event once. */

import { SharedStream, sharing } from "./shared.js";
import { SPAN_MS } from "./state/log.js";
import { EventStream } from "./stream.js";

const HIDDEN_MS = 60_000; // where tabs cannot share a stream, those nobody looks at must not hold all connections
const RETRY_MS = 1_000;

export class Live {
  #api;
  #log;
  #told;
  #began = 0; // the daemon's clock when the page began: what happened before is only listed
  #stream = null;
  #resting = null;

  /**
   * `told` is told: `state(state)` of the connection, `connected()` when it stands again, `event(event)` once for
   * each that happens from now on. `stays()` says whether the connection is kept while nobody looks.
   */
  constructor({ api, log, told, stays }) {
    this.#api = api;
    this.#log = log;
    this.#told = told;
    document.addEventListener("visibilitychange", () => this.#look(stays()));
    addEventListener("online", () => this.retry());
    // a page that is put aside must let others read on, and may come back as it was
    addEventListener("pagehide", () => this.#stream?.stop());
    addEventListener("pageshow", () => this.#look(true));
    document.addEventListener("freeze", () => this.#stream?.stop());
    document.addEventListener("resume", () => this.#look(stays()));
  }

  /** Connect, as soon as the daemon answers. */
  async begin() {
    this.#told.state("connecting");
    this.#began = await this.#clock();
    const Stream = (await sharing()) ? SharedStream : EventStream;
    this.#stream = new Stream({
      open: (path, options) => this.#api.open(path, options),
      since: `${this.#began - SPAN_MS}-0`,
      onEvent: (event) => this.#take(event),
      onState: (state) => this.#stands(state),
    });
    this.#stream.run();
  }

  /** Try now what would be tried soon. */
  retry() {
    this.#stream?.retry();
  }

  /** The daemon's clock, which is the one that the places in the stream are made of. */
  async #clock() {
    for (;;) {
      try {
        return Date.parse((await this.#api.stats()).time);
      } catch {
        this.#told.state("waiting");
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  #stands(state) {
    this.#told.state(state);
    if (state === "live") this.#told.connected();
  }

  #take(event) {
    if (event.type === "gap") this.#beginAnew();
    else if (event.at && this.#log.add(event) && event.ms > this.#began) this.#told.event(event);
  }

  /** Another store, or away for too long: places may begin anew, even behind where we were. */
  #beginAnew() {
    if (this.#log.events.length) this.#began = 0;
    this.#log.forget();
  }

  /** Hang up after a while out of sight; the place is kept, so that nothing is missed. */
  #look(stays) {
    clearTimeout(this.#resting);
    if (document.hidden && !stays) this.#resting = setTimeout(() => this.#stream?.stop(), HIDDEN_MS);
    else if (this.#stream && !this.#stream.running) this.#stream.run();
  }
}
