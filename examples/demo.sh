#!/usr/bin/env bash
# Runs the ETL example on a cluster of its own and shows what comes out. `make demo` builds the binary first. Everything
# listens on free loopback ports and is gone afterwards; commands are allowed for this cluster only.
#
# Exit status: 0 when the tree gave what it must and everything stopped cleanly, 1 otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."
taskgrove=bin/taskgrove
tmp=$(mktemp -d)
chmod 755 "$tmp"
dev='' serve=''
finish() {
  [ -z "$serve" ] || { kill "$serve" 2>/dev/null || true; wait "$serve" 2>/dev/null || true; }
  [ -z "$dev" ] || { kill "$dev" 2>/dev/null || true; wait "$dev" 2>/dev/null || true; }
  rm -rf "$tmp"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# die REASON: with what the cluster had to say.
die() {
  echo "demo: $1" >&2
  [ ! -s "$tmp/dev.log" ] || cat "$tmp/dev.log" >&2
  exit 1
}

echo "== starting the sources and a cluster"
go build -o "$tmp/serve" ./examples/etl/serve
"$tmp/serve" -addr 127.0.0.1:0 > "$tmp/sources" &
serve=$!
TASKGROVE_COMMAND_ALLOW=1 "$taskgrove" dev --ephemeral --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 \
  --ready-file "$tmp/ready.json" > "$tmp/dev.log" 2>&1 &
dev=$!
# A first start may have to fetch Postgres, so the cluster gets five minutes.
for _ in $(seq 1 3000); do
  [ -s "$tmp/ready.json" ] && [ -s "$tmp/sources" ] && break
  kill -0 "$dev" 2>/dev/null || die "the cluster did not start"
  kill -0 "$serve" 2>/dev/null || die "the sources did not start"
  sleep 0.1
done
[ -s "$tmp/ready.json" ] || die "the cluster was not ready within five minutes"
[ -s "$tmp/sources" ] || die "the sources were not ready within five minutes"
TASKGROVE_SERVER=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$tmp/ready.json")
# Without an address the client would speak to whatever listens on its default port.
[ -n "$TASKGROVE_SERVER" ] || die "the ready file names no gRPC address"
export TASKGROVE_SERVER
sed "s#http://127.0.0.1:8099#$(cat "$tmp/sources")#" examples/etl/tree.json > "$tmp/tree.json"

echo "== submitting examples/etl/tree.json"
status=0
"$taskgrove" submit "$tmp/tree.json" --watch || status=$?
# One optional source is gone on purpose: the tree ends as failed (exit code 7), and its report is there all the same.
[ "$status" = 7 ] || die "the tree should have ended with exit code 7, not $status"

echo "== the tree"
"$taskgrove" tree sales || die "the tree could not be shown"
echo "== the report"
"$taskgrove" get sales | tee "$tmp/report" || die "the report could not be shown"
for text in '"result_count": 4' 'ann 27\nbob 15' '"stdout": "7"' 'ann Graz\nbob Oslo' 'fig: 9\npear: 4'; do
  grep -qF "$text" "$tmp/report" || die "the report lacks $text"
done
"$taskgrove" get fetch-stock > "$tmp/stock"
grep -qE '^attempt +3$' "$tmp/stock" || die "fetch-stock should have taken three attempts"

kill "$dev"
wait "$dev" || die "the cluster ended with exit code $?"
dev=''
echo "== done: 4 sources were fetched and cleaned, one of them at the third try; one optional source is gone, as it should be"
