/* The tree of a rendered body as elements. Only the tags listed here are made, and text is only ever text. */

import { h } from "../dom.js";
import { visible } from "../format.js";
import { icon } from "../icons.js";

// of the daemon's tree -> of the page. A heading of a body stands below the page's own headings.
const TAGS = new Map(
  Object.entries({ h1: "h4", h2: "h5", h3: "h6", h4: "h6", h5: "h6", h6: "h6" }).concat(
    ["p", "blockquote", "ul", "ol", "li", "hr", "table", "thead", "tbody", "tr", "th", "td"].map((tag) => [tag, tag]),
    ["strong", "em", "del", "code"].map((tag) => [tag, tag]),
  ),
);
const CODE = new Set(["k", "s", "c", "m", "b", "gi", "gd"]);
const ADDRESS = /^(https?:\/\/|mailto:)/i;
const ALIGN = new Set(["left", "center", "right"]);

/** Return the nodes of a tree. */
export function drawTree(tree) {
  return tree.map(node);
}

function node(found) {
  if (typeof found === "string") return visible(found);
  const [tag, ...rest] = found;
  const attributes = rest.length && isAttributes(rest[0]) ? rest.shift() : {};
  if (tag === "pre") return code(attributes, rest);
  if (tag === "a") return link(attributes, rest);
  if (!TAGS.has(tag)) return h("span", {}, ...rest.map(node)); // a newer daemon's tag: its text is shown
  const element = h(TAGS.get(tag), { dir: tag === "p" || tag === "li" ? "auto" : null }, ...rest.map(node));
  if (tag === "p") element.className = "prose";
  if (Number.isInteger(attributes.start)) element.start = attributes.start;
  if (Number.isInteger(attributes.value)) element.value = attributes.value;
  if (ALIGN.has(attributes.align)) element.dataset.align = attributes.align;
  if (typeof attributes.task === "boolean") addTask(element, attributes.task);
  return tag === "table" ? h("div", { class: "table-box", tabindex: "0", role: "group", "aria-label": "table" }, element) : element;
}

const isAttributes = (value) => typeof value === "object" && !Array.isArray(value);

function addTask(item, done) {
  item.classList.add("task");
  item.prepend(h("span", { class: "task-box", role: "img", "aria-label": done ? "done" : "to do", text: done ? "☑" : "☐" }), " ");
}

function code({ lang }, parts) {
  const shown = parts.map((part) =>
    typeof part === "string" || !CODE.has(part[0]) ? visible(plain(part)) : h("span", { class: `t-${part[0]}`, text: visible(plain(part)) }),
  );
  const label = lang ? `${lang} code` : "code";
  // focusable, so that it can be scrolled with the keyboard
  const block = h("pre", { tabindex: "0", role: "group", "aria-label": label }, h("code", {}, ...shown));
  return lang ? h("div", { class: "code-box" }, h("span", { class: "code-lang", "aria-hidden": "true", text: lang }), block) : block;
}

const plain = (part) => (typeof part === "string" ? part : String(part[1]));

/** Make a link. One whose text is not its address shows the host that it leads to, and one with a title that. */
function link({ href, host, title, image }, children) {
  const inside = children.map(node);
  if (typeof href !== "string" || !ADDRESS.test(href)) return h("span", {}, ...inside);
  const made = h("a", { href, rel: "noopener noreferrer nofollow", target: "_blank", title: href }, image && icon("image"), ...inside);
  const behind = [host && ` (${visible(host)})`, title && ` “${visible(title)}”`].filter(Boolean).join("");
  return behind ? h("span", { class: "to-host" }, made, h("span", { class: "host", text: behind })) : made;
}
