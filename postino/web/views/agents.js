/* The list of agents beside the mail: who is online, who has mail waiting, and a filter. */

import { arrange, h, set, visuallyHidden, write } from "../dom.js";
import { ago, count, grouped, lasting, moment, place, shortPlace, visible } from "../format.js";
import { icon } from "../icons.js";
import { keyed } from "../keyed.js";
import { mailHash } from "../router.js";
import { arrows } from "../shortcuts.js";
import { needsAttention, waitsMs } from "../state/attention.js";
import { SHARED } from "../state/inbox.js";
import { load } from "../storage.js";
import { avatar, avatarOfAll } from "./avatar.js";
import { emptyAgents } from "./empty.js";

const STEP = 100; // rows shown at first, and added by the button: a longer list is filtered, not read
const REDRAW_MS = 30_000; // for times such as "5 min ago"

const OLD_MS = 600_000; // a message that waits longer than this is shown in red

const GROUPS = [
  ["you", "You", (agent, me) => agent.name === me || agent.name === SHARED],
  ["attention", "Attention", (agent) => needsAttention(agent)],
  ["online", "Online", (agent) => agent.online],
  ["waiting", "Mail waiting", (agent) => agent.messageCount > 0 || agent.dead > 0],
  ["offline", "Offline", () => true],
];

