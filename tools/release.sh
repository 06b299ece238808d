#!/usr/bin/env bash
# Makes the archives of a release in bin/release, what each is made of, and their checksums: the same bytes from the same commit wherever it is
# built. docs/supply.md says what is what.
#
#   tools/release.sh VERSION LDFLAGS PLATFORM...     such as 0.3.0 '-s -w' linux/amd64
#
# RELEASE_KEY is an SSH key that signs the checksums. RELEASE_IMAGES=true: the images of Linux, too, as docker save writes them; that takes Docker.
set -euo pipefail
cd "$(dirname "$0")/.."

version=$1 ldflags=$2
shift 2
[ -z "$(git status --porcelain)" ] || { echo "release: commit first, as an archive names its commit" >&2; exit 1; }
tar=tar
if command -v gtar >/dev/null; then tar=gtar; fi
"$tar" --version | grep -q GNU || { echo "release: needs GNU tar: brew install gnu-tar" >&2; exit 1; }

sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

# image ARCHITECTURE: makes the image of Linux and writes it into an archive, with its bill of materials.
image() {
  local root=bin/image/$1 epoch commit
  epoch=$(git log -1 --format=%ct) commit=$(git rev-parse --short=12 HEAD)
  rm -rf "$root"
  TARGETOS=linux TARGETARCH=$1 COMMIT=$commit SOURCE_DATE_EPOCH=$epoch tools/rootfs.sh "$root"
  DOCKER_BUILDKIT=1 docker build -q --platform "linux/$1" --build-arg PREBUILT="$1" --build-arg VERSION="$version" --build-arg COMMIT="$commit" \
    --build-arg SOURCE_DATE_EPOCH="$epoch" --target taskgrove -t "taskgrove:$version" . >&2
  docker save "taskgrove:$version" | gzip -n -9 >"$out/taskgrove-$version-image-$1.tar.gz"
  go run -C tools ./supply sbom -binary "$PWD/$root/usr/local/bin/taskgrove" -version "$version" \
    -file "$PWD/$root/etc/ssl/certs/ca-certificates.crt=$(cd tools && go list -m -f '{{.Path}}@{{.Version}}' golang.org/x/crypto/x509roots/fallback)" \
    -file "$PWD/$root/usr/share/zoneinfo.zip=std@$(go env GOVERSION | sed s/^go//)" -out "$PWD/$out/taskgrove-$version-image-$1.cdx.json"
}

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
  go run -C tools ./supply sbom -binary "$PWD/$out/$name/taskgrove" -version "$version" -out "$PWD/$out/$name.cdx.json"
  rm -r "${out:?}/$name"
  if [ "${platform%/*}" = linux ] && [ "${RELEASE_IMAGES:-}" = true ]; then image "${platform#*/}"; fi
done

# The provenance names all files before it, and the sums name all files, so one signature is of everything.
(cd "$out" && sums -- * >SHA256SUMS)
go run -C tools ./supply provenance -sums "$PWD/$out/SHA256SUMS" -version "$version" -commit "$(git rev-parse HEAD)" \
  -toolchain "$(go env GOVERSION)" -out "$PWD/$out/taskgrove-$version.provenance.json"
rm "$out/SHA256SUMS"
(cd "$out" && sums -- * >SHA256SUMS)
if [ -n "${RELEASE_KEY:-}" ]; then tools/sign.sh "$RELEASE_KEY" "$out"; else echo "release: not signed, as RELEASE_KEY names no key" >&2; fi
cat "$out/SHA256SUMS"
