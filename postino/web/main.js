/* The composition root: makes the parts, shows the place one is at, and tells the parts what happens. */

import { Api } from "./api.js";
import { h } from "./dom.js";
import { listen } from "./keys.js";
import { Live } from "./live.js";
import * as notify from "./notify.js";
import { follow, go, parse } from "./router.js";
import { EventLog } from "./state/log.js";
import { Roster } from "./state/roster.js";
import { ActivityView } from "./views/activity.js";
import { AgentList } from "./views/agents.js";
import { BroadcastsView } from "./views/broadcasts.js";
import { KnownNames } from "./views/compose.js";
import { ConversationView } from "./views/conversation.js";
import { Dialogs } from "./views/dialogs.js";
import { Frame } from "./views/frame.js";

const HEALTH_MS = 15_000; // Valkey can go away while the daemon stays
const NARROW = matchMedia("(max-width: 45rem)"); // as in the style sheets

const dialogs = new Dialogs();
const api = new Api((...how) => dialogs.askToken(...how));
const log = new EventLog();
const roster = new Roster(api);
const live = new Live({ api, log, told: { state: tellState, connected, event: take }, stays: notify.wanted });
const frame = new Frame({ dialogs, retry: () => live.retry() });
const app = { api, log, roster, dialogs, attempt, say: (...words) => frame.say(...words) };

const agents = new AgentList(roster);
const mail = new ConversationView(app);
const broadcasts = new BroadcastsView(app);
const activity = new ActivityView(app);
const desk = h("div", { class: "desk" }, agents.element, mail.element, new KnownNames(roster).element);

/** Do something and say how it went: with its own words, or with those of the refusal. */
async function attempt(work) {
  try {
    frame.say(await work());
  } catch (refusal) {
    frame.say(refusal.message, "bad");
  }
}

function show(place) {
  if (place.view === "broadcasts") return open("broadcasts", broadcasts);
  if (place.view === "activity") return open("activity", activity);
  desk.dataset.pane = place.pane;
  keepFocus();
  agents.mark(place.pane === "agents" && NARROW.matches ? undefined : place.agent);
  frame.show("mail", desk, place.agent ?? "");
  mail.show(place);
}

function open(name, view) {
  frame.show(name, view.element, name);
  view.show();
}

/** On a narrow screen the pane with the focus may just have gone: the other one gets it. */
function keepFocus() {
  const { activeElement: active, body } = document;
  if (active !== body && !active.getClientRects().length) document.getElementById("main").focus();
}

function tellState(state) {
  frame.connection(state);
}

/** Everybody whom an event may concern looks at it. */
function take(event) {
  roster.touch(event);
  mail.touch(event);
  broadcasts.touch(event);
  notify.tell(event);
}

function connected() {
  mail.answered();
  broadcasts.answered();
  refresh();
}

/** Read again what is shown: after an absence, events alone do not tell all. */
function refresh() {
  roster.sync();
  mail.refresh();
  broadcasts.refresh();
  checkHealth();
}

async function checkHealth() {
  try {
    frame.warn(illness(await api.health()));
  } catch {
    // the state of the connection says it
  }
}

/** What is wrong with the daemon, or "". */
function illness({ ok, error, durability, warnings = [] }) {
  if (!ok) return error ?? "Valkey cannot be reached.";
  return durability === "volatile" ? `Accepted mail may be lost in a crash. ${warnings[0] ?? ""}` : "";
}

/** Change the code that `postino open` put into the address into a token, and take it out: `place` is shown instead. */
async function signInByCode(place = "") {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname + place);
  try {
    const token = await api.signIn(code);
    if (token) api.keep(token);
  } catch {
    frame.say("The sign-in code is used up or too old; run `postino open` again.", "bad");
  }
}

listen({
  "/": () => (parse(location.hash).view === "activity" ? activity : agents).focusFilter(),
  "?": () => dialogs.help(),
  w: () => (parse(location.hash).view === "broadcasts" ? broadcasts : mail).write(),
  p: () => parse(location.hash).view === "activity" && activity.togglePause(),
  1: () => go("#/"),
  2: () => go("#/broadcasts"),
  3: () => go("#/activity"),
});
roster.changed.on(() => frame.unread(roster.unread));
setInterval(() => document.hidden || checkHealth(), HEALTH_MS);

// such an address pasted into an open page loads nothing anew
addEventListener("hashchange", ({ oldURL }) => signInByCode(new URL(oldURL).hash));
await signInByCode(); // before anything is asked for, and before the router reads the address
follow(show);
roster.sync();
await live.begin();
