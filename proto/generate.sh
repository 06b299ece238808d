#!/usr/bin/env bash
# Regenerates the Go code of the contracts. Needs protoc (Debian: protobuf-compiler) and the two plugins on the PATH,
# at the versions that the Makefile pins.
set -euo pipefail
cd "$(dirname "$0")"
protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative \
  taskgrove/v1/*.proto taskgrove/worker/v1/worker.proto externalscaler/externalscaler.proto
