#!/bin/sh
# hook.sh EVENT: hand an event of Claude Code, JSON on stdin, to postino's daemon; print what it answers.
# A session must never wait for its mail or fail because of it: 1 s at most, exit 0 always, and not a word while
# the daemon is away. Only SessionStart starts one, and says what is missing.
event=$1
home=${POSTINO_HOME:-$HOME/.postino}
case $home in # as the daemon reads it: a setting that no shell has expanded
"~") home=$HOME ;;
"~/"*) home=$HOME/${home#??} ;;
esac
socket=$home/daemon.sock

# -f: what is no 200 is nobody's context. The port of the URL means nothing on a unix socket.
post() {
  curl -q -f -sS --noproxy '*' --unix-socket "$socket" --connect-timeout 0.3 --max-time "$1" \
    -H 'Content-Type: application/json' -H 'Expect:' \
    -H "X-Claude-Pid: $CLAUDE_PID" -H "X-Claude-Socket: ${CLAUDE_CODE_MESSAGING_SOCKET##*/}" \
    -H "X-Postino-Agent: ${POSTINO_AGENT_NAME:-$CLAUDE_PLUGIN_OPTION_AGENT_NAME}" \
    -H "X-Postino-Terminal: ${TERM_SESSION_ID:-$ITERM_SESSION_ID}" \
    --data-binary @- "http://localhost/api/hooks/$event" 2>/dev/null
}

missing() {
  printf '{"systemMessage":"postino: the command %s is not on PATH, so this session has no mailbox"}\n' "$1"
  exit 0
}

if [ "$event" != SessionStart ]; then
  [ -S "$socket" ] && post 0.8
  exit 0
fi

command -v postino >/dev/null 2>&1 || missing postino
command -v curl >/dev/null 2>&1 || missing curl
input=$(cat)
printf %s "$input" | post 0.8
[ $? = 7 ] || exit 0 # 7: nobody listens; a daemon that hangs is not helped by another one
postino up </dev/null >/dev/null 2>&1 &
for _ in 1 2 3 4 5 6 7; do # a cold start takes about half a second; if longer, the first prompt says what this would
  sleep 0.08
  printf %s "$input" | post 0.2
  [ $? = 7 ] || exit 0
done
exit 0
