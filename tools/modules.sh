#!/usr/bin/env bash
# Fetches the modules of all that is built here: the product, its tests, the tools, and the servers that tests build. Builds and tests
# would fetch them, too, but give up when the proxy fails once.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD

fetch() { "$top/tools/again.sh" go list "$@" >/dev/null; }

fetch -deps -test ./...
fetch -deps -modfile=tools/go.mod tool
fetch -deps -modfile=tools/s3.mod github.com/versity/versitygw/cmd/versitygw
fetch -deps -modfile=tools/vulndb.mod golang.org/x/vulndb/cmd/indexdb
(cd tools && fetch -deps -test ./...)
