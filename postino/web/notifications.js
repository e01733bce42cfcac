/* Desktop notifications: off until the user turns them on, shown only while the page is hidden, without bodies. */

import { go, mailHash } from "./router.js";
import { load, save } from "./storage.js";

const supported = "Notification" in globalThis;

export const enabled = () => supported && load("notify") === "on" && Notification.permission === "granted";

/** Turn them off, or ask the browser for permission and turn them on; return a sentence that says the result. */
export async function toggle() {
  if (enabled()) {
    save("notify", "");
    return "Desktop notifications are off.";
  }
  if (!supported || (await Notification.requestPermission()) !== "granted") {
    return "This browser does not allow notifications from this page.";
  }
  save("notify", "on");
  return "Desktop notifications are on: mail to your name, broadcasts and dead letters, while this page is hidden.";
}

/** Show a notification if `event` is one that the user is notified of. */
export function notify(event) {
  if (!enabled() || !document.hidden) return;
  const content = describe(event, load("name"));
  if (!content) return;
  const shown = new Notification("postino", { body: content.text, tag: event.at, icon: "/web/favicon.svg" });
  shown.onclick = () => {
    window.focus();
    go(content.hash);
    shown.close();
  };
}

function describe({ type, from, to }, me) {
  if (type === "msg_send" && me && to === me) return { text: `New message from ${from}`, hash: mailHash(me) };
  if (type === "broadcast" && from !== me) return { text: `New broadcast from ${from}`, hash: "#/broadcasts" };
  if (type === "msg_dead") return { text: `Dead letter: a message from ${from} to ${to}`, hash: mailHash(to) };
  return null;
}
