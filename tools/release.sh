#!/usr/bin/env bash
# Makes the archives of a release in bin/release, with their checksums: the same bytes from the same commit wherever it is built.
#
#   tools/release.sh VERSION LDFLAGS PLATFORM...     such as 0.3.0 '-s -w' linux/amd64
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1 ldflags=$2
shift 2
[ -z "$(git status --porcelain)" ] || { echo "release: commit first, as an archive names its commit" >&2; exit 1; }
tar=tar
if command -v gtar >/dev/null; then tar=gtar; fi
"$tar" --version | grep -q GNU || { echo "release: needs GNU tar: brew install gnu-tar" >&2; exit 1; }

out=bin/release
rm -rf "$out"
mkdir -p "$out"
for platform in "$@"; do
  name=taskgrove-$version-${platform/\//-}
  mkdir "$out/$name"
  GOOS=${platform%/*} GOARCH=${platform#*/} tools/build.sh "$out/$name/taskgrove" "$ldflags"
  cp README.md CHANGELOG.md NOTICE "$out/$name"
  chmod 644 "$out/$name"/*
  chmod 755 "$out/$name" "$out/$name/taskgrove"
  "$tar" -C "$out" --format=ustar --sort=name --mtime="@$(git log -1 --format=%ct)" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
  rm -r "${out:?}/$name"
done
cd "$out"
if command -v sha256sum >/dev/null; then sha256sum -- *.tar.gz >SHA256SUMS; else shasum -a 256 -- *.tar.gz >SHA256SUMS; fi
cat SHA256SUMS
