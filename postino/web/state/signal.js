/** Something others may want to know of. */
export class Signal {
  #listeners = new Set();

  /** Call `listener` from now on; return the function that ends it. */
  on(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(...about) {
    for (const listener of [...this.#listeners]) listener(...about);
  }
}
