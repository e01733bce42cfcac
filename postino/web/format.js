/* Formats of times, numbers and text of others. Pure functions. */

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const SECONDS = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const DAY = new Intl.DateTimeFormat("en", { weekday: "long", day: "numeric", month: "long" });
const FULL = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const GROUPED = new Intl.NumberFormat("en");

// The characters that the daemon refuses in new text and that an old store may hold: C0 except \t \n \r, DEL and C1,
// bidi overrides and isolates, tag characters, lone surrogates. The same set as in postino/model.py.
const HIDDEN = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}\ud800-\udfff]/gu;

/** What an agent's name is, as the `pattern` of a field. */
export const NAME = "[A-Za-z0-9][A-Za-z0-9._\\-]{0,63}";

/** "12:03" */
export const clock = (iso) => CLOCK.format(new Date(iso));

/** "12:03:07" */
export const seconds = (iso) => SECONDS.format(new Date(iso));

/** "22 Nov 2026, 12:03:07" */
export const full = (iso) => FULL.format(new Date(iso));

/** "12:03" for today, else with the day */
export function moment(iso, now = Date.now()) {
  return sameDay(iso, now) ? clock(iso) : `${day(iso, now)}, ${clock(iso)}`;
}

/** "Today", "Yesterday" or "Saturday, November 21" */
export function day(iso, now = Date.now()) {
  if (sameDay(iso, now)) return "Today";
  return sameDay(iso, now - 86_400_000) ? "Yesterday" : DAY.format(new Date(iso));
}

function sameDay(iso, now) {
  return new Date(iso).toDateString() === new Date(now).toDateString();
}

/** "just now", "5 min ago", "3 h ago", "2 d ago" */
export function ago(iso, now = Date.now()) {
  const minutes = Math.floor((now - Date.parse(iso)) / 60_000);
  if (minutes < 1) return "just now"; // also when the daemon's clock is ahead
  if (minutes < 60) return `${minutes} min ago`;
  return minutes < 2_880 ? `${Math.floor(minutes / 60)} h ago` : `${Math.floor(minutes / 1_440)} d ago`;
}

/** "1 message", "2,000 messages" */
export function count(number, noun) {
  return `${GROUPED.format(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/** "claude-code in /home/me/project", or what of it is known of an agent's session */
export const place = ({ client, directory }) => [client, directory && `in ${directory}`].filter(Boolean).join(" ");

/** 12345 as "12,345" */
export const grouped = (number) => GROUPED.format(number);

/** The first characters of an id or session, enough to tell two apart. */
export function short(id, length = 10) {
  return cut(id, length, length + 1);
}

/**
 * Return `text`, or its first `length` characters when it has more than `most`. Counts code points, so that no emoji
 * is cut in two.
 */
function cut(text, length, most = length) {
  const characters = [...text];
  return characters.length > most ? `${characters.slice(0, length).join("")}…` : text;
}

/** Return `text` with each character that could hide or reorder others as an escape, as the command line does. */
export function visible(text) {
  return text.replace(HIDDEN, (found) => `\\u{${found.codePointAt(0).toString(16)}}`);
}

/** Return a body without the commonest marks of Markdown, for a line that is not rendered. */
export const unmarked = (text) => text.replace(/^[#>]{1,6} +(?=\S)|`+|\*\*/gm, "");

/** Return the first line of a body, for a quote. */
export function firstLine(text, length = 80) {
  return visible(cut(unmarked(text.trimStart().split("\n", 1)[0]), length));
}

/** Compare two stream IDs ("ms-seq") as numbers: negative when `a` is the earlier one. */
export function compareIds(a, b) {
  const [aMs, aSeq] = a.split("-").map(Number);
  const [bMs, bSeq] = b.split("-").map(Number);
  return aMs - bMs || aSeq - bSeq;
}

/** "just now" is "", else "4 min", "3 h", "2 d" since `iso`. */
export function lasting(iso, now = Date.now()) {
  const words = ago(iso, now);
  return words === "just now" ? "" : words.replace(" ago", "");
}

/** The last two parts of a directory, for a narrow place. */
export function shortPlace(directory) {
  const parts = directory.split("/").filter(Boolean);
  return parts.length > 2 ? `…/${parts.slice(-2).join("/")}` : directory;
}
