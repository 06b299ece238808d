#!/usr/bin/env bash
# Runs a command that fetches something, and once more after 5, 15 and 45 seconds if it fails: a registry may have a bad moment.
#
#   tools/again.sh go list -deps ./...
#
# Exit status: that of the last run.
set -uo pipefail

status=0
for pause in 5 15 45 last; do
  "$@" && exit 0
  status=$?
  [ "$pause" = last ] && break
  echo "again: exit $status of $*: once more in $pause s" >&2
  sleep "$pause"
done
exit "$status"
