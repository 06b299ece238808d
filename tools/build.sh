#!/usr/bin/env bash
# Builds the binary as all of make builds it. The tag grpcnotrace keeps grpc's debug pages out, which use templates: whoever calls methods by
# their names makes the linker keep every method there is, a seventh of the binary.
#
#   tools/build.sh OUT LDFLAGS [TAGS]     such as bin/taskgrove '-s -w' nodocker,nosql
#
# GOOS and GOARCH choose the platform.
set -euo pipefail
cd "$(dirname "$0")/.."

CGO_ENABLED=0 exec go build -trimpath -buildvcs=false -ldflags "$2" -tags "grpcnotrace${3:+,$3}" -o "$1" ./cmd/taskgrove
