/* The person who uses this browser: the name as which the page reads the inbox and writes, and whether it is proved. */

import { loadForTab, load, removeForTab, save, saveForTab } from "../storage.js";
import { Signal } from "./signal.js";

const BEAT_MS = 12_000; // presence lasts for 30 s after a sign
const AWAY_MS = 300_000; // hidden this long, the page counts as away

export class Me {
  name = ""; // "": not known yet, or the daemon knows no person
  loaded = false;
  problem = ""; // why the chosen name cannot be used
  unknown = ""; // why no name is known yet
  changed = new Signal();
  #api;
  #hiddenAt = 0;

  constructor(api) {
    this.#api = api;
    api.proof = loadForTab("proof");
    document.addEventListener("visibilitychange", () => this.#onVisibility());
    this.#onVisibility();
    setInterval(() => this.#beat(), BEAT_MS);
  }

  /** Use the proof that `postino open` gave for a name; without one nothing changes. */
  signIn({ person, proof }) {
    if (!person || !proof) return;
    this.#api.proof = proof;
    saveForTab("proof", proof);
    save("person", person);
  }

  /** Learn the name: the one that was chosen in this browser, or else that of the daemon's person. */
  async load() {
    let people;
    try {
      people = (await this.#api.people()).items;
    } catch (error) {
      if (!this.loaded) this.unknown = error.message;
      return this.changed.emit(); // it is loaded again with the next connection
    }
    const chosen = load("person");
    const here = people.find((each) => each.here)?.name ?? "";
    if (!chosen || people.some(({ name }) => name === chosen)) this.#use(chosen || here);
    else await this.choose(chosen, here);
  }

  /** Use `name` from now on; if an agent has it, go on as `fallback`. */
  async choose(name, fallback = this.name) {
    this.problem = "";
    try {
      const person = await this.#api.register(name);
      save("person", person.name);
      if (this.#api.proof?.split(":", 1)[0] !== person.name) this.#forgetProof();
      this.#use(person.name);
    } catch (error) {
      this.problem = error.message;
      this.#use(fallback);
    }
  }

  /** The name to write as: until it is known the one that this browser had last, as while Valkey is away. */
  get writer() {
    return this.loaded ? this.name : load("last-person");
  }

  #forgetProof() {
    this.#api.proof = null;
    removeForTab("proof");
  }

  #use(name) {
    this.loaded = true;
    this.unknown = "";
    this.name = name;
    save("last-person", name);
    this.changed.emit();
    this.#beat();
  }

  #onVisibility() {
    this.#hiddenAt = document.hidden ? Date.now() : 0;
    this.#beat();
  }

  /** Show that the person is there. */
  async #beat() {
    if (!this.name || (this.#hiddenAt && Date.now() - this.#hiddenAt > AWAY_MS)) return;
    try {
      await this.#api.heartbeat(this.name);
    } catch {
      // the connection state shows it
    }
  }
}
