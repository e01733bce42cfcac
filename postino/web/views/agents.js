/* The agents beside the mail: who is online, for whom mail waits, and a filter over all of them. */

import { arrange, h, set, unseen, write } from "../dom.js";
import { ago, count, grouped, moment } from "../format.js";
import { icon } from "../icons.js";
import { arrows } from "../keys.js";
import { recall } from "../memory.js";
import { toMail } from "../router.js";
import { emptyRoster } from "./empty.js";
import { stamp } from "./stamp.js";

const STEP = 100; // rows shown at first and added by the button: more is not read, it is filtered

const GROUPS = [
  ["you", "You", (agent, me) => agent.name === me],
  ["online", "Online", (agent) => agent.online],
  ["waiting", "Mail waiting", (agent) => agent.messageCount > 0 || agent.dead > 0],
  ["offline", "Offline", () => true],
];

export class AgentList {
  element;
  #roster;
  #rows = new Map();
  #shown = STEP;
  #current = null;
  #filter = h("input", {
    type: "search",
    class: "filter",
    placeholder: "Filter agents",
    "aria-label": "Filter agents",
    autocomplete: "off",
    spellcheck: "false",
    "aria-keyshortcuts": "/",
  });
  #lists = new Map(GROUPS.map(([key, title]) => [key, new Group(key, title)]));
  #rest = h("button", { type: "button", class: "rest", on: { click: () => this.#showMore() } });
  #none = h("p", { class: "none", role: "status" });
  #empty = emptyRoster();
  #all = new AllRow();

  constructor(roster) {
    this.#roster = roster;
    const groups = [...this.#lists.values()].map((group) => group.element);
    const list = h("div", { class: "agent-scroll" }, this.#all.element, ...groups, this.#none, this.#rest, this.#empty);
    this.element = h(
      "nav",
      { class: "agents", "aria-label": "Agents" },
      h("div", { class: "filter-box" }, icon("search"), this.#filter, h("kbd", { "aria-hidden": "true", text: "/" })),
      list,
    );
    this.#filter.addEventListener("input", () => this.#filtered());
    this.#filter.addEventListener("keydown", (event) => event.key === "Enter" && list.querySelector("li a")?.click());
    arrows(this.element, () => [...list.querySelectorAll(this.#filter.value ? "li a" : "a.agent")]);
    roster.changed.on(() => this.draw());
    setInterval(() => this.draw(), 30_000); // "5 min ago" grows old
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  /** Mark the agent whose mail is shown; null: everybody's, undefined: none. */
  mark(current) {
    this.#current = current;
    this.draw();
  }

  draw() {
    const found = this.#found();
    const visible = found.slice(0, this.#shown);
    GROUPS.forEach(([key], group) => {
      const ofGroup = (agent) => agent.rank === group;
      const rows = visible.filter(ofGroup).map((agent) => this.#row(agent.record));
      this.#lists.get(key).fill(rows, found.filter(ofGroup).length);
    });
    this.#all.draw(this.#roster, this.#current === null);
    this.#drawEnds(found.length, visible.length);
    this.#forgetRows();
  }

  #found() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const matches = ({ name, aliases }) => [name, ...aliases].some((each) => each.toLowerCase().includes(wanted));
    const me = recall("name");
    return [...this.#roster.agents.values()]
      .filter(matches)
      .map((record) => ({ record, rank: rank(record, me) }))
      .sort(inOrder);
  }

  #row(record) {
    let row = this.#rows.get(record.name);
    if (!row) this.#rows.set(record.name, (row = new Row(record.name)));
    row.draw(record, this.#current === record.name);
    return row.element;
  }

  #drawEnds(found, visible) {
    const { size } = this.#roster.agents;
    this.#rest.hidden = found <= visible;
    write(this.#rest, `Show ${Math.min(STEP, found - visible)} more of ${grouped(found)}`);
    write(this.#none, size && !found ? "No agent is called like that." : "");
    this.#empty.hidden = size > 0 || !this.#roster.loaded;
  }

  #forgetRows() {
    if (this.#rows.size < 2 * this.#roster.agents.size + STEP) return;
    for (const name of this.#rows.keys()) if (!this.#roster.get(name)) this.#rows.delete(name);
  }

  #filtered() {
    this.#shown = STEP;
    this.draw();
  }

  #showMore() {
    this.#shown += STEP;
    this.draw();
  }
}

function rank(agent, me) {
  return GROUPS.findIndex(([, , belongs]) => belongs(agent, me));
}

/** By group; with mail first, then by name online, by last sight offline. */
function inOrder(a, b) {
  const [x, y] = [a.record, b.record];
  const seen = x.online ? 0 : (y.lastSeen ?? "").localeCompare(x.lastSeen ?? "");
  return a.rank - b.rank || (y.unread > 0) - (x.unread > 0) || seen || x.name.localeCompare(y.name);
}

class Group {
  element;
  #list;
  #number = h("span", { class: "group-count" });

  constructor(key, title) {
    this.#list = h("ul", { "aria-labelledby": `group-${key}` });
    this.element = h(
      "section",
      { class: "group" },
      h("h2", { id: `group-${key}`, class: "group-title" }, title, this.#number),
      this.#list,
    );
  }

  /** Show `rows`, the first ones of `total`. */
  fill(rows, total) {
    this.element.hidden = rows.length === 0;
    write(this.#number, grouped(total));
    arrange(this.#list, rows);
  }
}

class Row {
  element;
  #link;
  #mark = h("span", { class: "presence", "aria-hidden": "true" });
  #sight = h("span", { class: "sight" });
  #badge = h("span", { class: "badge" });
  #dead = h("span", { class: "badge badge-dead" });
  #drawn = null;

  constructor(name) {
    this.#link = h(
      "a",
      { class: "agent", href: toMail(name) },
      h("span", { class: "face" }, stamp(name), this.#mark),
      h("span", { class: "agent-name" }, h("bdi", { text: name })),
      this.#sight,
      this.#dead,
      this.#badge,
    );
    this.element = h("li", { data: { agent: name } }, this.#link);
  }

  draw(agent, current) {
    set(this.#link, "aria-current", current && "page");
    write(this.#sight, sight(agent));
    if (agent === this.#drawn) return;
    this.#drawn = agent;
    this.#link.classList.toggle("online", agent.online);
    this.#sight.title = agent.lastSeen ? `last seen ${moment(agent.lastSeen)}` : "";
    badge(this.#badge, agent.unread, "unread");
    badge(this.#dead, agent.dead, "dead", icon("skull"));
  }
}

function badge(element, number, word, ...picture) {
  element.hidden = number === 0;
  element.replaceChildren(...picture, number > 999 ? "999+" : String(number), unseen(` ${word}`));
}

function sight(agent) {
  const leased = agent.messageCount - agent.unread;
  const mine = !agent.lastSeen && agent.name === recall("name") && "the name you write under";
  const parts = [agent.online ? "online" : mine || (agent.lastSeen ? ago(agent.lastSeen) : "never seen")];
  if (agent.sessions > 1) parts.push(count(agent.sessions, "session"));
  if (leased > 0) parts.push(`${grouped(leased)} being read`);
  return parts.join(" · ");
}

/** The first row: everybody's mail. */
class AllRow {
  element;
  #sight = h("span", { class: "sight" });

  constructor() {
    this.element = h(
      "a",
      { class: "agent agent-all", href: "#/mail" },
      h("span", { class: "face" }, h("span", { class: "stamp stamp-all", "aria-hidden": "true" }, icon("mail"))),
      h("span", { class: "agent-name", text: "All mail" }),
      this.#sight,
    );
  }

  draw(roster, current) {
    set(this.element, "aria-current", current && "page");
    write(this.#sight, `${grouped(roster.online)} online · ${grouped(roster.unread)} unread`);
  }
}
