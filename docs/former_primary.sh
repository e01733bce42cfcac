#!/bin/sh
# Makes a former primary a replica of its successor as soon as it answers, for Sentinels alone take 8 to 18 seconds to.
# Sentinel calls it after a failover (`sentinel client-reconfig-script NAME /path/former_primary.sh`) with
# NAME ROLE STATE FORMER-HOST FORMER-PORT HOST PORT, and whatever its own environment has.
#
# Where servers want a password or TLS, set VALKEY_CLI in the environment of the Sentinel, or here. The password does not
# show in the list of processes if it stands in REDISCLI_AUTH, which valkey-cli reads:
#   export REDISCLI_AUTH=SECRET
#   VALKEY_CLI="valkey-cli --tls --cacert /etc/valkey/ca.pem --user sentinel --no-auth-warning"
# SENTINEL_CLI is the same for the Sentinel itself, with its port; by default VALKEY_CLI and port 26379.
name=$1 former="-h $4 -p $5" host=$6 port=$7
: "${VALKEY_CLI:=valkey-cli}"
: "${SENTINEL_CLI:=$VALKEY_CLI -p 26379}"

is_primary() {
  [ "$(timeout 3 $SENTINEL_CLI sentinel get-master-addr-by-name "$name" | tr '\n' ' ')" = "$host $port " ]
}

pause=0.1 tries=400 # together 40 s: Sentinel ends a script after 60 s, and calls one that returns 1 again
[ "$2" = leader ] || pause=0.5 tries=80 # the other Sentinels do it, too, in case that the leader cannot

told= # by this script, which then lets it write down whose replica it is
while [ $tries -gt 0 ]; do
  said=$(timeout 3 $VALKEY_CLI $former role 2>&1)
  case $said in
    master*)
      is_primary || exit 0
      told=yes
      timeout 3 $VALKEY_CLI $former replicaof "$host" "$port"
      ;;
    slave*)
      [ -n "$told" ] || exit 0
      timeout 3 $VALKEY_CLI $former config rewrite && exit 0
      ;;
  esac
  tries=$((tries - 1))
  sleep $pause
done
is_primary || exit 0
echo "$0: $4:$5 has not become a replica of $host:$port: $said" >&2
exit 1
