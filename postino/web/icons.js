/* The icons: 16 by 16, drawn in the colour of the text around them. */

import { svg } from "./dom.js";

const PATHS = {
  inbox: "M2.5 9.5 4.3 3h7.4l1.8 6.5V13h-11z M2.5 9.5h3l1 1.6h3l1-1.6h3",
  mail: "M2 4.5h12v8H2z M2.5 5 8 9.2 13.5 5",
  megaphone: "M3 6.5v3l7.5 3.5v-10z M13 6v4 M4.5 10.2 5.5 13.5h1.8l-.8-2.4",
  pulse: "M1.5 8.5h3l2-5 3 9.5 2-4.5h3",
  bell: "M4 11V7.2a4 4 0 0 1 8 0V11l1.2 1.5H2.8z M6.7 14.2h2.6",
  help: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z M6.2 6.3a1.9 1.9 0 1 1 2.6 1.8c-.6.3-.8.6-.8 1.2 M8 11.3v.2",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9z M10.4 10.4 14 14",
  pen: "M10.8 2.7 13.3 5.2 5.5 13H3v-2.5z M9.3 4.2l2.5 2.5",
  back: "M9.8 3 4.8 8l5 5",
  down: "M8 3v9.5 M4 8.8 8 12.8l4-4",
  clock: "M8 1.8a6.2 6.2 0 1 1 0 12.4A6.2 6.2 0 0 1 8 1.8z M8 4.5V8l2.3 1.5",
  lock: "M4.5 7.5V5.2a3.5 3.5 0 0 1 7 0v2.3 M3.3 7.5h9.4v6H3.3z",
  check: "M2.8 8.5 6.3 12l7-8",
  cross: "M4 4l8 8 M12 4l-8 8",
  skull: "M8 2a5.2 5.2 0 0 0-3 9.4V14h6v-2.6A5.2 5.2 0 0 0 8 2z M6 7.5v.3 M10 7.5v.3 M8 12v2",
  trash: "M3 4.5h10 M6.2 4.5V3h3.6v1.5 M4.2 4.5l.7 9h6.2l.7-9",
  seal:
    "M8 1.6l1.7 1.2 2-.1.6 2 1.6 1.3-.7 1.9.7 1.9-1.6 1.3-.6 2-2-.1L8 14.3l-1.7-1.2-2" +
    " .1-.6-2-1.6-1.3.7-1.9-.7-1.9 1.6-1.3.6-2 2 .1z M5.6 8l1.7 1.7 3.1-3.4",
  reply: "M6.5 3.5 2.5 7.5l4 4 M2.5 7.5h6.5a4.5 4.5 0 0 1 4.5 4.5v1",
  thread: "M3 3.5h10v7H7.5L4.5 13v-2.5H3z",
  copy: "M5.5 5.5h8v8h-8z M3 10.5H2.5v-8h8V3",
  repeat: "M13 8a5 5 0 1 1-1.5-3.6 M13.2 2.2v2.8h-2.8",
  pause: "M5.5 3.5v9 M10.5 3.5v9",
  play: "M5 3.3v9.4L12.5 8z",
  link: "M6.8 9.2a2.6 2.6 0 0 0 3.7 0l2.3-2.3a2.6 2.6 0 0 0-3.7-3.7l-.9.9 M9.2 6.8a2.6 2.6 0 0 0-3.7 0L3.2 9.1a2.6 2.6 0 0 0 3.7 3.7l.9-.9",
  image: "M2.5 3.5h11v9h-11z M2.8 11.5l3.2-3 2.5 2 2-1.7 2.8 2.4 M10.3 6.3v.1",
  warning: "M8 2.2 14.3 13H1.7z M8 6.5v3 M8 11.2v.2",
  broom: "M10.5 2 7.8 7.2 M4 7.5l6.5 3-1.8 3.5-6.2-2.8z",
  eye: "M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8z M8 6.2a1.8 1.8 0 1 1 0 3.6 1.8 1.8 0 0 1 0-3.6z",
};

/** Draw the icon `name`. It is hidden from screen readers: the text beside it says what it means. */
export function icon(name) {
  const pen = {
    fill: "none",
    stroke: "currentColor",
    "stroke-width": "1.5",
    "stroke-linecap": "round",
    "stroke-linejoin": "round",
  };
  return svg(
    "svg",
    { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("path", { d: PATHS[name], ...pen }),
  );
}
