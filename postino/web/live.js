/* The live side: begins with the last ten minutes, stays connected while somebody looks, passes on each event once. */

import { SPAN_MS } from "./state/log.js";
import { EventStream } from "./stream.js";

const HIDDEN_MS = 60_000; // a browser allows six connections to one server: tabs nobody looks at must not hold them all
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
  }

  /** Connect, as soon as the daemon answers. */
  async begin() {
    this.#told.state("connecting");
    this.#began = await this.#clock();
    this.#stream = new EventStream({
      open: (path, options) => this.#api.open(path, options),
      since: `${this.#began - SPAN_MS}-0`,
      onEvent: (event) => this.#take(event),
      onState: (state) => this.#told.state(state),
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

  #take(event) {
    if (event.type === "connected") this.#told.connected();
    else if (event.type === "gap") this.#beginAnew();
    else if (event.type !== "dropped" && this.#log.add(event) && event.ms > this.#began) this.#told.event(event);
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
