/* The event stream of the daemon (SSE), read with `fetch` because EventSource cannot send the token as a header. */

const PAUSES_MS = [300, 600, 1_200, 2_500, 5_000]; // before each reconnect; the last one repeats
export const SILENCE_MS = 45_000; // three missed pings: the connection is dead although it was not closed
const STATES = { connected: "live", store_away: "away", store_back: "live" }; // after these events

/** Reads events, reconnects after every failure, and resumes from the last event it has seen. */
export class EventStream {
  #open;
  #since;
  #onEvent;
  #onState;
  #onChunk;
  #failures = 0;
  #running = null; // aborts the current connection
  #endPause = () => {};

  /**
   * `onEvent({at, ...})` is called for each event, where `at` is its id; `onState(state)` with "connecting",
   * "live", "away" (the daemon is there, its Valkey is not) or "waiting"; `onChunk()` after everything received, pings
   * included.
   */
  constructor({ open, since, onEvent, onState, onChunk = () => {} }) {
    this.#open = open;
    this.#since = since;
    this.#onEvent = onEvent;
    this.#onState = onState;
    this.#onChunk = onChunk;
  }

  /** Stay connected until `stop`. */
  async run() {
    const running = new AbortController();
    this.#running = running;
    while (!running.signal.aborted) {
      if (!this.#failures) this.#onState("connecting"); // after a failure the state stays as it is until it is live
      let state = "waiting";
      try {
        if (!(await this.#connection(running.signal))) state = "away";
      } catch {
        // refused, reset, silent or stopped: each is followed by a reconnect, unless it was stopped
      }
      if (!running.signal.aborted) await this.#pause(state);
    }
  }

  /** Disconnect; `run` resumes from the same event. */
  stop() {
    this.#running?.abort();
    this.#running = null;
    this.#endPause();
  }

  /** Whether it is connected or trying to connect. */
  get running() {
    return this.#running !== null;
  }

  /** Reconnect at once instead of after the pause. */
  retry() {
    this.#endPause();
  }

  /** Read one stream to its end; return false if the daemon has refused it because Valkey is away. */
  async #connection(stopped) {
    const silence = new AbortController();
    const signal = AbortSignal.any([stopped, silence.signal]);
    const headers = { Accept: "text/event-stream" };
    if (this.#since) headers["Last-Event-ID"] = this.#since;
    const response = await this.#open("/api/events", { headers, signal });
    if (!response.ok) return (await response.json()).code !== "store_away";
    const parser = new SseParser((event) => this.#receive(event));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const timer = setTimeout(() => silence.abort(), SILENCE_MS);
      const { done, value } = await reader.read().finally(() => clearTimeout(timer));
      if (done) return true;
      parser.feed(value);
      this.#onChunk();
    }
  }

  #receive({ id, data }) {
    const event = JSON.parse(data);
    if (event.type === "connected") this.#failures = 0;
    if (STATES[event.type]) this.#onState(STATES[event.type]);
    if (id) this.#since = id;
    this.#onEvent({ at: id, ...event });
  }

  async #pause(state) {
    const pause = PAUSES_MS[Math.min(this.#failures++, PAUSES_MS.length - 1)];
    this.#onState(state);
    await new Promise((resolve) => {
      this.#endPause = resolve;
      setTimeout(resolve, pause);
    });
  }
}

/** Parses server-sent events from chunks that may end anywhere. */
class SseParser {
  #onEvent;
  #rest = ""; // an incomplete line
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
    if (line === "") return this.#dispatch();
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (name === "data") this.#data.push(value);
    else if (name === "id") this.#id = value;
  }

  #dispatch() {
    if (this.#data.length) this.#onEvent({ id: this.#id, data: this.#data.join("\n") });
    this.#data = [];
    this.#id = "";
  }
}
