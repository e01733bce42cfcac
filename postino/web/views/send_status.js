/* What the form says after a send: `{text, kind, whenConnected}`. `kind` is "good", "note" or "bad"; `whenConnected`
   is the text that replaces it once the daemon answers again, absent if the text stays true. */

export const NO_STATUS = { text: "", kind: "good" };

const NAMED = 5; // agents, of up to 200 that a message went to

/** Return the status of a message that was accepted. */
export function messageSent(answer, message) {
  const { text, ...status } = accepted(answer, message);
  return answer.note ? { text: `${text} ${noted(answer)}`, kind: "note" } : { text, ...status };
}

/** Return what the daemon notes about a message, as a sentence: that it is a further answer. */
export const noted = ({ note }) => `${note[0].toUpperCase()}${note.slice(1)}.`;

function accepted(answer, message) {
  if (answer.recipients) return good(sentToSeveral(answer));
  if (!answer.created) return good(`Sent before as no. ${answer.seq}; it was not stored twice.`);
  if (answer.known) return good(`Sent to ${answer.to} as no. ${answer.seq}.`);
  const near = answer.names.length ? ` Did you mean ${answer.names.join(", ")}?` : "";
  return { text: `No agent named ${message.to} has been seen yet; the message waits.${near}`, kind: "note" };
}

function sentToSeveral({ recipients, group, created }) {
  const unknown = recipients.filter((each) => !each.known).map((each) => each.to);
  const whom = group ? `${recipients.length} of #${group}` : `${recipients.length} agents`;
  const named = [...unknown.slice(0, NAMED), ...(unknown.length > NAMED ? [`${unknown.length - NAMED} others`] : [])];
  const waits = unknown.length ? ` Nobody named ${named.join(" or ")} has been seen yet; the message waits.` : "";
  return `${created ? "Sent" : "Sent before"} to ${whom}.${waits}`;
}

/** Return the status of a broadcast that was accepted. */
export function broadcastSent(answer) {
  return good(
    answer.created
      ? `Sent as broadcast no. ${answer.seq}.`
      : `Sent before as broadcast no. ${answer.seq}; it was not stored twice.`,
  );
}

/**
 * Return the status of a send that failed. `mixed`: its text was put before text typed since, so that sending again
 * is another message, with another id.
 */
export function sendFailed({ message, outcome, code }, mixed) {
  const doubt = "Your text was put before what you typed since. It may have arrived already.";
  if (outcome === "unknown" && mixed) return bad(`${message} ${doubt}`, doubt);
  if (outcome === "unknown")
    return bad(`${message} Your text is kept. Sending it again is safe: it will not arrive twice.`, "");
  return code === "inbox_full"
    ? bad(`${message}. Your text is kept; try again when some mail has been read.`)
    : bad(`Not sent: ${message}`);
}

/** Return what is left of `status` when the daemon answers again. */
export function afterReconnect(status) {
  return status.whenConnected === undefined ? status : { text: status.whenConnected, kind: "note" };
}

const good = (text) => ({ text, kind: "good" });
const bad = (text, whenConnected) => ({ text, kind: "bad", whenConnected });
