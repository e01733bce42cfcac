/* The composition root: creates the parts, shows the current view, and passes events to the parts. */

import { Api } from "./api.js";
import { DemoApi } from "./demo/api.js";
import { h } from "./dom.js";
import { count } from "./format.js";
import { LiveEvents } from "./live_events.js";
import * as notifications from "./notifications.js";
import { follow, go, mailHash, parse } from "./router.js";
import { listen } from "./shortcuts.js";
import { Agents } from "./state/agents.js";
import { vitals } from "./state/attention.js";
import { EventLog } from "./state/event_log.js";
import { Inbox } from "./state/inbox.js";
import { Me } from "./state/me.js";
import { Previews } from "./state/previews.js";
import { ActivityView } from "./views/activity.js";
import { AgentList } from "./views/agents.js";
import { BroadcastsView } from "./views/broadcasts.js";
import { KnownNames } from "./views/compose.js";
import { Dialogs } from "./views/dialogs.js";
import { noThread } from "./views/empty.js";
import { Frame } from "./views/frame.js";
import { InboxView } from "./views/inbox.js";
import { MailView } from "./views/mail.js";
import { Strip } from "./views/strip.js";
import { ThreadList } from "./views/thread_list.js";

const HEALTH_MS = 15_000; // Valkey can fail while the daemon runs, without an event
const FIRST_ROWS_MS = 600; // at most, before what is there is shown
const NARROW = matchMedia("(max-width: 45rem)"); // as in the style sheets

const dialogs = new Dialogs();
const demo = new URLSearchParams(location.search).has("demo"); // a made-up mailroom: no daemon is asked
const api = demo ? new DemoApi() : new Api((wrong, signal) => dialogs.askToken(wrong, signal));
const log = new EventLog();
const agents = new Agents(api);
const me = new Me(api);
const inbox = new Inbox(api, me);
const previews = new Previews(api);
const strip = new Strip(agents);
const live = new LiveEvents({
  api,
  log,
  onState: (state) => {
    frame.setConnection(state);
    if (state === "away") checkHealth();
  },
  onConnected,
  onEvent,
  keepHidden: notifications.enabled,
  shared: !demo,
});
const frame = new Frame({ dialogs, retry: () => live.retry(), strip: strip.element });
const app = { api, log, agents, me, inbox, dialogs, attempt, confirmed, toast: (text, kind) => frame.toast(text, kind) };

const agentList = new AgentList(agents, previews, me, askCleanUp);
const threadList = new ThreadList(api);
const mail = new MailView(app);
const broadcasts = new BroadcastsView(app);
const activity = new ActivityView(app);
const inboxView = new InboxView(app);
const choose = h("section", { class: "mail" }, noThread());
const mailLayout = h("div", { class: "mail-layout" }, agentList.element, mail.element, new KnownNames(agents).element);

// the view is shown when it is known what stands above it, and the events of the last minutes are loaded after that
document.documentElement.dataset.starting = "";
const [agentsRead, inboxRead] = [agents, inbox].map(({ changed }) => new Promise((resolve) => changed.on(resolve)));
const firstRows = Promise.race([
  Promise.all([agentsRead, inboxRead]),
  new Promise((resolve) => setTimeout(resolve, FIRST_ROWS_MS)),
]);

/** Run `work` and show the sentence it returns, or the message of its error. */
async function attempt(work) {
  try {
    frame.toast(await work());
  } catch (error) {
    frame.toast(error.message, "bad");
  }
}

/** Ask `question`; if the answer is yes, run `work` as `attempt` does. */
async function confirmed(question, work) {
  if (await dialogs.confirm(question)) await attempt(work);
}

function show(place) {
  if (place.view === "broadcasts") return open("broadcasts", broadcasts);
  if (place.view === "activity") return open("activity", activity);
  if (place.view === "inbox") return open("inbox", inboxView);
  const side = place.view === "threads" ? threadList : agentList;
  if (mailLayout.firstElementChild !== side.element) mailLayout.firstElementChild.replaceWith(side.element);
  const pane = side === threadList && !place.thread ? choose : mail.element;
  if (mailLayout.children[1] !== pane) mailLayout.children[1].replaceWith(pane);
  mailLayout.dataset.pane = place.pane;
  keepFocus();
  agentList.mark(place.pane === "agents" && NARROW.matches ? undefined : place.agent);
  frame.show(place.view, mailLayout, place.thread || (place.agent ?? ""));
  if (side === threadList) threadList.show(place.thread);
  if (pane === mail.element) mail.show(place);
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
  inbox.onEvent(event);
  mail.onEvent(event);
  broadcasts.onEvent(event);
  threadList.onEvent(event);
  previews.onEvent(event);
  notifications.notify(event);
}

function onConnected() {
  for (const view of [mail, broadcasts, inboxView]) view.onConnected();
  refresh();
}

