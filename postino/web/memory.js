/* What this browser keeps: the name one writes under and two switches; and what this tab keeps: the token. A browser
   that blocks site data throws when its storage is only named: the page works, it forgets. */

const PREFIX = "postino.";
const tab = new Map(); // until a reload, where the browser keeps nothing

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
    // private windows and full disks, too
  }
}

/** Return what this tab keeps under `key`, or null. */
export function recallHere(key) {
  try {
    return sessionStorage.getItem(PREFIX + key) ?? tab.get(key) ?? null;
  } catch {
    return tab.get(key) ?? null;
  }
}

/** Keep `value` until this tab is closed. */
export function rememberHere(key, value) {
  tab.set(key, value);
  try {
    sessionStorage.setItem(PREFIX + key, value);
  } catch {
    // then until it is loaded again
  }
}
