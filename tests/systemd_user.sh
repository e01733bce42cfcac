#!/bin/sh
# systemd_user.sh DIRECTORY COMMAND...: run a command beside a real `systemd --user` of its own, with HOME=DIRECTORY.
# Exit code 99: that cannot be done here; the reason is printed.
#
# Three namespaces keep it away from the machine: of processes (it can neither see nor signal nor move any other), of
# mounts and of cgroups. It starts only if no process but its own is in its cgroup: without that it would move every
# process of the machine into groups of its own.
set -e
no() { echo "no file system can be mounted here: $1"; exit 99; }
case $1 in
--in-group)
  shift
  echo $$ >"$group/cgroup.procs" || no "a process cannot be moved to a cgroup"
  exec unshare -C -m sh "$0" --inside "$@"
  ;;
--inside)
  shift
  mount -t cgroup2 none /sys/fs/cgroup 2>&1 || no "cgroup2"
  while read -r member; do
    [ "$member" != 0 ] || no "its cgroup has other members"
  done </sys/fs/cgroup/cgroup.procs
  mount -t tmpfs none /run || no "tmpfs"
  mkdir -p /run/systemd/system /run/user/0
  chmod 700 /run/user/0
  export HOME="$1" XDG_RUNTIME_DIR=/run/user/0
  shift
  env -i HOME="$HOME" PATH=/usr/bin:/bin XDG_RUNTIME_DIR=/run/user/0 \
    /lib/systemd/systemd --user --unit=basic.target --log-target=console --log-level=warning >&2 &
  for _ in $(seq 200); do
    [ -S /run/user/0/systemd/private ] && exec "$@" # the namespace ends with this process, and all in it
    sleep 0.05
  done
  no "systemd does not start"
  ;;
esac
[ "$(id -u)" = 0 ] || no "only root may"
[ -x /lib/systemd/systemd ] || no "there is no systemd"
root=/sys/fs/cgroup
[ -f $root/cgroup.procs ] || root=/sys/fs/cgroup/unified
[ -f $root/cgroup.procs ] || no "there is no cgroup2"
group=$root/postino-test-$$
mkdir "$group" 2>/dev/null || no "cgroups cannot be made"
export group
code=0
unshare -m -p -f --kill-child --mount-proc --propagation private sh "$0" --in-group "$@" || code=$?
for _ in $(seq 100); do # an ended process leaves its cgroup a moment later
  find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null && break
  sleep 0.05
done
exit $code
