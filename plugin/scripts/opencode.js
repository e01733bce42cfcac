// postino: written by `postino install --client opencode`; `postino uninstall --client opencode` removes this file.
//
// It adds postino's MCP server to the configuration, sends what happens in a session to postino's daemon, shows the model
// what the daemon answers, and starts a turn in an idle session when the daemon says that mail waits.
//
// A session must neither wait for its mail nor fail because of it: a request takes at most a second, and a daemon that is
// away costs nothing.

import { statSync } from "node:fs"

const SERVER = undefined /* the MCP server */
const REFUSED =
  "postino: a subagent cannot read or acknowledge mail, or wait for a reply: mail belongs to the main session. Finish " +
  "your task and return your result; the main session reads its mail itself."
const TAKES_MAIL = /^postino_(msg_read|msg_ack|msg_ask|msg_broadcasts)$/
const READS = /^postino_(msg_read|msg_ask|msg_broadcasts)$/

const home = () => {
  const given = SERVER?.environment?.POSTINO_HOME || process.env.POSTINO_HOME || "~/.postino"
  return given.replace(/^~(?=\/|$)/, process.env.HOME)
}

// Another user's daemon must not get the prompt, nor put text into the session.
const isOurs = (path) => statSync(path).uid === process.getuid()

async function post(event, body, milliseconds = 1000) {
  if (!home().startsWith("/")) return undefined // postino refuses it: it would depend on the working directory
  try {
    if (!isOurs(home()) || !isOurs(`${home()}/daemon.sock`)) return undefined
    const answer = await fetch(`http://localhost/api/hooks/${event}`, {
      unix: `${home()}/daemon.sock`,
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        "X-Postino-Client": "opencode",
        "X-Claude-Pid": String(process.pid),
      },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(milliseconds),
    })
    return answer.ok ? await answer.text() : ""
  } catch {
    return undefined // no daemon, or it hangs
  }
}

const context = (answer) => (answer ? JSON.parse(answer).hookSpecificOutput?.additionalContext : undefined)
const pause = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds))

export const Postino = async ({ client, directory }) => {
  const children = new Map() // session -> whether it is a subagent's
  const running = new Map() // call -> { session, done }; calls that read. `done` lets the next one be made
  const answered = new Map() // call -> { session, message }; the model has not gone on after them yet
  const messages = new Map() // call -> the model's message that made it
  let current // the main session that was active last
  let line // { text, message } of the last line a turn was started with, until the model says something to it
  let proving = Promise.resolve() // reports of what the model was shown; the end of a turn is reported after them
  let waiting = false
  let reading = Promise.resolve() // calls that read are made one by one, so that the daemon can tell them apart

  const isChild = async (session) => {
    if (!children.has(session)) {
      const found = await client.session.get({ path: { id: session } }).catch(() => undefined)
      if (!found?.data) return false
      children.set(session, Boolean(found.data.parentID))
    }
    return children.get(session)
  }

  const about = (session, more = {}) => ({ session_id: session, cwd: directory, ...more })

  // Ask for a line to start a turn with, again and again while this process lives.
  const wait = async () => {
    if (waiting) return
    waiting = true
    let last = {}
    for (;;) {
      const answer = await post("AwaitWake", about(current, { messages: true, ...last }), 60_000)
      last = {}
      if (!answer) {
        await pause(answer === undefined ? 2000 : 100)
        continue
      }
      const { wake, woken } = JSON.parse(answer)
      line = { text: wake }
      const prompt = { path: { id: current }, body: { parts: [{ type: "text", text: wake }] } }
      const started = await client.session.promptAsync(prompt).catch(() => undefined)
      last = { woken, ok: started !== undefined && !started.error }
    }
  }

  // The model has gone on after the answers of all calls that an earlier message made, and after our line if that came
  // before (the client's ids sort by time).
  const proved = async (session, message) => {
    const calls = [...answered].filter(([, each]) => each.session === session && each.message !== message)
    const prompted = session === current && line?.message !== undefined && line.message < message
    if (!calls.length && !prompted) return
    for (const [call] of calls) answered.delete(call)
    if (prompted) line = undefined
    const tool_calls = calls.map(([call]) => ({ tool_use_id: call }))
    proving = proving.then(() => post("Seen", about(session, { tool_calls, prompted })))
    await proving
  }

  const partUpdated = async (part) => {
    if (part.type === "tool" && READS.test(part.tool)) {
      messages.set(part.callID, part.messageID)
      const known = answered.get(part.callID)
      if (known) known.message = part.messageID
      if (part.state?.status === "error") running.get(part.callID)?.done()
    }
    if (["tool", "reasoning", "step-finish"].includes(part.type)) await proved(part.sessionID, part.messageID)
  }

  const idle = async (session) => {
    if (await isChild(session)) return
    const aborted = [...running].filter(([, each]) => each.session === session)
    for (const [call, { done }] of aborted) {
      running.delete(call)
      done()
    }
    const calls = aborted.map(([call]) => ({ tool_use_id: call }))
    await proving
    const prompted = session === current && line?.message !== undefined
    if (prompted) line = undefined
    if (calls.length || prompted) await post("Aborted", about(session, { tool_calls: calls, prompted }))
    await post("Stop", about(session))
  }

  return {
    config: async (config) => {
      config.mcp = { postino: SERVER, ...config.mcp }
    },

    event: async ({ event }) => {
      const given = event.properties
      if (event.type === "session.created") children.set(given.info.id, Boolean(given.info.parentID))
      if (event.type === "message.part.updated") await partUpdated(given.part)
      if (event.type === "session.idle") await idle(given.sessionID)
    },

    "chat.message": async ({ sessionID }, output) => {
      if (await isChild(sessionID)) return
      current = sessionID
      const prompt = output.parts.filter((each) => each.type === "text" && !each.synthetic)
      const text = prompt.map((each) => each.text).join("\n")
      if (line?.text === text) line.message = output.message.id
      const told = context(await post("UserPromptSubmit", about(sessionID, { prompt: text })))
      if (told && output.parts.length) {
        const part = { ...output.parts[0], type: "text", text: told, synthetic: true }
        output.parts.push({ ...part, id: `${output.parts[0].id.slice(0, -7)}zzzzzzz` }) // an id that sorts after it
      }
      void wait()
    },

    "tool.execute.before": async ({ tool, sessionID, callID }, { args }) => {
      if (!TAKES_MAIL.test(tool) || (tool === "postino_msg_broadcasts" && args?.all === true)) return
      if (await isChild(sessionID)) throw new Error(REFUSED)
      if (!READS.test(tool)) return
      const before = reading
      reading = new Promise((done) => running.set(callID, { session: sessionID, done }))
      await Promise.race([before, pause(20_000)])
      const name = tool.replace("postino_", "")
      await post("PreToolUse", about(sessionID, { tool_name: name, tool_use_id: callID }))
    },

    "tool.execute.after": async ({ tool, sessionID, callID }, output) => {
      running.get(callID)?.done()
      if (running.delete(callID)) answered.set(callID, { session: sessionID, message: messages.get(callID) })
      messages.delete(callID)
      if (await isChild(sessionID)) return
      const line = context(await post("PostToolUse", about(sessionID, { tool_name: tool, tool_use_id: callID })))
      if (!line) return
      if (Array.isArray(output.content)) output.content.push({ type: "text", text: line })
      else output.output = `${output.output ?? ""}\n\n${line}`
    },
  }
}
