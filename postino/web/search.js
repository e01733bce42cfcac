/* What is typed into the search: words, and filters such as `from:ada is:waiting after:mon`. */

const FILTERS = new Set(["from", "to", "thread", "is", "before", "after"]);
const STATES = new Set(["waiting", "read", "dead", "queued", "leased", "acked", "expired", "cleared"]);
const UNITS = { m: 60_000, min: 60_000, h: 3_600_000, d: 86_400_000 };
const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const DAY_MS = 86_400_000;

/** What the help says about the search. */
export const SEARCH_HELP = "from:NAME to:NAME thread:TITLE is:waiting|read|dead before:DATE after:12:30|mon|2h";

/**
 * Return `{query, words, problem}`: the parameters of the history, the text that is marked in what is found, and a
 * sentence about a filter that means nothing, or "".
 */
export function parseSearch(text, now = Date.now()) {
  const query = {};
  const words = [];
  let problem = "";
  for (const part of text.match(/\w+:"[^"]*"|\S+/g) ?? []) {
    const [, name, quoted, plain] = /^(\w+):(?:"([^"]+)"|(.+))$/.exec(part) ?? [];
    const value = quoted ?? plain;
    if (!FILTERS.has(name)) words.push(part);
    else if (name === "is" && STATES.has(value)) query.state = value;
    else if (name === "is") problem = `is: takes waiting, read or dead, not ${value}`;
    else if (name === "before" || name === "after") {
      const ms = moment(value.toLowerCase(), now);
      if (ms === null) problem = `${name}: takes a date, a time, a day or an age (2026-11-30, 12:30, mon, 2h), not ${value}`;
      else query[name] = `${Math.max(1, ms)}-0`;
    } else query[name] = value;
  }
  const q = words.filter(Boolean).join(" ");
  if (q) query.q = q;
  return { query, words: q, problem };
}

/** Return the time that a date, a time of today, a day or an age means, in ms, or null. */
function moment(text, now) {
  const midnight = new Date(now).setHours(0, 0, 0, 0);
  if (text === "today") return midnight;
  if (text === "yesterday") return midnight - DAY_MS;
  const day = DAYS.indexOf(text.slice(0, 3));
  if (day >= 0 && text.length >= 3) return midnight - ((new Date(now).getDay() - day + 7) % 7) * DAY_MS;
  const [, number, unit] = /^(\d+)(min|m|h|d)$/.exec(text) ?? [];
  if (unit) return now - Number(number) * UNITS[unit];
  const [, hours, minutes] = /^(\d{1,2}):(\d\d)$/.exec(text) ?? [];
  if (hours) return new Date(now).setHours(Number(hours), Number(minutes), 0, 0);
  const [, year, month, date] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? [];
  return year ? new Date(Number(year), Number(month) - 1, Number(date)).getTime() : null;
}
