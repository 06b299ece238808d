#!/usr/bin/env bash
# Generates all generated files again and fails, with the difference, when that changes anything.
set -euo pipefail
cd "$(dirname "$0")/.."

state() { git status --porcelain --untracked-files=all; git diff HEAD; }

before=$(state)
make --no-print-directory generate
if [ "$before" != "$(state)" ]; then
  git --no-pager diff HEAD --stat
  git status --short
  git --no-pager diff HEAD | head -200
  echo "generated: some files are not what their generators make: run make generate and commit" >&2
  exit 1
fi
