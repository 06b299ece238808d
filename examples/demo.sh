#!/usr/bin/env bash
# Runs the ETL example on a cluster of its own and shows what comes out. `make demo` builds the binary first. Everything
# listens on free loopback ports and is gone afterwards; commands are allowed for this cluster only.
set -euo pipefail
cd "$(dirname "$0")/.."
taskgrove=bin/taskgrove
tmp=$(mktemp -d)
chmod 755 "$tmp"
dev='' serve=''
finish() {
  [ -z "$serve" ] || kill "$serve" 2>/dev/null || true
  [ -z "$dev" ] || { kill "$dev" 2>/dev/null || true; wait "$dev" 2>/dev/null || true; }
  rm -rf "$tmp"
}
trap finish EXIT

echo "== starting the sources and a cluster"
go build -o "$tmp/serve" ./examples/etl/serve
"$tmp/serve" -addr 127.0.0.1:0 > "$tmp/sources" &
serve=$!
AIPARTNERUPFLOW_STDIO_ALLOW_COMMAND=1 "$taskgrove" dev --ephemeral --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 \
  --ready-file "$tmp/ready.json" > "$tmp/dev.log" 2>&1 &
dev=$!
for _ in $(seq 1 600); do
  [ -s "$tmp/ready.json" ] && [ -s "$tmp/sources" ] && break
  kill -0 "$dev" 2>/dev/null || { echo "the cluster did not start:"; cat "$tmp/dev.log"; exit 1; }
  sleep 0.1
done
TASKGROVE_SERVER=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$tmp/ready.json")
export TASKGROVE_SERVER
sed "s#http://127.0.0.1:8099#$(cat "$tmp/sources")#" examples/etl/tree.json > "$tmp/tree.json"

echo "== submitting examples/etl/tree.json"
status=0
"$taskgrove" submit "$tmp/tree.json" --watch || status=$?
# One optional source is gone on purpose: the tree ends as failed (exit code 3), and its report is there all the same.
[ "$status" = 3 ] || { echo "the tree should have ended with exit code 3, not $status"; cat "$tmp/dev.log"; exit 1; }

echo "== the tree"
"$taskgrove" tree report
echo "== the report"
"$taskgrove" get report | tee "$tmp/report"
grep -q '"result_count": 4' "$tmp/report"
grep -q 'ann 27' "$tmp/report"
echo "== done: 4 sources were fetched and cleaned, one of them at the third try; one optional source is gone, as it should be"
