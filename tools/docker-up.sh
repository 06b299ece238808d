#!/usr/bin/env bash
# Sees to it that a Docker engine answers, for the tests that need one: as root on Debian it installs docker.io and starts the daemon, if
# none runs yet.
#
#   tools/docker-up.sh          starts one
#   tools/docker-up.sh --down   ends the one that it started
#
# Exit status: 0 when one answers, 1 when none can be had (no root, or a kernel that refuses): the tests are then skipped.
set -uo pipefail

home=${TMPDIR:-/tmp}/taskgrove-docker
socket=${DOCKER_HOST:-unix:///var/run/docker.sock}

answers() { curl -fsS --max-time 5 --unix-socket "${socket#unix://}" http://docker/_ping >/dev/null 2>&1; }

if [ "${1:-}" = --down ]; then
  [ -s "$home/pid" ] && kill "$(cat "$home/pid")" 2>/dev/null
  exit 0
fi

case $socket in
  unix://*) ;;
  *) echo "docker-up: DOCKER_HOST is $socket, which is left alone"; exit 0 ;;
esac
answers && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "docker-up: needs root and apt-get"; exit 1; }
if ! command -v dockerd >/dev/null; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q -q update || echo "docker-up: apt-get update ended with $?: going on with the lists there are"
  apt-get -q -q install -y --no-install-recommends docker.io containerd runc iptables ca-certificates curl >/dev/null ||
    { echo "docker-up: docker.io can't be installed"; exit 1; }
fi
mkdir -p "$home"
[ -S "${socket#unix://}" ] && ! answers && rm -f "${socket#unix://}" # of a daemon that is gone
answers && exit 0 # the package has started it
setsid nohup dockerd --host "$socket" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" --log-level warn \
  >"$home/log" 2>&1 </dev/null &
for _ in $(seq 120); do
  answers && { echo "docker-up: an engine answers at $socket"; exit 0; }
  sleep 0.5
done
echo "docker-up: the daemon does not come up:"
tail -5 "$home/log"
exit 1
