#!/bin/sh
# Makes a former primary a replica of its successor as soon as it answers, for Sentinels alone take 8 to 18 seconds to.
# Sentinel calls it after a failover (`sentinel client-reconfig-script NAME /path/former_primary.sh`) with
# NAME ROLE STATE FORMER-HOST FORMER-PORT HOST PORT. Where servers want a password or TLS, write it into VALKEY_CLI:
#   VALKEY_CLI="valkey-cli --tls --cacert /etc/valkey/ca.pem --user sentinel --pass SECRET --no-auth-warning"
name=$1 former="-h $4 -p $5" host=$6 port=$7
: "${VALKEY_CLI:=valkey-cli}" "${SENTINEL_CLI:=$VALKEY_CLI -p 26379}"

is_primary() {
  [ "$(timeout 1 $SENTINEL_CLI sentinel get-master-addr-by-name "$name" | tr '\n' ' ')" = "$host $port " ]
}

tries=0
while [ $tries -lt 400 ] && is_primary; do # Sentinel ends a script after 60 s, and calls one that returns 1 again
  case $(timeout 1 $VALKEY_CLI $former role | head -n 1) in
    master) timeout 1 $VALKEY_CLI $former replicaof "$host" "$port" && timeout 1 $VALKEY_CLI $former config rewrite ;;
    slave) exit 0 ;;
  esac
  tries=$((tries + 1))
  sleep 0.1
done
is_primary && exit 1
exit 0
