/* Where one is, as the part of the address behind `#`; every place can be linked to. */

const VIEWS = new Set(["broadcasts", "activity"]);

/** Return what `hash` names: `{view, agent, q, thread, open}`; what nobody can name is everybody's mail. */
export function parse(hash) {
  const [path, search = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [first, second] = path.split("/");
  const asked = new URLSearchParams(search);
  const filters = { q: asked.get("q") ?? "", thread: asked.get("thread") ?? "" };
  if (VIEWS.has(first)) return { view: first };
  if (first === "agents" && second) return { view: "mail", agent: decoded(second), ...filters, pane: "mail" };
  return { view: "mail", agent: null, ...filters, pane: first === "mail" ? "mail" : "agents" };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray per cent sign is part of the name
  }
}

/** The address of one agent's mail, or of everybody's (null). */
export function toMail(agent, { q = "", thread = "" } = {}) {
  const asked = new URLSearchParams(Object.entries({ q, thread }).filter(([, value]) => value)).toString();
  return `${agent === null ? "#/mail" : `#/agents/${encodeURIComponent(agent)}`}${asked && `?${asked}`}`;
}

/** Go there; `replace` leaves no step back. */
export function go(hash, { replace = false } = {}) {
  if (replace) location.replace(hash);
  else location.hash = hash;
}

/** Call `listener` with where one is, now and after every step. */
export function follow(listener) {
  addEventListener("hashchange", () => listener(parse(location.hash)));
  listener(parse(location.hash));
}
