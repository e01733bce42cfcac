/* Desktop notifications: only for whoever asked for them, only while the page is out of sight, never with a body. */

import { recall, remember } from "./memory.js";
import { go, toMail } from "./router.js";

const supported = "Notification" in globalThis;

export const wanted = () => supported && recall("notify") === "on" && Notification.permission === "granted";

/** Turn them on, asking the browser for leave, or off; return the sentence that says how it went. */
export async function toggle() {
  if (wanted()) {
    remember("notify", "");
    return "Desktop notifications are off.";
  }
  if (!supported || (await Notification.requestPermission()) !== "granted") {
    return "This browser does not let the page notify you.";
  }
  remember("notify", "on");
  return "You are told of mail to your name, broadcasts and dead letters while this page is out of sight.";
}

/** Tell of an event, if it is one to be told of. */
export function tell(event) {
  if (!wanted() || !document.hidden) return;
  const said = sentence(event, recall("name"));
  if (!said) return;
  const shown = new Notification("postino", { body: said.text, tag: event.at, icon: "/web/favicon.svg" });
  shown.onclick = () => {
    window.focus();
    go(said.place);
    shown.close();
  };
}

function sentence({ type, from, to }, me) {
  if (type === "msg_send" && me && to === me) return { text: `${from} has written to you`, place: toMail(me) };
  if (type === "broadcast" && from !== me) return { text: `${from} has sent a broadcast`, place: "#/broadcasts" };
  if (type === "msg_dead") return { text: `A message from ${from} to ${to} is dead`, place: toMail(to) };
  return null;
}
