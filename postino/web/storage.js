/* Settings kept in this browser (name, shortcuts, notifications) and the token kept in this tab.
   A browser that blocks site data throws on any access to its storage: the page then works without it. */

const PREFIX = "postino.";
const tab = new Map(); // lasts until a reload where sessionStorage is blocked

/** Return what `access()` returns, or null where the browser does not allow it. */
function allowed(access) {
  try {
    return access();
  } catch {
    return null; // blocked, or the quota is used up
  }
}

/** Return the value saved under `key`, or `fallback`. */
export const load = (key, fallback = "") => allowed(() => localStorage.getItem(PREFIX + key)) ?? fallback;

/** Save `value` in this browser. */
export const save = (key, value) => allowed(() => localStorage.setItem(PREFIX + key, value));

/** Return the value saved for this tab, or null. */
export const loadForTab = (key) => allowed(() => sessionStorage.getItem(PREFIX + key)) ?? tab.get(key) ?? null;

/** Save `value` until this tab is closed. */
export function saveForTab(key, value) {
  tab.set(key, value);
  allowed(() => sessionStorage.setItem(PREFIX + key, value));
}

/** Forget what was saved for this tab. */
export function removeForTab(key) {
  tab.delete(key);
  allowed(() => sessionStorage.removeItem(PREFIX + key));
}
