#!/bin/sh
# hook.sh EVENT [CLIENT]: send a hook event (JSON on stdin) of Claude Code, codex or gemini to postino's daemon and print
# the answer.
# A session must neither wait for its mail nor fail because of it: at most 1 s, always exit 0, no output while the
# daemon is away. Only SessionStart starts a daemon, and only it reports a command that is missing.
version=0.1.0
event=$1 client=${2:-claude}
home=${POSTINO_HOME:-$HOME/.postino}
case $home in # a ~ that no shell has expanded, because the value comes from a settings file
"~") home=$HOME ;;
"~/"*) home=$HOME/${home#??} ;;
'${'*) home=$HOME/.postino ;; # a placeholder that the client has not expanded
esac
case $home in
/*) ;;
*) # it would depend on the working directory; postino refuses it, too
  [ "$event" != SessionStart ] ||
    printf '{"systemMessage":"postino: POSTINO_HOME is not an absolute path, so this session has no mailbox"}\n'
  exit 0
  ;;
esac
socket=$home/daemon.sock
agent=$POSTINO_AGENT_NAME
case $agent in "" | '${'*) agent=$CLAUDE_PLUGIN_OPTION_AGENT_NAME ;; esac
slow=$home/hooks.slow # exists since the daemon was too slow for a hook; the daemon removes it when it serves again
pid=${CLAUDE_PID:-$PPID} # Claude Code before 2.1.224 does not say it, but runs this script itself
[ "$client" = claude ] || pid=$PPID # the command begins with exec, so that the client is the parent

# Another user's home: its daemon must not get the prompt, nor put text into the session.
[ ! -e "$home" ] || [ -O "$home" ] || exit 0
[ ! -e "$socket" ] || [ -O "$socket" ] || exit 0

# -q: no .curlrc. -f: never print the body of an error response. The URL's host means nothing on a unix socket.
post() {
  curl -q -f -sS --noproxy '*' --unix-socket "$socket" --connect-timeout 0.3 --max-time "$1" \
    -H 'Content-Type: application/json' -H 'Expect:' -H "X-Postino-Plugin: $version" \
    -H "X-Postino-Client: $client" -H "X-Claude-Pid: $pid" -H "X-Claude-Socket: ${CLAUDE_CODE_MESSAGING_SOCKET##*/}" \
    -H "X-Postino-Agent: $agent" \
    -H "X-Postino-Ask: $CLAUDE_PLUGIN_OPTION_ASK" \
    -H "X-Postino-Terminal: ${TERM_SESSION_ID:-$ITERM_SESSION_ID}" \
    --data-binary @- "http://localhost/api/hooks/$event" 2>/dev/null
  code=$?
  [ $code != 28 ] || touch "$slow" 2>/dev/null # 28: no answer in time
  return $code
}

missing() { # another client starts postino by its path, and its relay starts the daemon
  [ "$client" = claude ] || return
  printf '{"systemMessage":"postino: the command %s is not on PATH, so this session has no mailbox"}\n' "$1"
  exit 0
}

if [ "$event" != SessionStart ]; then
  [ -S "$socket" ] || exit 0
  # a daemon that hangs costs one hook its time, and then one per minute
  [ -e "$slow" ] && [ -z "$(find "$slow" -mmin +1 2>/dev/null)" ] && exit 0
  if [ "$event" = BeforeModel ]; then # its input is the whole conversation, of which nothing is needed
    cat >/dev/null
    printf '{"session_id":"%s"}' "$GEMINI_SESSION_ID" | post 0.8
  else
    post 0.8
  fi
  exit 0
fi

postino=$(command -v "${CLAUDE_PLUGIN_OPTION_COMMAND:-postino}" || command -v postino) || missing postino
command -v curl >/dev/null 2>&1 || missing curl
# Whoever can write to the home could put a socket of their own there. Once per session: the daemon takes this right from
# others when it starts, and to ask for it costs each hook a tenth of its time.
case $(ls -ldL "$home" 2>/dev/null) in
?????w* | ????????w*)
  [ "$client" != claude ] ||
    printf '{"systemMessage":"postino: others can write to POSTINO_HOME, so this session has no mailbox; chmod go-w it"}\n'
  exit 0
  ;;
esac
if [ -n "$agent" ] && [ -n "$CLAUDE_CODE_EXPERIMENTAL_AGENT_TEAMS" ]; then
  # A teammate in a process of its own has inherited the name of its team's lead: see explicit_name in the relay.
  teammate=$({ tr '\0' '\n' <"/proc/$pid/cmdline" || ps -o args= -p "$pid" | tr ' ' '\n'; } 2>/dev/null |
    sed -n '/^--agent-name$/{n;p;q;}' | tr -d '\n' | LC_ALL=C tr -c 'A-Za-z0-9._-' '-')
  [ -z "$teammate" ] || agent=$(printf '%.31s.%.32s' "$agent" "$teammate")
fi
input=$(cat)
printf %s "$input" | post 0.8
[ $? = 7 ] || exit 0 # 7: cannot connect, so no daemon runs; if one runs but hangs, a second one would not help
"$postino" up </dev/null >/dev/null 2>&1 &
for _ in 1 2 3 4 5 6 7; do # a cold start takes about 0.5 s; after a slower one, the first prompt's hook greets instead
  sleep 0.08
  printf %s "$input" | post 0.2
  [ $? = 7 ] || exit 0
done
exit 0