export class AgentList {
  element;
  #agents;
  #me;
  #previews;
  #rows = keyed({
    key: ({ record }) => record.name,
    make: ({ record }) => new Row(record.name),
    update: (row, { record }) => row.draw(record, this.#current === record.name, this.#previews.get(record.name)),
  });
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
  #groups = GROUPS.map(([key, title]) => new Group(key, title));
  #more = h("button", { type: "button", class: "more", on: { click: () => this.#showMore() } });
  #noMatch = h("p", { class: "no-match", role: "status" });
  #empty = emptyAgents();
  #all = new AllRow();
  #cleanUp = h("button", { type: "button", class: "action clean-up" }, icon("broom"), "Forget who is gone");

  /** `cleanUp()` forgets every agent that is offline and has no mail. */
  constructor(agents, previews, me, cleanUp) {
    this.#me = me;
    me.changed.on(() => this.draw());
    this.#agents = agents;
    this.#previews = previews;
    this.#cleanUp.addEventListener("click", cleanUp);
    previews.changed.on(() => this.draw());
    const groups = this.#groups.map((group) => group.element);
    const list = h(
      "div",
      { class: "agent-scroll" },
      this.#all.element,
      ...groups,
      this.#noMatch,
      this.#more,
      this.#cleanUp,
      this.#empty,
    );
    this.element = h(
      "nav",
      { class: "agents", "aria-label": "Agents" },
      h("div", { class: "filter-box" }, icon("search"), this.#filter, h("kbd", { "aria-hidden": "true", text: "/" })),
      list,
    );
    this.#filter.addEventListener("input", () => this.#onFilter());
    this.#filter.addEventListener("keydown", (event) => event.key === "Enter" && list.querySelector("li a")?.click());
    arrows(this.element, () => [...list.querySelectorAll(this.#filter.value ? "li a" : "a.agent")]);
    agents.changed.on(() => this.draw());
    setInterval(() => this.draw(), REDRAW_MS);
  }

  focusFilter() {
    this.#filter.focus();
    this.#filter.select();
  }

  /** Mark the agent whose mail is shown; null: all mail, undefined: none. */
  mark(current) {
    this.#current = current;
    this.draw();
  }

  draw() {
    const found = this.#find();
    const shown = found.slice(0, this.#shown);
    const rows = this.#rows.of(shown);
    this.#groups.forEach((group, rank) => {
      const elements = rows.filter((_, at) => shown[at].rank === rank).map((row) => row.element);
      group.fill(elements, found.filter((agent) => agent.rank === rank).length);
    });
    this.#all.draw(this.#agents, this.#current === null);
    this.#drawEnd(found.length, shown.length);
  }

  /** Return the agents that match the filter, in the order of the list, with the index of their group. */
  #find() {
    const wanted = this.#filter.value.trim().toLowerCase();
    const matches = ({ name, aliases }) => [name, ...aliases].some((each) => each.toLowerCase().includes(wanted));
    const me = this.#me.name || load("name");
    return [...this.#agents.byName.values()]
      .filter(matches)
      .map((record) => ({ record, rank: GROUPS.findIndex(([, , belongs]) => belongs(record, me)) }))
      .sort(compare);
  }

  #drawEnd(found, shown) {
    const { size } = this.#agents.byName;
    this.#more.hidden = found <= shown;
    write(this.#more, `Show ${Math.min(STEP, found - shown)} more of ${grouped(found)}`);
    write(this.#noMatch, size && !found ? "No agent matches." : "");
    this.#cleanUp.hidden = ![...this.#agents.byName.values()].some((agent) => !agent.online && !agent.messageCount && agent.kind !== "human");
    this.#empty.hidden = size > 0 || !this.#agents.loaded;
  }

  #onFilter() {
    this.#shown = STEP;
    this.draw();
  }

  #showMore() {
    this.#shown += STEP;
    this.draw();
  }
}

/** Order by group, agents with mail first, offline agents by the time they were last seen, then by name. */
function compare(a, b) {
  const [x, y] = [a.record, b.record];
  const seen = x.online ? 0 : (y.lastSeen ?? "").localeCompare(x.lastSeen ?? "");
  return a.rank - b.rank || (y.unread > 0) - (x.unread > 0) || seen || x.name.localeCompare(y.name);
}

class Group {
  element;
  #list;
  #count = h("span", { class: "group-count" });

  constructor(key, title) {
    this.#list = h("ul", { "aria-labelledby": `group-${key}` });
    this.element = h(
      "section",
      { class: "group" },
      h("h2", { id: `group-${key}`, class: "group-title" }, title, key !== "you" && this.#count),
      this.#list,
    );
  }

  /** Show `elements`, the first of `total` rows. */
  fill(elements, total) {
    this.element.hidden = elements.length === 0;
    write(this.#count, grouped(total));
    arrange(this.#list, elements);
  }
}

class Row {
  element;
  #link;
  #status = h("span", { class: "agent-status" });
  #preview = h("span", { class: "preview", dir: "auto" });
  #unread = h("span", { class: "badge" });
  #dead = h("span", { class: "badge badge-dead" });
  #age = h("span", { class: "age" });
  #drawn = null;

  constructor(name) {
    this.#link = h(
      "a",
      { class: "agent", href: mailHash(name) },
      h("span", { class: "avatar-box" }, avatar(name), h("span", { class: "presence", "aria-hidden": "true" })),
      h("span", { class: "agent-name" }, h("bdi", { text: name })),
      this.#status,
      this.#preview,
      h("span", { class: "agent-end" }, h("span", { class: "badges" }, this.#dead, this.#unread), this.#age),
    );
    this.element = h("li", { data: { agent: name } }, this.#link);
  }

  draw(agent, current, preview) {
    set(this.#link, "aria-current", current && "page");
    write(this.#status, status(agent)); // it depends on the time, too
    write(this.#preview, preview ? line(preview, agent.name) : "");
    this.#drawAge(agent);
    if (agent === this.#drawn) return;
    this.#drawn = agent;
    this.#link.classList.toggle("online", agent.online);
    this.#status.title = [place(agent), agent.lastSeen && `last seen ${moment(agent.lastSeen)}`].filter(Boolean).join(", ");
    drawBadge(this.#unread, agent.unread, "unread");
    drawBadge(this.#dead, agent.dead, "dead", icon("skull"));
  }

  /** Say for how long the oldest message waits. */
  #drawAge(agent) {
    write(this.#age, agent.unread && agent.oldestUnread ? lasting(agent.oldestUnread) : "");
    this.#age.classList.toggle("old", agent.unread > 0 && waitsMs(agent) > OLD_MS);
    set(this.#age, "title", agent.oldestUnread && `the oldest waits since ${moment(agent.oldestUnread)}`);
  }
}

/** Return the newest message as one line. */
function line({ from, to, text }, name) {
  return from === name ? `to ${visible(to)}: ${visible(text)}` : `${visible(from)}: ${visible(text)}`;
}

function drawBadge(element, number, word, ...picture) {
  element.hidden = number === 0;
  element.replaceChildren(...picture, number > 999 ? "999+" : String(number), visuallyHidden(` ${word}`));
}

function status(agent) {
  if (agent.name === SHARED) return "all people";
  if (agent.kind === "human") return `a person · ${agent.online ? "online" : agent.lastSeen ? ago(agent.lastSeen) : "not here yet"}`;
  const leased = agent.messageCount - agent.unread;
  const mine = !agent.lastSeen && agent.name === load("name") && "the name you send as";
  const where = agent.directory && (agent.online || agent.unread > 0) ? [shortPlace(agent.directory)] : [];
  const seen = mine || (agent.lastSeen ? ago(agent.lastSeen) : "never seen");
  const parts = [...where, agent.online ? (agent.state === "unknown" ? "online" : agent.state) : seen];
  if (agent.sessions > 1) parts.push(count(agent.sessions, "session"));
  if (leased > 0) parts.push(`${grouped(leased)} being read`);
  return parts.join(" · ");
}

/** The first row: the mail of all agents. */
class AllRow {
  element;
  #status = h("span", { class: "agent-status" });

  constructor() {
    this.element = h(
      "a",
      { class: "agent agent-all", href: "#/mail" },
      h("span", { class: "avatar-box" }, avatarOfAll("mail")),
      h("span", { class: "agent-name", text: "All mail" }),
      this.#status,
    );
  }

  draw(agents, current) {
    set(this.element, "aria-current", current && "page");
    write(this.#status, agents.loaded ? `${grouped(agents.online)} online · ${grouped(agents.unread)} unread` : "");
  }
}
