/* What can be done with an agent: rename it, forget it. */

import { h } from "../dom.js";
import { icon } from "../icons.js";

export class ManageAgent {
  #app;
  #agent = "";
  #rename = tool("pen", "Rename this agent", () => this.#askRename());
  #forget = tool("broom", "Forget this agent", () => this.#askForget());

  constructor(app) {
    this.#app = app;
  }

  get buttons() {
    return [this.#rename, this.#forget];
  }

  /** Show what can be done with the agent of `record`; nothing for one that is not known. */
  draw(record) {
    this.#agent = record?.name ?? "";
    this.#rename.hidden = !record;
    this.#forget.hidden = !record || record.online || record.messageCount > 0;
  }

  async #askRename() {
    const agent = this.#agent;
    const name = await this.#app.dialogs.ask({
      title: `Rename ${agent}`,
      text: "Its mail, broadcasts and sessions move with it. Mail to the old name still arrives.",
      label: "New name",
      value: agent,
      action: "Rename",
    });
    if (!name || name === agent) return;
    await this.#app.attempt(async () => {
      const renamed = await this.#app.api.rename(agent, name);
      return `${renamed.old} is now ${renamed.name}.`;
    });
  }

  #askForget() {
    const agent = this.#agent;
    const question = {
      title: `Forget ${agent}?`,
      text: "It is offline and has no mail. It appears again when it connects or is written to.",
      action: "Forget",
    };
    this.#app.confirmed(question, async () => {
      await this.#app.api.forget(agent);
      this.#app.agents.refresh();
      return `${agent} is forgotten.`;
    });
  }
}

function tool(picture, label, click) {
  return h(
    "button",
    { type: "button", class: "tool", "aria-label": label, title: label, hidden: true, on: { click } },
    icon(picture),
  );
}
