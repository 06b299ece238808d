#!/usr/bin/env bash
# Sees to it that there is the Go toolchain that go.mod names. A Go of 1.21 or newer gets it by itself; without one, or with an older
# one, it is fetched into bin/tools from the module proxy that GOPROXY names, checked against tools/toolchain.sum, and found there
# by the Makefile's PATH.
#
# Exit status: 0 when it is there, 2 when no proxy is known, 3 when a program to fetch it with is missing, 1 when it failed otherwise.
set -euo pipefail
cd "$(dirname "$0")/.."

want=$(sed -n 's/^toolchain //p' go.mod)
export GOTOOLCHAIN=$want
PATH=$PWD/bin/tools/$want/bin:$PATH
[ "$(go env GOVERSION 2>/dev/null)" != "$want" ] || exit 0

case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) os=$(uname -s) ;; esac
case $(uname -m) in x86_64 | amd64) arch=amd64 ;; aarch64 | arm64) arch=arm64 ;; *) arch=$(uname -m) ;; esac
version=v0.0.1-$want.$os-$arch
sum=$(sed -n "s/^golang.org\/toolchain $version //p" tools/toolchain.sum)
[ -n "$sum" ] || { echo "toolchain: $want for $os/$arch is not in tools/toolchain.sum: install $want" >&2; exit 1; }

proxies=${GOPROXY:-$(GOTOOLCHAIN=local go env GOPROXY 2>/dev/null || true)}
[ -n "$proxies" ] || exit 2
command -v unzip >/dev/null || exit 3
if command -v curl >/dev/null; then
  fetch() { curl -fsSL --retry 5 --retry-all-errors -o "$2" "$1"; }
elif command -v wget >/dev/null; then
  fetch() { wget -q -O "$2" "$1"; }
else
  exit 3
fi

mkdir -p bin/tools
part=$(mktemp -d bin/tools/toolchain-XXXXXX)
trap 'rm -rf "$part"' EXIT
echo "toolchain: fetching $want for $os/$arch" >&2
got=
IFS=',|' read -ra list <<<"$proxies"
for proxy in "${list[@]}"; do
  case $proxy in
    off) echo "toolchain: GOPROXY is off" >&2; break ;;
    direct) continue ;; # has no toolchains
  esac
  if fetch "${proxy%/}/golang.org/toolchain/@v/$version.zip" "$part/zip"; then got=1; break; fi
done
[ -n "$got" ] || { echo "toolchain: no proxy of GOPROXY has $want for $os/$arch: install $want" >&2; exit 1; }

# The sum is that of go.sum: of the list of all files with theirs.
unzip -q "$part/zip" -d "$part/files"
if command -v sha256sum >/dev/null; then hash() { sha256sum "$@"; }; else hash() { shasum -a 256 "$@"; }; fi
hex=$(cd "$part/files" && find . -type f | sed 's,^\./,,' | LC_ALL=C sort | tr '\n' '\0' | { export -f hash; xargs -0 bash -c 'hash "$@"' hash; } | hash | cut -d' ' -f1)
found=h1:$(printf '%b' "$(sed 's/../\\x&/g' <<<"$hex")" | base64)
[ "$found" = "$sum" ] || { echo "toolchain: $want has the sum $found, want $sum" >&2; exit 1; }

root=$part/files/golang.org/toolchain@$version
chmod +x "$root"/bin/* "$root"/pkg/tool/*/*
find "$root" -name _go.mod | while read -r file; do mv "$file" "${file%_go.mod}go.mod"; done # no module zip may hold a go.mod
rm -rf "bin/tools/$want"
mv "$root" "bin/tools/$want"
