/* The body of a message as nodes: fenced code is set as code, addresses become links, nothing becomes markup.
   The nodes contain the whole text; fences and backquotes are only hidden. */

import { h } from "../dom.js";
import { visible } from "../format.js";

// each alternative is bounded, so that the time of the search stays linear
const INLINE = /`([^`\n]{1,400})`|(https?:\/\/[^\s<>"'`\\]{1,1000})/g;
const FENCE = /^\s{0,3}```\s*([\w+#.-]{0,20})\s*$/;
const MOST_INLINE = 400; // code spans and links in one body: 32,768 characters could contain 10,000
const TRAILING = /[.,;:!?)\]}]+$/; // after an address it is mostly punctuation of the sentence

/** Return the nodes that show `body`; none when it is blank. */
export function renderBody(body) {
  const budget = { left: MOST_INLINE };
  return withoutBlanks(blocks(body)).map((block) => (block.code ? fenced(block) : prose(block, budget)));
}

/**
 * Split into prose and fenced code, `{code, open, text, close}`, where `open` and `close` are the fences and line
 * ends around the text. A fence without an end is prose.
 */
function blocks(body) {
  const found = [];
  let lines = [];
  let opened = null; // index in `lines` of an opening fence
  for (const line of body.split(/(?<=\n)/)) {
    lines.push(line);
    const fence = FENCE.exec(line);
    if (fence && (opened === null || fence[1])) opened = lines.length - 1;
    else if (fence) {
      found.push(proseBlock(lines.slice(0, opened)), codeBlock(lines.slice(opened)));
      lines = [];
      opened = null;
    }
  }
  found.push(proseBlock(lines));
  return found;
}

/** Leave out blocks without text; their line ends are moved to the next block, or to the last one. */
function withoutBlanks(all) {
  const kept = [];
  let blank = "";
  for (const block of all) {
    if (block.code || block.text) kept.push({ ...block, open: blank + block.open });
    blank = block.code || block.text ? "" : blank + block.open + block.close;
  }
  if (kept.length) kept.at(-1).close += blank;
  return kept;
}

function proseBlock(lines) {
  const all = lines.join("");
  const text = all.trimEnd().replace(/^[\r\n]+/, "");
  const at = all.indexOf(text);
  return { code: false, open: all.slice(0, at), text, close: all.slice(at + text.length) };
}

function codeBlock(lines) {
  const [open, ...rest] = lines;
  const close = rest.pop();
  const code = rest.join("");
  const text = code.replace(/\r?\n$/, "");
  return { code: true, language: FENCE.exec(open)[1], open, text, close: code.slice(text.length) + close };
}

function prose({ open, text, close }, budget) {
  const element = h("p", { class: "prose", dir: "auto" }, mark(open));
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (budget.left-- <= 0) break;
    const [whole, code] = match;
    element.append(visible(text.slice(end, match.index)), ...(code === undefined ? [link(whole)] : inline(code)));
    end = match.index + (code === undefined ? trimmed(whole).length : whole.length);
  }
  element.append(visible(text.slice(end)), mark(close));
  return element;
}

function inline(code) {
  return [mark("`"), h("code", { text: visible(code) }), mark("`")];
}

/** Make a link that shows its whole target. */
function link(found) {
  const url = trimmed(found);
  return h("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank", text: url });
}

const trimmed = (url) => url.replace(TRAILING, "");

function fenced({ language, open, text, close }) {
  const label = language ? `${language} code` : "code";
  // focusable, so that it can be scrolled with the keyboard
  return h(
    "pre",
    { tabindex: "0", role: "group", "aria-label": label },
    mark(open),
    h("code", { text: visible(text) }),
    mark(close),
  );
}

/** Keep fences and backquotes in the text, but hide them. */
function mark(text) {
  return h("span", { class: "mark", text: visible(text) });
}
