/* The dialogs: confirmation, sign-in, help. The browser's `dialog` element keeps the focus inside. */

import { h } from "../dom.js";
import { enable, enabled, KEYS } from "../shortcuts.js";
import { command, curl } from "./command.js";

export class Dialogs {
  /** Ask for a confirmation; resolves to true or false. Going to another view means no. */
  confirm({ title, text, action }) {
    const no = h("button", { type: "button", class: "plain", text: "Cancel", autofocus: true });
    const yes = h("button", { type: "button", class: "danger", text: action });
    const dialog = make(title, h("p", { text }), h("div", { class: "dialog-ends" }, no, yes));
    const closed = new AbortController();
    return new Promise((resolve) => {
      no.addEventListener("click", () => dialog.close());
      yes.addEventListener("click", () => dialog.close("yes"));
      addEventListener("hashchange", () => dialog.close(), { signal: closed.signal });
      open(dialog, () => {
        closed.abort();
        resolve(dialog.returnValue === "yes");
      });
    });
  }

  /** Ask for a line of text; resolves to it, or to "" if the user cancels. */
  ask({ title, text, label, value, action }) {
    const field = h("input", {
      class: "token",
      "aria-label": label,
      autocomplete: "off",
      spellcheck: "false",
      required: true,
      autofocus: true,
      value,
    });
    const cancel = () => dialog.close();
    const form = h(
      "form",
      { method: "dialog" },
      h("p", { text }),
      field,
      h(
        "div",
        { class: "dialog-ends" },
        h("button", { type: "button", class: "plain", text: "Cancel", on: { click: cancel } }),
        h("button", { type: "submit", class: "send", text: action }),
      ),
    );
    const dialog = make(title, form);
    return new Promise((resolve) => {
      form.addEventListener("submit", (event) => {
        event.preventDefault(); // the CSP forbids every form action
        dialog.close("yes");
      });
      open(dialog, () => resolve(dialog.returnValue === "yes" ? field.value.trim() : ""));
      field.select();
    });
  }

  /** Ask for the token until one is entered, or until `signal` is aborted: then it resolves to "". */
  askToken(wrong, signal) {
    const field = h("input", {
      type: "password",
      class: "token",
      autocomplete: "off",
      required: true,
      "aria-label": "Token",
      autofocus: true,
    });
    const text = wrong
      ? "That token was refused. Try again:"
      : "Enter POSTINO_API_TOKEN or a named token. It is kept until this tab is closed.";
    const form = h(
      "form",
      { method: "dialog" },
      h("p", { text, role: wrong ? "alert" : null }),
      field,
      h(
        "p",
        { class: "dim" },
        "Or run ",
        h("code", { text: "postino open" }),
        " on that machine: it opens this page signed in.",
      ),
      h("div", { class: "dialog-ends" }, h("button", { type: "submit", class: "send", text: "Sign in" })),
    );
    const dialog = make("Sign in", form);
    dialog.addEventListener("cancel", (event) => event.preventDefault()); // the page is useless without the token
    return new Promise((resolve) => {
      form.addEventListener("submit", (event) => {
        event.preventDefault(); // the CSP forbids every form action
        if (field.value.trim()) dialog.close();
      });
      signal.addEventListener("abort", () => dialog.close());
      open(dialog, () => resolve(signal.aborted ? "" : field.value.trim()));
    });
  }

  help() {
    const rows = KEYS.flatMap(([keys, text]) => [
      h(
        "dt",
        {},
        keys.split(" ").map((key) => h("kbd", { text: key })),
      ),
      h("dd", { text }),
    ]);
    const toggle = h("input", {
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
    const dialog = make(
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
        " sends the message.",
      ),
      h("label", { class: "switch" }, toggle, " Single-key shortcuts"),
      h("h3", { text: "From a terminal" }),
      command(curl("messages", { to: "reviewer", from: "ci", body: "it works" })),
      h("p", { class: "dim" }, "The API: ", h("a", { href: "/api/openapi.json", text: "/api/openapi.json" })),
      h("div", { class: "dialog-ends" }, close),
    );
    open(dialog);
  }
}

function make(title, ...content) {
  return h("dialog", { class: "dialog", "aria-label": title }, h("h2", { text: title }), ...content);
}

function open(dialog, onClose = () => {}) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClose();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.scrollTop = 0; // the focus is on a button at the end, which scrolls there where the window is low
}
