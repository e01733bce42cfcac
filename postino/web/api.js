/* The REST API: one method per operation, one error class, the token sent as a header. */

import { loadForTab, removeForTab, saveForTab } from "./storage.js";

const TIMEOUT_MS = 10_000;

/** The daemon refused a call, or did not answer (`code` "unreachable"). `message` is shown to the user. */
export class ApiError extends Error {
  constructor({ code, error, retryable = false, outcome = null, names = [] }) {
    super(error);
    Object.assign(this, { code, retryable, outcome, names });
  }
}

/** Make a random message id. `crypto.randomUUID` exists only on loopback and HTTPS. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  #askToken;
  #asking = null; // the promise of the open sign-in dialog
  #replaced = new AbortController(); // aborted when a token arrives while the dialog is open
  #token = loadForTab("token");
  #refused = false; // whether the last token was refused
  proof = null; // that the page sends as a person, given by `postino open`

  /**
   * `askToken(wrong, signal)` asks the user for the token, and resolves to "" when `signal` is aborted. `wrong` is
   * true when a token was refused before.
   */
  constructor(askToken) {
    this.#askToken = askToken;
  }

  /** Use `token` from now on, save it for this tab, and close an open sign-in dialog. */
  setToken(token) {
    this.#token = token;
    this.#refused = false;
    saveForTab("token", token);
    this.#replaced.abort();
    this.#replaced = new AbortController();
  }

  stats = () => this.#call("GET", "stats");
  health = () => this.#call("GET", "health");
  agents = (limit, offset) => this.#call("GET", `agents?limit=${limit}&offset=${offset}`);
  agent = (name) => this.#call("GET", `agents/${encodeURIComponent(name)}`);
  history = (parameters) => this.#call("GET", `history?${query(parameters)}`);
  threads = (parameters) => this.#call("GET", `threads?${query(parameters)}`);
  /** Return the tree of a body, null if it is to be shown as written. */
  render = async (body) => (await this.#call("POST", "render", { body })).tree;
  send = (message) => this.#call("POST", "messages", message);
  readNow = (agent, consumer) =>
    this.#call("POST", `messages/${encodeURIComponent(agent)}/read`, { limit: 200, ack: "now", consumer });
  clear = (agent) => this.#call("DELETE", `messages/${encodeURIComponent(agent)}`);
  rename = (agent, name) => this.#call("POST", `agents/${encodeURIComponent(agent)}/rename`, { name });
  forget = (agent) => this.#call("DELETE", `agents/${encodeURIComponent(agent)}`);
  cleanup = () => this.#call("POST", "agents/cleanup", {});
  dead = (agent, limit, offset) =>
    this.#call("GET", `dead/${encodeURIComponent(agent)}?limit=${limit}&offset=${offset}`);
  requeue = (agent, ids) => this.#call("POST", `dead/${encodeURIComponent(agent)}/requeue`, ids ? { ids } : {});
  clearDead = (agent) => this.#call("DELETE", `dead/${encodeURIComponent(agent)}`);
  broadcasts = (limit, offset) => this.#call("GET", `broadcasts?limit=${limit}&offset=${offset}&render=1`);
  broadcast = (message) => this.#call("POST", "broadcasts", message);
  clearBroadcasts = () => this.#call("DELETE", "broadcasts");
  people = () => this.#call("GET", "people?limit=200");
  register = (name) => this.#call("POST", `people/${encodeURIComponent(name)}`, {});
  inbox = (name, limit) => this.#call("GET", `people/${encodeURIComponent(name)}?limit=${limit}&render=1`);
  seen = (name, ids) => this.#call("POST", `people/${encodeURIComponent(name)}/seen`, { ids });
  done = (name, ids) => this.#call("POST", `people/${encodeURIComponent(name)}/done`, { ids });
  heartbeat = (name) => this.#call("POST", `agents/${encodeURIComponent(name)}/heartbeat`, {});
  /** Exchange the single-use code of `postino open` for the token (null where none is set) and a proof of who sends. */
  signIn = (code) => this.#call("POST", "signin", { code });

  /**
   * Fetch `path` with the token. On status 401 repeat without the token, which is not needed any more where none is set,
   * and then ask the user for one. `timeout` (ms) is per try.
   */
  async open(path, { headers = {}, timeout, ...options } = {}) {
    for (;;) {
      const used = this.#token;
      const auth = used === null ? {} : { Authorization: `Bearer ${used}` };
      const response = await fetch(path, {
        ...(timeout && { signal: AbortSignal.timeout(timeout) }),
        ...options,
        headers: { ...headers, ...auth },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      if (response.status !== 401) return response;
      if (this.#token !== used) continue;
      if (used === null) await this.#askForToken(this.#refused);
      else this.#forgetToken();
    }
  }

  #forgetToken() {
    this.#refused = true;
    this.#token = null;
    removeForTab("token");
  }

  /** Open one dialog, however many calls wait for the token. */
  async #askForToken(wrong) {
    this.#asking ??= this.#askToken(wrong, this.#replaced.signal);
    const token = await this.#asking;
    this.#asking = null;
    if (token) this.setToken(token);
  }

  async #call(method, path, body) {
    const headers = { "X-Postino-Via": "web", ...(this.proof && { "X-Postino-Person": this.proof }) };
    if (method === "POST") headers["Content-Type"] = "application/json";
    let response;
    let answer;
    try {
      response = await this.open(`/api/${path}`, {
        method,
        headers,
        body: body && JSON.stringify(body),
        timeout: TIMEOUT_MS,
      });
      answer = await response.json();
    } catch {
      throw new ApiError({
        code: "unreachable",
        retryable: true,
        outcome: method === "GET" ? "none" : "unknown",
        error: "postino does not answer. Start it with `postino up`.",
      });
    }
    // an unhealthy daemon answers /health with status 503 and a report, which has no code
    if (response.ok || !answer.code) return answer;
    throw new ApiError(answer);
  }
}

function query(parameters) {
  return new URLSearchParams(Object.entries(parameters).filter(([, value]) => value)).toString();
}
