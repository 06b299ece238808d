#!/usr/bin/env bash
# Runs the example on a cluster of its own, whose models are scripts: no account is needed and nothing leaves the machine. `make agents`
# builds the binary first. Everything listens on free loopback ports and is gone afterwards; commands are allowed for this cluster only.
#
# Exit status: 0 when the tree gave what it must and everything stopped cleanly, 1 otherwise.
set -euo pipefail
cd "$(dirname "$0")/../.."
taskgrove=${TASKGROVE:-bin/taskgrove}
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
  echo "agents: $1" >&2
  [ ! -s "$tmp/dev.log" ] || cat "$tmp/dev.log" >&2
  exit 1
}

echo "== starting a service of models that plays examples/agents/models, and a cluster"
go build -o "$tmp/serve" ./executors/model/modeltest/serve
"$tmp/serve" -listen 127.0.0.1:0 -scripts examples/agents/models -key sk-of-the-example > "$tmp/models" &
serve=$!
for _ in $(seq 1 100); do
  [ -s "$tmp/models" ] && break
  kill -0 "$serve" 2>/dev/null || die "the service of models did not start"
  sleep 0.1
done
url=$(sed -n "s/^OpenAI's format: //p" "$tmp/models")
[ -n "$url" ] || die "the service of models was not ready within ten seconds"
TASKGROVE_COMMAND_ALLOW=1 OPENAI_BASE_URL="$url" OPENAI_API_KEY=sk-of-the-example \
  "$taskgrove" dev --ephemeral --http-addr 127.0.0.1:0 --grpc-addr 127.0.0.1:0 --ready-file "$tmp/ready.json" > "$tmp/dev.log" 2>&1 &
dev=$!
# A first start may have to fetch Postgres, so the cluster gets five minutes.
for _ in $(seq 1 3000); do
  [ -s "$tmp/ready.json" ] && break
  kill -0 "$dev" 2>/dev/null || die "the cluster did not start"
  sleep 0.1
done
[ -s "$tmp/ready.json" ] || die "the cluster was not ready within five minutes"
TASKGROVE_SERVER=$(sed -n 's/.*"grpc": *"\([^"]*\)".*/\1/p' "$tmp/ready.json")
# Without an address the client would speak to whatever listens on its default port.
[ -n "$TASKGROVE_SERVER" ] || die "the ready file names no gRPC address"
export TASKGROVE_SERVER

echo "== submitting examples/agents/tree.yaml; what the agents say is shown as they say it"
"$taskgrove" submit examples/agents/tree.yaml --watch | tee "$tmp/watched" || die "the tree did not complete"
echo "== the report"
"$taskgrove" get report | tee "$tmp/report" || die "the report could not be shown"
for text in 'The disk of db-2 is full: it slowed the checkout' '"severity": "high"'; do
  grep -qF "$text" "$tmp/report" || die "the report lacks $text"
done
! grep -qrF sk-of-the-example "$tmp/report" "$tmp/watched" "$tmp/dev.log" || die "the key shows"

kill "$dev"
wait "$dev" || die "the cluster ended with exit code $?"
dev=''
echo "== done: a command, a model and two agents worked on one report"
