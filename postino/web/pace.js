/* Work that many events ask for: done soon, once for all of them, and never more often than is good. */

const LONGEST_MS = 2_000; // a machine that slept during the work makes it look like hours: the next must not wait twice that

/** Return a function that asks for `draw` in the next frame, however often it is called until then. */
export function perFrame(draw) {
  let asked = 0;
  return () => {
    asked ||= requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** Runs `work` at once when asked, but never twice at a time nor sooner than `wait` ms after the last run. */
export class Pace {
  #work;
  #wait;
  #timer = null;
  #busy = false;
  #again = false;
  #free = 0; // when the next run may begin

  constructor(work, wait) {
    this.#work = work;
    this.#wait = wait;
  }

  /** Ask for a run that begins after this call. */
  ask() {
    if (this.#busy) this.#again = true;
    else this.#timer ??= setTimeout(() => this.#run(), Math.max(0, this.#free - Date.now()));
  }

  /** Forget what was asked for. */
  stop() {
    clearTimeout(this.#timer);
    this.#timer = null;
    this.#again = false;
  }

  async #run() {
    this.#timer = null;
    this.#busy = true;
    const began = Date.now();
    try {
      await this.#work();
    } finally {
      this.#busy = false;
      // slow work is asked for less, so that the daemon has time for others
      this.#free = Date.now() + Math.max(this.#wait, Math.min(LONGEST_MS, 2 * (Date.now() - began)));
      if (this.#again) {
        this.#again = false;
        this.ask();
      }
    }
  }
}
