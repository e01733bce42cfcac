/* The live events: SSE read with `fetch`, which unlike EventSource can carry the token, and resumed where it ended. */

const PAUSES_MS = [300, 600, 1_200, 2_500, 5_000]; // before each try; the last one repeats
export const SILENCE_MS = 45_000; // three missed pings: the line is dead although nobody hung up

/**
 * `onEvent({at, ...})` for each event, `at` being its place in the stream; `onState(state)` with `connecting`,
 * `live` or `waiting`; `onRead()` after every piece that came, be it only a ping.
 */
export class EventStream {
  #open;
  #since;
  #onEvent;
  #onState;
  #onRead;
  #fails = 0;
  #running = null; // aborts the present connection
  #wake = () => {};

  constructor({ open, since, onEvent, onState, onRead = () => {} }) {
    this.#open = open;
    this.#since = since;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#onRead = onRead;
  }

  /** Stay connected until `stop`. */
  async run() {
    const running = new AbortController();
    this.#running = running;
    while (!running.signal.aborted) {
      if (!this.#fails) this.#onState("connecting"); // else it is known to be away until it is back
      try {
        await this.#connection(running.signal);
      } catch {
        // refused, reset, silent or stopped: all end here and are tried again
      }
      if (!running.signal.aborted) await this.#pause();
    }
  }

  /** Hang up; `run` starts again from the same place. */
  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#wake();
  }

  /** Whether it is connected or on the way. */
  get running() {
    return this.#running !== null;
  }

  /** Do not wait for the next try. */
  retry() {
    this.#wake();
  }

  async #connection(stopped) {
    const watch = new AbortController();
    const signal = AbortSignal.any([stopped, watch.signal]);
    const headers = { Accept: "text/event-stream" };
    if (this.#since) headers["Last-Event-ID"] = this.#since;
    const response = await this.#open("/api/events", { headers, signal });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const lines = new Lines((event) => this.#take(event));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const silent = setTimeout(() => watch.abort(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(silent));
      if (done) return;
      lines.feed(value);
      this.#onRead();
    }
  }

  #take({ id, data }) {
    const event = JSON.parse(data);
    if (event.type === "connected") {
      this.#fails = 0;
      this.#onState("live");
    }
    if (id) this.#since = id;
    this.#onEvent({ at: id, ...event });
  }

  async #pause() {
    const pause = PAUSES_MS[Math.min(this.#fails++, PAUSES_MS.length - 1)];
    this.#onState("waiting");
    await new Promise((resolve) => {
      this.#wake = resolve;
      setTimeout(resolve, pause);
    });
  }
}

/** The lines of an event stream, in whatever pieces they arrive. */
class Lines {
  #onEvent;
  #rest = "";
  #id = "";
  #data = [];

  constructor(onEvent) {
    this.#onEvent = onEvent;
  }

  feed(text) {
    const lines = (this.#rest + text).split(/\r\n|\n/);
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") return this.#end();
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
  }

  #end() {
    if (this.#data.length) this.#onEvent({ id: this.#id, data: this.#data.join("\n") });
    this.#data = [];
    this.#id = "";
  }
}
