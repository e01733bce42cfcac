/* The REST API as this page uses it: one function per verb, refusals as one kind of error, the token in a header. */

import { recallHere, rememberHere } from "./memory.js";

const PATIENCE_MS = 10_000;

/** A refusal, or no answer at all (`code` "unreachable"); `message` is a sentence for the reader. */
export class Refusal extends Error {
  constructor({ code, error, retryable = false, outcome = null, names = [] }) {
    super(error);
    Object.assign(this, { code, retryable, outcome, names });
  }
}

/** Make an id for something to be sent. Not `randomUUID`: that is missing where the page is not on loopback. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Api {
  #askToken;
  #asking = null;
  #brought = new AbortController(); // aborted when a token comes in another way than by hand
  #token = recallHere("token");

  /**
   * `askToken(wrong, withdrawn)` asks the person for the token, "" when `withdrawn` is aborted; `wrong`: one was tried
   * and refused.
   */
  constructor(askToken) {
    this.#askToken = askToken;
  }

  /** Keep a token for this tab; nobody is asked for it any more. */
  keep(token) {
    this.#token = token;
    rememberHere("token", token);
    this.#brought.abort();
    this.#brought = new AbortController();
  }

  stats = () => this.#call("GET", "stats");
  health = () => this.#call("GET", "health");
  agents = (limit, offset) => this.#call("GET", `agents?limit=${limit}&offset=${offset}`);
  agent = (name) => this.#call("GET", `agents/${encodeURIComponent(name)}`);
  history = (asked) => this.#call("GET", `history?${query(asked)}`);
  send = (message) => this.#call("POST", "messages", message);
  readNow = (agent, consumer) =>
    this.#call("POST", `messages/${encodeURIComponent(agent)}/read`, { limit: 200, ack: "now", consumer });
  clear = (agent) => this.#call("DELETE", `messages/${encodeURIComponent(agent)}`);
  dead = (agent, limit, offset) =>
    this.#call("GET", `dead/${encodeURIComponent(agent)}?limit=${limit}&offset=${offset}`);
  requeue = (agent, ids) => this.#call("POST", `dead/${encodeURIComponent(agent)}/requeue`, ids ? { ids } : {});
  clearDead = (agent) => this.#call("DELETE", `dead/${encodeURIComponent(agent)}`);
  broadcasts = (limit, offset) => this.#call("GET", `broadcasts?limit=${limit}&offset=${offset}`);
  broadcast = (said) => this.#call("POST", "broadcasts", said);
  clearBroadcasts = () => this.#call("DELETE", "broadcasts");
  /** Change the single-use code of `postino open` into the token; null where none is needed. */
  signIn = async (code) => (await this.#call("POST", "signin", { code })).token;

  /** Fetch `path` with the token; when one is wanted, ask the person and try again. Each try has `patience` ms. */
  async open(path, { headers = {}, patience, ...options } = {}) {
    for (;;) {
      const used = this.#token;
      const auth = used === null ? {} : { Authorization: `Bearer ${used}` };
      const response = await fetch(path, {
        ...(patience && { signal: AbortSignal.timeout(patience) }),
        ...options,
        headers: { ...headers, ...auth },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
      });
      if (response.status !== 401) return response;
      if (this.#token === used) await this.#signInByHand(used !== null);
    }
  }

  /** One dialog, however many calls wait for it. */
  async #signInByHand(wrong) {
    this.#asking ??= this.#askToken(wrong, this.#brought.signal);
    const token = await this.#asking;
    this.#asking = null;
    if (token) this.keep(token);
  }

  async #call(method, path, body) {
    const headers = { "X-Postino-Via": "web" };
    if (method === "POST") headers["Content-Type"] = "application/json";
    let response;
    let answer;
    try {
      response = await this.open(`/api/${path}`, {
        method,
        headers,
        body: body && JSON.stringify(body),
        patience: PATIENCE_MS,
      });
      answer = await response.json();
    } catch {
      throw new Refusal({
        code: "unreachable",
        retryable: true,
        outcome: method === "GET" ? "none" : "unknown",
        error: "postino does not answer; `postino up` starts it.",
      });
    }
    // an unhealthy daemon's report is an answer, not a refusal
    if (response.ok || !answer.code) return answer;
    throw new Refusal(answer);
  }
}

function query(asked) {
  return new URLSearchParams(Object.entries(asked).filter(([, value]) => value)).toString();
}
