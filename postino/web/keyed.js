/* Objects kept by key between two drawings of a list, such as its rows. */

/**
 * Return `{of, values, clear}`. `key(item)` is the key of an item's object, `make(item)` builds the object,
 * `update(object, item)` runs for new and kept objects.
 */
export function keyed({ key, make, update = () => {} }) {
  let kept = new Map();

  /** Return the objects of `items` in their order; forget the objects of all other items. */
  function of(items) {
    const next = new Map();
    const objects = items.map((item) => {
      const name = key(item);
      const object = next.get(name) ?? kept.get(name) ?? make(item);
      next.set(name, object);
      update(object, item);
      return object;
    });
    kept = next;
    return objects;
  }

  return { of, values: () => [...kept.values()], clear: () => void (kept = new Map()) };
}
