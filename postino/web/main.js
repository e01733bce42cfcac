/* The composition root: makes the parts, and passes what happens from the stream to those whom it concerns. */

import { Api } from "./api.js";
import { h } from "./dom.js";
import { listen } from "./keys.js";
import * as notify from "./notify.js";
import { follow, go, parse } from "./router.js";
import { EventLog, SPAN_MS } from "./state/log.js";
import { Roster } from "./state/roster.js";
import { EventStream } from "./stream.js";
import { ActivityView } from "./views/activity.js";
import { AgentList } from "./views/agents.js";
import { BroadcastsView } from "./views/broadcasts.js";
import { KnownNames } from "./views/compose.js";
import { ConversationView } from "./views/conversation.js";
import { Dialogs } from "./views/dialogs.js";
import { Frame } from "./views/frame.js";

const HIDDEN_MS = 60_000; // a browser allows six connections to one server: tabs nobody looks at must not hold them all

const dialogs = new Dialogs();
const api = new Api((wrong) => dialogs.askToken(wrong));
const log = new EventLog();
const roster = new Roster(api);
const frame = new Frame({ dialogs, retry: () => stream?.retry() });
const app = { api, log, roster, dialogs, attempt };

const agents = new AgentList(roster);
const mail = new ConversationView(app);
const broadcasts = new BroadcastsView(app);
const activity = new ActivityView(app);
const desk = h("div", { class: "desk" }, agents.element, mail.element, new KnownNames(roster).element);

let stream = null;
let began = 0; // the daemon's clock when the page began: what happened before is only listed

roster.changed.on(() => frame.unread(roster.unread));

/** Do something and say how it went: with its own words, or with those of the refusal. */
async function attempt(work) {
  try {
    frame.say(await work());
  } catch (refusal) {
    frame.say(refusal.message, "bad");
  }
}

function show(place) {
  if (place.view === "broadcasts") return open("broadcasts", broadcasts, "broadcasts");
  if (place.view === "activity") return open("activity", activity, "activity");
  desk.dataset.pane = place.pane;
  keepFocus();
  agents.mark(place.pane === "agents" && matchMedia("(max-width: 45rem)").matches ? undefined : place.agent);
  frame.show("mail", desk, place.agent ?? "");
  mail.show(place);
}

/** On a narrow screen the pane with the focus may just have gone: the other one gets it. */
function keepFocus() {
  const { activeElement: active, body } = document;
  if (active !== body && !active.getClientRects().length) document.getElementById("main").focus();
}

function open(name, view, title) {
  frame.show(name, view.element, title);
  view.show();
}

/** Take in an event: everybody whom it may concern looks, each event once. */
function take(event) {
  if (event.type === "gap" || event.type === "dropped" || event.type === "connected") return takeNotice(event);
  if (!log.add(event) || event.ms <= began) return;
  roster.touch(event);
  mail.touch(event);
  broadcasts.touch(event);
  notify.tell(event);
}

function takeNotice({ type }) {
  if (type === "gap") log.forget(); // another store, or away for too long: ids may begin anew
  if (type === "connected") refresh();
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
    const health = await api.health();
    if (!health.ok) frame.warn(health.error ?? "Valkey can not be reached.");
    else
      frame.warn(
        health.durability === "volatile" ? `Accepted mail may be lost in a crash. ${health.warnings?.[0] ?? ""}` : "",
      );
  } catch {
    // the connection's state says it
  }
}

/** Begin with the last ten minutes, by the daemon's clock, so that the activity is not empty. */
async function begin() {
  for (;;) {
    try {
      began = Date.parse((await api.stats()).time);
      break;
    } catch {
      frame.connection("waiting");
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
  stream = new EventStream({
    open: (path, options) => api.open(path, options),
    since: `${began - SPAN_MS}-0`,
    onEvent: take,
    onState: (state) => frame.connection(state),
  });
  stream.run();
}

/** Change the code that `postino open` put into the address into a token, and take it out of the address. */
async function signInByCode() {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname);
  try {
    const token = await api.signIn(code);
    if (token) api.keep(token);
  } catch {
    frame.say("The sign-in code is used up or too old; run `postino open` again.", "bad");
  }
}

let resting = null;
document.addEventListener("visibilitychange", () => {
  clearTimeout(resting);
  if (document.hidden && !notify.wanted()) resting = setTimeout(() => stream?.stop(), HIDDEN_MS);
  else if (stream && !stream.running) stream.run();
});
addEventListener("online", () => stream?.retry());

listen({
  "/": () => (parse(location.hash).view === "activity" ? activity : agents).focusFilter(),
  "?": () => dialogs.help(),
  w: () => (parse(location.hash).view === "broadcasts" ? broadcasts : mail).write(),
  p: () => parse(location.hash).view === "activity" && activity.togglePause(),
  1: () => go("#/"),
  2: () => go("#/broadcasts"),
  3: () => go("#/activity"),
});

frame.connection("connecting");
await signInByCode(); // before anything is asked for, and before the router reads the address
follow(show);
roster.sync();
await begin();
