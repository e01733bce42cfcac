/* What the form says after a send: `{text, kind, whenConnected}`. `kind` is "good", "note" or "bad"; `whenConnected`
   is the text that replaces it once the daemon answers again, absent if the text stays true. */

export const NO_STATUS = { text: "", kind: "good" };

/** Return the status of a message that was accepted. */
export function messageSent(answer, message) {
  if (!answer.created) return good(`It had arrived already, as no. ${answer.seq}.`);
  if (answer.known) return good(`Sent to ${answer.to} as no. ${answer.seq}.`);
  const near = answer.names.length ? ` Did you mean ${answer.names.join(", ")}?` : "";
  return { text: `Nobody called ${message.to} has been seen yet; the message waits.${near}`, kind: "note" };
}

/** Return the status of a broadcast that was accepted. */
export function broadcastSent(answer) {
  return good(answer.created ? `Broadcast no. ${answer.seq} is out.` : `It was out already, as no. ${answer.seq}.`);
}

/**
 * Return the status of a send that failed. `mixed`: its text was put before text typed since, so that sending again
 * is another message, with another id.
 */
export function sendFailed({ message, outcome, code }, mixed) {
  const doubt = "What you sent stands before what you typed since; it may have arrived.";
  if (outcome === "unknown" && mixed) return bad(`${message} ${doubt}`, doubt);
  if (outcome === "unknown")
    return bad(`${message} Your text is kept; send it again when it does, it will not arrive twice.`, "");
  return code === "inbox_full"
    ? bad(`${message}. Your text is kept; try again when some of it has been read.`)
    : bad(`Not sent: ${message}`);
}

/** Return what is left of `status` when the daemon answers again. */
export function afterReconnect(status) {
  return status.whenConnected === undefined ? status : { text: status.whenConnected, kind: "note" };
}

const good = (text) => ({ text, kind: "good" });
const bad = (text, whenConnected) => ({ text, kind: "bad", whenConnected });
