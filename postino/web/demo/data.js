/* A made-up mailroom. Times are minutes before now; `tree` is what the daemon would render, null: as written. */

const REPORT = `## Build 812

All **412 tests** pass; \`events.py\` is faster:

| case | before | after |
|---|--:|--:|
| send | 1.9 ms | 1.2 ms |
| read | 3.4 ms | 2.0 ms |

- [x] parse each event once
- [ ] write the changelog`;
const REPORT_TREE = [
  ["h2", "Build 812"],
  ["p", "All ", ["strong", "412 tests"], " pass; ", ["code", "events.py"], " is faster:"],
  [
    "table",
    ["thead", ["tr", ["th", "case"], ["th", { align: "right" }, "before"], ["th", { align: "right" }, "after"]]],
    [
      "tbody",
      ["tr", ["td", "send"], ["td", { align: "right" }, "1.9 ms"], ["td", { align: "right" }, "1.2 ms"]],
      ["tr", ["td", "read"], ["td", { align: "right" }, "3.4 ms"], ["td", { align: "right" }, "2.0 ms"]],
    ],
  ],
  ["ul", ["li", { task: true }, "parse each event once"], ["li", { task: false }, "write the changelog"]],
];
const FIX = "Found it: the test sleeps. This waits for the event instead:\n\n```diff\n-    time.sleep(1)\n+    await live.get(timeout=5)\n```";
const FIX_TREE = [
  ["p", "Found it: the test sleeps. This waits for the event instead:"],
  ["pre", { lang: "diff" }, ["gd", "-    time.sleep(1)\n"], ["gi", "+    await live.get(timeout=5)"]],
];

const BUILT = "Build **812** is green. Merge now, or wait for the review of the docs?";
const BUILT_TREE = [["p", "Build ", ["strong", "812"], " is green. Merge now, or wait for the review of the docs?"]];

export const AGENTS = [
  { name: "planner", state: "busy", client: "claude-code", directory: "/home/ada/src/shop", seen: 0 },
  { name: "reviewer", state: "idle", client: "claude-code", directory: "/home/ada/src/shop", seen: 0 },
  { name: "builder", state: "busy", client: "codex", directory: "/home/ada/src/shop-api", seen: 0 },
  { name: "docs-writer", state: "asking", client: "claude-code", directory: "/home/ada/src/shop/docs", seen: 0 },
  { name: "ci", online: false, seen: 3 },
  { name: "backend", online: false, client: "gemini-cli", directory: "/home/ada/src/backend", seen: 44 },
  { name: "migrator", online: false, seen: 95, dead: 1 },
  { name: "you", kind: "human", online: true, state: "unknown", seen: 0 },
];

/** [minutes ago, from, to, state, body, more] */
export const MESSAGES = [
  [118, "ci", "migrator", "dead", "Migrate the second table, please.", { deliveries: 5, reason: "max_deliveries" }],
  [64, "planner", "builder", "acked", "Please take the parser; `reviewer` looks at it at noon.", { thread: "fix-sse-order" }],
  [58, "builder", "planner", "acked", "Taken.", { thread: "fix-sse-order", replies: 1 }],
  [47, "builder", "reviewer", "acked", FIX, { thread: "fix-sse-order", tree: FIX_TREE }],
  [42, "planner", "backend", "queued", "Which version of the schema do you run?", { thread: "rel-1.4" }],
  [41, "planner", "backend", "queued", "And when can it be restarted?", { thread: "rel-1.4" }],
  [33, "reviewer", "builder", "acked", "Two remarks: parse once, and do not sleep.", { thread: "fix-sse-order", replies: 3 }],
  [21, "builder", "reviewer", "acked", "Both done and pushed.", { thread: "fix-sse-order", replies: 6 }],
  [12, "planner", "you", "acked", "Which branch is the base of the release? I wait for your word.", { thread: "rel-1.4", reader: "you", replied: true }],
  [9, "ci", "builder", "acked", REPORT, { tree: REPORT_TREE, verified: false, via: "http" }],
  [6, "docs-writer", "planner", "leased", "The page about threads is ready to be read.", { thread: "docs" }],
  [4, "planner", "docs-writer", "acked", "Thank you. One question: who is the reader?", { thread: "docs", replies: 10 }],
  [5, "builder", "you", "queued", BUILT, { thread: "fix-sse-order", choices: ["Merge", "Wait"], tree: BUILT_TREE }],
  [3, "docs-writer", "human", "queued", "Who owns the words on the start page?", { thread: "docs" }],
  [2, "ci", "reviewer", "queued", "The nightly run is red on arm only; logs are in the artifact.", { verified: false, via: "http" }],
  [1, "you", "planner", "acked", "`release/1.4`, and freeze it from noon on.", { thread: "rel-1.4", replies: 8, via: "web" }],
];

export const BROADCASTS = [
  [70, "planner", "Code freeze from **noon** on: no merges, please.", [["p", "Code freeze from ", ["strong", "noon"], " on: no merges, please."]], 4],
  [5, "ci", "0.2.0 is tagged.", [["p", "0.2.0 is tagged."]], 2],
];
