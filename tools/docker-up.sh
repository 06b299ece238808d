#!/usr/bin/env bash
# Sees to it that a Docker engine answers, for the tests that need one: as root on Debian it installs docker.io and starts the daemon, if
# none runs yet.
#
#   tools/docker-up.sh          starts one
#   tools/docker-up.sh --down   ends the one that it started
#
# Exit status: 0 when one answers, 1 when none can be had (no root, or a kernel that refuses): the tests are then skipped.
set -uo pipefail

again=$(cd "$(dirname "$0")" && pwd)/again.sh
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
command -v curl >/dev/null && answers && exit 0
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || { echo "docker-up: needs root and apt-get"; exit 1; }
packages=()
command -v curl >/dev/null || packages+=(curl)
command -v dockerd >/dev/null || packages+=(docker.io containerd runc iptables ca-certificates)
if [ ${#packages[@]} != 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  "$again" apt-get -q -q update || echo "docker-up: apt-get update ended with $?: going on with the lists there are"
  "$again" apt-get -q -q install -y --no-install-recommends "${packages[@]}" >/dev/null ||
    { echo "docker-up: can't be installed: ${packages[*]}"; exit 1; }
fi
answers && exit 0 # it ran all along, or the package has started it
mkdir -p "$home"

# running: does an engine's daemon run, whether it answers or not? One that starts, ends or is busy; a second one would take its socket.
running() {
  local dir
  for dir in /proc/[0-9]*; do
    [ "$(cat "$dir/comm" 2>/dev/null)" = dockerd ] && [ -n "$(tr -d '\0' 2>/dev/null <"$dir/cmdline")" ] && return 0 # else nobody waited for it
  done
  return 1
}

ours=
for _ in $(seq 120); do
  answers && { echo "docker-up: an engine answers at $socket"; exit 0; }
  if ! running; then
    [ -z "$ours" ] || break # it has ended: the kernel refuses something
    setsid nohup dockerd --host "$socket" --data-root "$home/data" --exec-root "$home/exec" --pidfile "$home/pid" --log-level warn \
      >"$home/log" 2>&1 </dev/null &
    ours=yes
    sleep 1 # until it is called dockerd
  fi
  sleep 0.5
done
echo "docker-up: the daemon does not come up:"
tail -5 "$home/log" 2>/dev/null
exit 1
