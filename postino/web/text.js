/* A body as nodes: what is between fences looks like code, addresses can be followed, nothing is ever markup. */

import { h } from "./dom.js";
import { visible } from "./format.js";

// each alternative is bounded, so that no body makes the search slow
const INLINE = /`([^`\n]{1,400})`|(https?:\/\/[^\s<>"'`\\]{1,1000})/g;
const MOST_PIECES = 400; // of code and addresses in one body: 32,768 characters could be 10,000 of them
const TRAILING = /[.,;:!?)\]}]+$/; // ends a sentence more often than an address

/** Return the nodes that show `body`. */
export function nodes(body) {
  const budget = { left: MOST_PIECES };
  return blocks(body).map((block) =>
    block.code === undefined ? prose(block.text, budget) : fenced(block.code, block.language),
  );
}

/** Split into prose and fenced code, line by line; a fence that is never closed is prose. */
export function blocks(body) {
  const found = [];
  let lines = [];
  let opened = null; // the line number in `lines` at which a fence began
  const flush = (end, block) => {
    const before = lines.slice(0, end).join("\n");
    if (before.trim()) found.push({ text: before.replace(/^\n+|\n+$/g, "") });
    if (block) found.push(block);
    lines = [];
    opened = null;
  };
  for (const line of body.split(/\r?\n/)) {
    lines.push(line);
    const fence = /^\s{0,3}```\s*([\w+#.-]{0,20})\s*$/.exec(line);
    if (!fence) continue;
    if (opened === null || fence[1]) opened = lines.length - 1;
    else
      flush(opened, { code: lines.slice(opened + 1, -1).join("\n"), language: lines[opened].trim().slice(3).trim() });
  }
  flush(lines.length);
  return found;
}

function prose(text, budget) {
  const paragraph = h("p", { class: "prose", dir: "auto" });
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    if (budget.left-- <= 0) break;
    paragraph.append(visible(text.slice(end, match.index)));
    const [whole, code] = match;
    const shown = code === undefined ? address(whole) : h("code", { text: visible(code) });
    paragraph.append(shown);
    end = match.index + (code === undefined ? shown.textContent.length : whole.length);
  }
  paragraph.append(visible(text.slice(end)));
  return paragraph;
}

/** A link whose whole target is what one reads. */
function address(found) {
  const url = found.replace(TRAILING, "");
  return h("a", { href: url, rel: "noopener noreferrer nofollow", target: "_blank", text: url });
}

function fenced(code, language) {
  return h(
    "pre",
    { tabindex: "0", role: "group", "aria-label": language ? `${language} code` : "code" },
    h("code", { text: visible(code), data: language ? { language } : {} }),
  );
}
