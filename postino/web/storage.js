/* Settings kept in this browser (name, shortcuts, notifications) and the token kept in this tab.
   A browser that blocks site data throws on any access to its storage: the page then works without it. */

const PREFIX = "postino.";
const tab = new Map(); // lasts until a reload where sessionStorage is blocked

/** Return the value saved under `key`, or `fallback`. */
export function load(key, fallback = "") {
  try {
    return localStorage.getItem(PREFIX + key) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Save `value` in this browser. */
export function save(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // blocked, or the quota is used up
  }
}

/** Return the value saved for this tab, or null. */
export function loadForTab(key) {
  try {
    return sessionStorage.getItem(PREFIX + key) ?? tab.get(key) ?? null;
  } catch {
    return tab.get(key) ?? null;
  }
}

/** Save `value` until this tab is closed. */
export function saveForTab(key, value) {
  tab.set(key, value);
  try {
    sessionStorage.setItem(PREFIX + key, value);
  } catch {
    // blocked: `tab` still has it
  }
}

/** Forget what was saved for this tab. */
export function removeForTab(key) {
  tab.delete(key);
  try {
    sessionStorage.removeItem(PREFIX + key);
  } catch {
    // blocked: nothing was saved
  }
}
