#!/usr/bin/env bash
# Builds the binary as make build does, whole and without each part that a build tag leaves out, and prints their sizes, as docs/executors.md
# ("Builds without parts") has them.
#
#   tools/weigh.sh LDFLAGS [TAGS...]     such as '-s -w' nodocker nodocker,nosql
#
# GOOS and GOARCH choose the platform; by default it is linux/amd64.
set -euo pipefail
cd "$(dirname "$0")/.."

ldflags=$1
shift
[ $# -gt 0 ] || set -- nokubernetes nodocker nosql nodocker,nokubernetes,nosql
out=$(mktemp)
trap 'rm -f "$out"' EXIT

# weigh TAGS: builds with them, and prints bytes and megabytes.
weigh() {
  GOOS=${GOOS:-linux} GOARCH=${GOARCH:-amd64} tools/build.sh "$out" "$ldflags" "$1"
  local bytes
  bytes=$(wc -c <"$out")
  awk -v tags="${1:-none}" -v bytes="$bytes" 'BEGIN { printf "%-34s %10d bytes  %5.1f MB\n", tags, bytes, bytes / 1e6 }'
}

weigh ""
for tags in "$@"; do weigh "$tags"; done
