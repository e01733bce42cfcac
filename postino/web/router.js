/* The current view as the part of the address after `#`, so that every view can be linked to. */

const VIEWS = new Set(["inbox", "broadcasts", "activity"]);

/** Return `{view, agent, q, thread, message, pane}` of `hash`; an unknown one means the mail of all agents. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [first, second] = path.split("/");
  const parameters = new URLSearchParams(search);
  const asked = (name) => parameters.get(name) ?? "";
  const filters = { q: asked("q"), thread: asked("thread"), message: asked("message") };
  if (VIEWS.has(first)) return { view: first };
  if (first === "threads") {
    const thread = second ? decode(second) : "";
    return { view: "threads", agent: null, ...filters, thread, pane: thread ? "mail" : "agents" };
  }
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
export function mailHash(agent, { q = "", thread = "", message = "" } = {}) {
  const search = new URLSearchParams(Object.entries({ q, thread, message }).filter(([, value]) => value)).toString();
  return `${agent === null ? "#/mail" : `#/agents/${encodeURIComponent(agent)}`}${search && `?${search}`}`;
}

/** Return the address of a thread. */
export const threadHash = (thread, { q = "" } = {}) =>
  `#/threads/${encodeURIComponent(thread)}${q && `?${new URLSearchParams({ q })}`}`;

/** Return the address of one message, among the mail of its recipient. */
export const messageHash = ({ to, recipients, id, kind }) => mailHash(kind === "broadcast" ? null : (recipients?.[0].to ?? to), { message: id });

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
