/* What needs a person: dead letters, agents that are stuck, inboxes that are nearly full, notifications that fail. */

const STUCK_MS = 600_000; // an agent whose oldest message waits longer than this while it is not busy is stuck
const FULL = 0.8; // of an inbox

/** Return how long the oldest message of an agent has been waiting, in ms. */
export const waitsMs = (agent, now = Date.now()) => (agent.oldestUnread ? now - Date.parse(agent.oldestUnread) : 0);

/** Return whether mail waits for an agent that does not come to it. */
export const isStuck = (agent, now = Date.now()) =>
  agent.unread > 0 && agent.kind !== "human" && agent.state !== "busy" && waitsMs(agent, now) > STUCK_MS;

/** Return whether an agent has mail and no session that could read it. */
const isDeaf = (agent) => agent.unread > 0 && agent.kind !== "human" && !agent.online;

export const needsAttention = (agent, now = Date.now()) => agent.dead > 0 || isStuck(agent, now);

/**
 * Return what needs attention, the worst first: `{kind, name, number, since, most}`. `most` is how many messages an
 * inbox holds, 0 if that is not known; `notify` how people are notified while no page is open, null if they are not.
 */
export function attention(agents, most, notify = null, now = Date.now()) {
  const all = [...agents.byName.values()];
  const dead = all.filter((agent) => agent.dead).map(({ name, dead: number }) => ({ kind: "dead", name, number }));
  const stuck = all
    .filter((agent) => isStuck(agent, now))
    .sort((a, b) => waitsMs(b, now) - waitsMs(a, now))
    .map(({ name, unread: number, oldestUnread: since }) => ({ kind: "stuck", name, number, since }));
  const full = all
    .filter((agent) => most && agent.messageCount >= FULL * most)
    .map(({ name, messageCount: number }) => ({ kind: "full", name, number, most }));
  const failing = notify?.error ? [{ kind: "notify", name: null, ...notify }] : [];
  return [...dead, ...stuck, ...full, ...failing];
}

/** Return the numbers that every screen shows. */
export function vitals(agents, now = Date.now()) {
  const all = [...agents.byName.values()];
  const sum = (value) => all.reduce((total, agent) => total + Number(value(agent)), 0);
  return {
    online: sum((agent) => agent.online),
    unread: sum((agent) => agent.unread),
    deaf: sum(isDeaf),
    stuck: sum((agent) => isStuck(agent, now)),
    dead: sum((agent) => agent.dead),
  };
}
