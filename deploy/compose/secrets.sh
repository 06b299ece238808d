#!/bin/sh
# Makes the secrets that compose.yaml hands to the containers. Those that are there stay: to change one, delete its file, run this again and
# restart what uses it.
#
#   deploy/compose/secrets.sh [DIRECTORY]     by default TASKGROVE_SECRETS, as docker compose has it, or secrets beside this file
#
# Docker shows each container a file as it is, whoever runs in it, so the files can be read by all and their directory by you alone.
set -eu

dir=${1:-${TASKGROVE_SECRETS:-$(dirname "$0")/secrets}}
umask 022
mkdir -p "$dir"
chmod 700 "$dir"

hex() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

# secret NAME TEXT: a file with it, unless there is one.
secret() {
  [ -s "$dir/$1" ] && return
  printf '%s\n' "$2" >"$dir/$1.new"
  mv "$dir/$1.new" "$dir/$1"
  echo "made $dir/$1"
}

for name in postgres-password jwt-secret nats-coordinator nats-commands nats-http nats-route grafana-password; do secret "$name" "$(hex)"; done
secret seal-key "$(head -c 32 /dev/urandom | base64)"

# What the NATS servers read of them, as variables of nats/accounts.conf and nats/three.conf.
{
  for user in coordinator commands http; do
    printf 'TASKGROVE_PASSWORD_%s: "%s"\n' "$(echo $user | tr a-z A-Z)" "$(cat "$dir/nats-$user")"
  done
} >"$dir/nats-users.conf"
{
  route=$(cat "$dir/nats-route")
  printf 'NATS_ROUTE_PASSWORD: "%s"\n' "$route"
  n=1
  for server in nats nats-2 nats-3; do
    printf 'NATS_ROUTE_%s: "nats://routes:%s@%s:6222"\n' $n "$route" $server
    n=$((n + 1))
  done
} >"$dir/nats-routes.conf"
