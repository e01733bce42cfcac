/** A list of listeners. */
export class Signal {
  #listeners = new Set();

  /** Call `listener` on every `emit`; return a function that removes it. */
  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Call all listeners with `values`. */
  emit(...values) {
    for (const listener of [...this.#listeners]) listener(...values);
  }
}
