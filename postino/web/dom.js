/* Functions that build elements. Text is only ever set as text: no code of the page parses markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element. `props` are attributes, except `on` (listeners), `data` (dataset) and `text`.
 * An attribute that is false, null or undefined is left out, `true` becomes an empty one; children like that are
 * skipped.
 */
export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

/** Make an SVG element, as `h` does. */
export function svg(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(element, { on = {}, data = {}, text, ...attributes }, children) {
  for (const [name, value] of Object.entries(attributes)) set(element, name, value);
  for (const [name, listener] of Object.entries(on)) element.addEventListener(name, listener);
  Object.assign(element.dataset, data);
  if (text !== undefined) element.textContent = text;
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set or remove one attribute. */
export function set(element, name, value) {
  if (value === false || value === null || value === undefined) element.removeAttribute(name);
  else element.setAttribute(name, value === true ? "" : value);
}

/** Set the text if it differs: an unchanged node keeps the user's selection and causes no layout. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Make `wanted` the children of `parent`. Children already in order are not touched; the focus is kept. */
export function arrange(parent, wanted) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const kept = new Set(wanted);
  for (const child of [...parent.children]) if (!kept.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const child of wanted) {
    if (child === at) at = at.nextElementSibling;
    else parent.insertBefore(child, at);
  }
  if (focused && focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
}

/** Make text for screen readers only. */
export function visuallyHidden(text) {
  return h("span", { class: "visually-hidden", text });
}

/** Make a `time` element that shows `shown`. */
export function time(iso, shown, title) {
  return h("time", { datetime: iso, title, text: shown });
}
