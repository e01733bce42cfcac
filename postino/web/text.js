/* A body as nodes: what is between fences looks like code, addresses can be followed, nothing is ever markup.
   The nodes hold the whole text; only the marks that were turned into looks are not displayed. */

import { h } from "./dom.js";
import { visible } from "./format.js";

// each alternative is bounded, so that no body makes the search slow
const INLINE = /`([^`\n]{1,400})`|(https?:\/\/[^\s<>"'`\\]{1,1000})/g;
const FENCE = /^\s{0,3}```\s*([\w+#.-]{0,20})\s*$/;
const MOST_PIECES = 400; // of code and addresses in one body: 32,768 characters could be 10,000 of them
const TRAILING = /[.,;:!?)\]}]+$/; // ends a sentence more often than an address

/** Return the nodes that show `body`; none when it is blank. */
export function nodes(body) {
  const budget = { left: MOST_PIECES };
  return joined(blocks(body)).map((block) => (block.code ? fenced(block) : prose(block, budget)));
}

/**
 * Split into prose and fenced code, `{code, open, text, close}`, where `open` and `close` are fences and line ends
 * around the text. A fence that is never closed is prose.
 */
function blocks(body) {
  const found = [];
  let lines = [];
  let opened = null; // where in `lines` a fence began
  for (const line of body.split(/(?<=\n)/)) {
    lines.push(line);
    const fence = FENCE.exec(line);
    if (fence && (opened === null || fence[1])) opened = lines.length - 1;
    else if (fence) {
      found.push(paragraph(lines.slice(0, opened)), listing(lines.slice(opened)));
      lines = [];
      opened = null;
    }
  }
  found.push(paragraph(lines));
  return found;
}

/** Leave out blocks without text; their line ends go to a neighbour. */
function joined(all) {
  const kept = [];
  let blank = "";
  for (const block of all) {
    if (block.code || block.text) kept.push({ ...block, open: blank + block.open });
    blank = block.code || block.text ? "" : blank + block.open + block.close;
  }
  if (kept.length) kept.at(-1).close += blank;
  return kept;
}

function paragraph(lines) {
  const all = lines.join("");
  const text = all.trimEnd().replace(/^[\r\n]+/, "");
  const at = all.indexOf(text);
  return { code: false, open: all.slice(0, at), text, close: all.slice(at + text.length) };
}

function listing(lines) {
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
    element.append(visible(text.slice(end, match.index)), ...(code === undefined ? [address(whole)] : inline(code)));
    end = match.index + (code === undefined ? trimmed(whole).length : whole.length);
  }
  element.append(visible(text.slice(end)), mark(close));
  return element;
}

function inline(code) {
  return [mark("`"), h("code", { text: visible(code) }), mark("`")];
}

/** A link whose whole target is what one reads. */
function address(found) {
  const url = trimmed(found);
  return h("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank", text: url });
}

const trimmed = (url) => url.replace(TRAILING, "");

function fenced({ language, open, text, close }) {
  const label = language ? `${language} code` : "code";
  // can be focused, so that the keyboard can scroll it
  return h(
    "pre",
    { tabindex: "0", role: "group", "aria-label": label },
    mark(open),
    h("code", { text: visible(text) }),
    mark(close),
  );
}

function mark(text) {
  return h("span", { class: "mark", text: visible(text) });
}
