/* The dialogs: a question, the token, the help. The browser's own `dialog` keeps the focus inside. */

import { h } from "../dom.js";
import { enable, enabled, KEYS } from "../keys.js";
import { curl, command } from "./empty.js";

export class Dialogs {
  /** Ask; resolves to whether the answer was yes. Who leaves for another place answers no. */
  confirm({ title, words, action }) {
    const no = h("button", { type: "button", class: "plain", text: "Cancel", autofocus: true });
    const yes = h("button", { type: "button", class: "danger", text: action });
    const dialog = box(title, h("p", { text: words }), h("div", { class: "dialog-ends" }, no, yes));
    const answered = new AbortController();
    return new Promise((resolve) => {
      no.addEventListener("click", () => dialog.close());
      yes.addEventListener("click", () => dialog.close("yes"));
      addEventListener("hashchange", () => dialog.close(), { signal: answered.signal });
      open(dialog, () => {
        answered.abort();
        resolve(dialog.returnValue === "yes");
      });
    });
  }

  /** Ask for the token until one is given, or until the question is `withdrawn`: then it is "". */
  askToken(wrong, withdrawn) {
    const field = h("input", {
      type: "password",
      class: "token",
      autocomplete: "off",
      required: true,
      "aria-label": "Token",
      autofocus: true,
    });
    const words = wrong
      ? "That token was refused. Try again:"
      : "This postino wants the token that was set as POSTINO_API_TOKEN. It is kept until this tab is closed.";
    const form = h(
      "form",
      { method: "dialog" },
      h("p", { text: words, role: wrong ? "alert" : null }),
      field,
      h("p", { class: "dim" }, "Or run ", h("code", { text: "postino open" }), " there: it opens this page signed in."),
      h("div", { class: "dialog-ends" }, h("button", { type: "submit", class: "send", text: "Sign in" })),
    );
    const dialog = box("Sign in", form);
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // nothing can be shown without it
    return new Promise((resolve) => {
      form.addEventListener("submit", (event) => {
        event.preventDefault(); // the policy of this page lets no form go anywhere
        if (field.value.trim()) dialog.close();
      });
      withdrawn.addEventListener("abort", () => dialog.close());
      open(dialog, () => resolve(withdrawn.aborted ? "" : field.value.trim()));
    });
  }

  help() {
    const rows = KEYS.flatMap(([key, words]) => [
      h(
        "dt",
        {},
        key.split(" ").map((each) => h("kbd", { text: each })),
      ),
      h("dd", { text: words }),
    ]);
    const keys = h("input", {
      type: "checkbox",
      checked: enabled(),
      on: { change: (event) => enable(event.target.checked) },
    });
    const close = h("button", {
      type: "button",
      class: "plain",
      text: "Close",
      autofocus: true,
      on: { click: () => dialog.close() },
    });
    const dialog = box(
      "Help",
      h("dl", { class: "keys" }, rows),
      h(
        "p",
        { class: "dim" },
        h("kbd", { text: "Ctrl" }),
        " or ",
        h("kbd", { text: "⌘" }),
        " with ",
        h("kbd", { text: "Enter" }),
        " sends what you write.",
      ),
      h("label", { class: "switch" }, keys, " Single keys are on"),
      h("h3", { text: "From anywhere else" }),
      command(curl("messages", { to: "reviewer", from: "ci", body: "build 512 is green" })),
      h("p", { class: "dim" }, "The whole API: ", h("a", { href: "/api/openapi.json", text: "/api/openapi.json" })),
      h("div", { class: "dialog-ends" }, close),
    );
    open(dialog);
  }
}

function box(title, ...content) {
  return h("dialog", { class: "dialog", "aria-label": title }, h("h2", { text: title }), ...content);
}

function open(dialog, closed = () => {}) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
