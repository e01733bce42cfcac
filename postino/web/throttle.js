/* Rate limits for work that many events ask for. */

/* Time the work took counts at most this long: if the machine slept meanwhile, the measured time is hours. */
const LONGEST_PAUSE_MS = 2_000;

/** Return a function that runs `draw` once in the next frame, however often it is called before. */
export function oncePerFrame(draw) {
  let frame = 0;
  return () => {
    frame ||= requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  };
}

/** Runs `work` on request: never twice at a time, and at least `wait` ms after the end of the last run. */
export class Throttle {
  #work;
  #wait;
  #timer = null;
  #running = false;
  #requested = false; // again, during a run
  #earliest = 0; // start of the next run, ms since the epoch

  constructor(work, wait) {
    this.#work = work;
    this.#wait = wait;
  }

  /** Request a run that begins after this call. */
  request() {
    if (this.#running) this.#requested = true;
    else this.#timer ??= setTimeout(() => this.#run(), Math.max(0, this.#earliest - Date.now()));
  }

  /** Cancel a requested run; one that has begun goes on. */
  cancel() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#requested = false;
  }

  async #run() {
    this.#timer = null;
    this.#running = true;
    const began = Date.now();
    try {
      await this.#work();
    } finally {
      this.#running = false;
      // a pause of twice the time the work took leaves a slow daemon time for other callers
      const pause = Math.min(LONGEST_PAUSE_MS, 2 * (Date.now() - began));
      this.#earliest = Date.now() + Math.max(this.#wait, pause);
      if (this.#requested) {
        this.#requested = false;
        this.request();
      }
    }
  }
}
