/* The composition root: creates the parts, shows the current view, and passes events to the parts. */

import { Api } from "./api.js";
import { h } from "./dom.js";
import { LiveEvents } from "./live_events.js";
import * as notifications from "./notifications.js";
import { follow, go, parse } from "./router.js";
import { listen } from "./shortcuts.js";
import { Agents } from "./state/agents.js";
import { EventLog } from "./state/event_log.js";
import { ActivityView } from "./views/activity.js";
import { AgentList } from "./views/agents.js";
import { BroadcastsView } from "./views/broadcasts.js";
import { KnownNames } from "./views/compose.js";
import { Dialogs } from "./views/dialogs.js";
import { Frame } from "./views/frame.js";
import { MailView } from "./views/mail.js";

const HEALTH_MS = 15_000; // Valkey can fail while the daemon runs, without an event
const NARROW = matchMedia("(max-width: 45rem)"); // as in the style sheets

const dialogs = new Dialogs();
const api = new Api((wrong, signal) => dialogs.askToken(wrong, signal));
const log = new EventLog();
const agents = new Agents(api);
const live = new LiveEvents({
  api,
  log,
  onState: (state) => frame.setConnection(state),
  onConnected,
  onEvent,
  keepHidden: notifications.enabled,
});
const frame = new Frame({ dialogs, retry: () => live.retry() });
const app = { api, log, agents, dialogs, attempt, toast: (text, kind) => frame.toast(text, kind) };

const agentList = new AgentList(agents);
const mail = new MailView(app);
const broadcasts = new BroadcastsView(app);
const activity = new ActivityView(app);
const mailLayout = h("div", { class: "mail-layout" }, agentList.element, mail.element, new KnownNames(agents).element);

/** Run `work` and show the sentence it returns, or the message of its error. */
async function attempt(work) {
  try {
    frame.toast(await work());
  } catch (error) {
    frame.toast(error.message, "bad");
  }
}

function show(place) {
  if (place.view === "broadcasts") return open("broadcasts", broadcasts);
  if (place.view === "activity") return open("activity", activity);
  mailLayout.dataset.pane = place.pane;
  keepFocus();
  agentList.mark(place.pane === "agents" && NARROW.matches ? undefined : place.agent);
  frame.show("mail", mailLayout, place.agent ?? "");
  mail.show(place);
}

function open(name, view) {
  frame.show(name, view.element, name);
  view.show();
}

/** On a narrow screen the pane with the focus may be hidden now: move the focus to the visible one. */
function keepFocus() {
  const { activeElement: active, body } = document;
  if (active !== body && !active.getClientRects().length) document.getElementById("main").focus();
}

function onEvent(event) {
  agents.onEvent(event);
  mail.onEvent(event);
  broadcasts.onEvent(event);
  notifications.notify(event);
}

function onConnected() {
  mail.onConnected();
  broadcasts.onConnected();
  refresh();
}

/** Load again what is shown: events may have been missed. */
function refresh() {
  agents.refresh();
  mail.refresh();
  broadcasts.refresh();
  checkHealth();
}

async function checkHealth() {
  try {
    frame.warn(warning(await api.health()));
  } catch {
    // the connection state shows it
  }
}

/** Return what is wrong with the daemon, or "". */
function warning({ ok, error, durability, warnings = [] }) {
  if (!ok) return error ?? "Valkey cannot be reached.";
  return durability === "volatile" ? `Accepted mail may be lost in a crash. ${warnings[0] ?? ""}` : "";
}

/** Exchange a code that `postino open` put into the address for the token; the address becomes `hash`. */
async function signInByCode(hash = "") {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname + hash);
  try {
    const token = await api.signIn(code);
    if (token) api.setToken(token);
  } catch {
    frame.toast("The sign-in code has been used or has expired. Run `postino open` again.", "bad");
  }
}

listen({
  "/": () => (parse(location.hash).view === "activity" ? activity : agentList).focusFilter(),
  "?": () => dialogs.help(),
  w: () => (parse(location.hash).view === "broadcasts" ? broadcasts : mail).write(),
  p: () => parse(location.hash).view === "activity" && activity.togglePause(),
  1: () => go("#/"),
  2: () => go("#/broadcasts"),
  3: () => go("#/activity"),
});
agents.changed.on(() => frame.setUnread(agents.unread));
setInterval(() => document.hidden || checkHealth(), HEALTH_MS);

// an address with a code that is pasted into an open page loads nothing
addEventListener("hashchange", ({ oldURL }) => signInByCode(new URL(oldURL).hash));
await signInByCode(); // before the first request, and before the router reads the address
follow(show);
agents.refresh();
await live.start();
