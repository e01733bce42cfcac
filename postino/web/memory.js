/* What this browser keeps: the name one writes under and two switches. The token lives with the tab, see api.js. */

const PREFIX = "postino.";

/** Return what is kept under `key`; `otherwise` where nothing is, or where the browser keeps nothing. */
export function recall(key, otherwise = "") {
  try {
    return localStorage.getItem(PREFIX + key) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** Keep `value`; an empty one is forgotten. */
export function remember(key, value) {
  try {
    if (value) localStorage.setItem(PREFIX + key, value);
    else localStorage.removeItem(PREFIX + key);
  } catch {
    // private windows and full disks: the page works, it only forgets
  }
}