/** Load again what is shown: events may have been missed. */
function refresh() {
  agents.refresh();
  if (me.name) inbox.refresh();
  else me.load();
  mail.refresh();
  broadcasts.refresh();
  threadList.refresh();
  previews.refresh();
  learnLimits();
  checkHealth();
}

/** Learn how many messages an inbox holds. */
async function learnLimits() {
  try {
    strip.inboxMost = (await api.stats()).maxInbox ?? 0;
  } catch {
    // the connection state shows it
  }
}

function askCleanUp() {
  const question = {
    title: "Forget who is gone?",
    text: "Every agent that is offline and has no mail is forgotten. It appears again when it connects.",
    action: "Forget them",
  };
  confirmed(question, async () => {
    const { forgotten } = await api.cleanup();
    agents.refresh();
    return `${count(forgotten.length, "agent")} forgotten.`;
  });
}

/** Go to the mail of the agent that needs attention next, `step` after the one that is shown. */
function nextAttention(step) {
  const { names } = strip;
  if (!names.length) return frame.toast("Nobody needs attention.");
  const at = names.indexOf(parse(location.hash).agent);
  go(mailHash(names[(at < 0 ? (step > 0 ? 0 : names.length - 1) : at + step + names.length) % names.length]));
}

/** Let `act(view)` use the view that shows messages, if it does. */
function onMail(act, views = { mail, threads: mail, inbox: inboxView }) {
  return () => {
    const view = views[parse(location.hash).view];
    if (view) act(view);
  };
}

/** In the inbox a number is a choice, elsewhere a view. */
function press(number) {
  if (parse(location.hash).view === "inbox") inboxView.choose(number);
  else if (number <= 3) go(["#/", "#/broadcasts", "#/activity"][number - 1]);
}

const onInbox = (act) => onMail(act, { inbox: inboxView });

async function checkHealth() {
  try {
    if (demo) return;
    const health = await api.health();
    frame.warn(warning(health));
    strip.notify = health.notify ?? null;
  } catch {
    // the connection state shows it
  }
}

/** Return what is wrong with the daemon, or "". */
function warning({ ok, error, durability, warnings = [] }) {
  if (!ok) return error ?? "Valkey cannot be reached.";
  return durability === "volatile" ? `Accepted mail may be lost in a crash. ${warnings[0] ?? ""}` : "";
}

/** Exchange a code that `postino open` put into the address for the token; the address becomes `hash`. Return whether it was done. */
async function signInByCode(hash = "") {
  const code = /^#code=([\w-]+)$/.exec(location.hash)?.[1];
  if (!code) return false;
  history.replaceState(null, "", location.pathname + hash);
  try {
    const answer = await api.signIn(code);
    if (answer.token) api.setToken(answer.token);
    me.signIn(answer);
    if (me.name) await me.load();
    return true;
  } catch {
    frame.toast("The sign-in code has been used or has expired. Run `postino open` again.", "bad");
    return false;
  }
}

/** Let the first view be the inbox if something waits there. */
async function showWaiting() {
  await me.load();
  if (me.name) await inboxRead;
  if (inbox.open.length) history.replaceState(null, "", "#/inbox");
}

listen({
  "/": () => ({ activity, threads: threadList }[parse(location.hash).view] ?? agentList).focusFilter(),
  "?": () => dialogs.help(),
  s: onMail(() => mail.focusSearch(), { mail, threads: mail }),
  j: onMail((view) => view.select(1)),
  k: onMail((view) => view.select(-1)),
  r: onMail((view) => view.selected()?.reply()),
  v: onMail((view) => view.selected()?.toggleWritten()),
  y: onMail((view) => view.selected()?.copy()),
  e: onInbox((view) => view.done()),
  "]": () => nextAttention(1),
  "[": () => nextAttention(-1),
  "g i": () => go("#/inbox"),
  "g m": () => go("#/"),
  "g t": () => go("#/threads"),
  "g b": () => go("#/broadcasts"),
  "g a": () => go("#/activity"),
  w: () => ({ broadcasts, inbox: inboxView }[parse(location.hash).view] ?? mail).write(),
  p: () => parse(location.hash).view === "activity" && activity.togglePause(),
  ...Object.fromEntries([1, 2, 3, 4, 5].map((number) => [number, () => press(number)])),
});
agents.changed.on(() => frame.setVitals(vitals(agents)));
inbox.changed.on(() => {
  frame.setOpen(inbox.open.length);
  strip.setInbox(inbox.open.length, inbox.open[0]?.timestamp);
});
setInterval(() => document.hidden || checkHealth(), HEALTH_MS);

// an address with a code that is pasted into an open page loads nothing
addEventListener("hashchange", ({ oldURL }) => signInByCode(new URL(oldURL).hash));
// before the first request, and before the router reads the address
if (await signInByCode()) await showWaiting();
else me.load();
follow(show);
if (demo) frame.warn("This is a made-up mailroom: nothing here is real, and nothing is sent.");
agents.refresh();
firstRows.then(() => delete document.documentElement.dataset.starting);
await live.start(firstRows);
