/* The current view as the part of the address after `#`, so that every view can be linked to. */

const VIEWS = new Set(["broadcasts", "activity"]);

/** Return `{view, agent, q, thread, pane}` of `hash`; an unknown one means the mail of all agents. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [first, second] = path.split("/");
  const parameters = new URLSearchParams(search);
  const filters = { q: parameters.get("q") ?? "", thread: parameters.get("thread") ?? "" };
  if (VIEWS.has(first)) return { view: first };
  if (first === "agents" && second) return { view: "mail", agent: decode(second), ...filters, pane: "mail" };
  return { view: "mail", agent: null, ...filters, pane: first === "mail" ? "mail" : "agents" };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a % that encodes nothing is part of the name
  }
}

/** Return the address of the mail of one agent, or of all agents (null). */
export function mailHash(agent, { q = "", thread = "" } = {}) {
  const search = new URLSearchParams(Object.entries({ q, thread }).filter(([, value]) => value)).toString();
  return `${agent === null ? "#/mail" : `#/agents/${encodeURIComponent(agent)}`}${search && `?${search}`}`;
}

/** Go to `hash`; `replace` adds no entry to the browser's history. */
export function go(hash, { replace = false } = {}) {
  if (replace) location.replace(hash);
  else location.hash = hash;
}

/** Call `listener` with the current view, now and after every change. */
export function follow(listener) {
  addEventListener("hashchange", () => listener(parse(location.hash)));
  listener(parse(location.hash));
}
