#!/usr/bin/env bash
# Makes the files of the image taskgrove in a directory: the binary, the certificates of the authorities that Mozilla trusts, the time
# zones, a user for those who name none, /tmp and the licences. The same source gives the same files, down to their times.
#
#   tools/rootfs.sh DIRECTORY     which must not exist, such as bin/image/amd64
#
# Variables: VERSION and COMMIT are what the binary calls itself (the file VERSION; none), TAGS leave parts out, SOURCE_DATE_EPOCH is the time
# of all files in seconds (0), TARGETOS and TARGETARCH choose the platform.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$1
[ ! -e "$out" ] || { echo "rootfs: $out exists" >&2; exit 1; }
mkdir -p "$out"
out=$(cd "$out" && pwd)
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod)
export GOTOOLCHAIN GOFLAGS=-mod=readonly
if [ -s build-ca.crt ]; then export SSL_CERT_FILE=$PWD/build-ca.crt; fi

umask 022
mkdir -p "$out"/etc/ssl/certs "$out"/usr/local/bin "$out"/usr/share/doc/taskgrove "$out"/tmp
chmod 1777 "$out/tmp"
GOOS=${TARGETOS:-} GOARCH=${TARGETARCH:-} tools/build.sh "$out/usr/local/bin/taskgrove" \
  "-s -w -X github.com/taskgrove/taskgrove/node.release=${VERSION:-$(cat VERSION)}${COMMIT:++$COMMIT}" "${TAGS:-}"
go run -C tools ./cabundle -out "$out/etc/ssl/certs/ca-certificates.crt"
cp "$(go env GOROOT)/lib/time/zoneinfo.zip" "$out/usr/share/zoneinfo.zip"
cp NOTICE "$out/usr/share/doc/taskgrove/NOTICE"
# Any uid will do, also one that is not here.
printf 'root:x:0:0:root:/:/sbin/nologin\ntaskgrove:x:65532:65532:taskgrove:/tmp:/sbin/nologin\n' >"$out/etc/passwd"
printf 'root:x:0:\ntaskgrove:x:65532:\n' >"$out/etc/group"
chmod 644 "$out"/etc/{passwd,group} "$out"/etc/ssl/certs/* "$out/usr/share/zoneinfo.zip" "$out"/usr/share/doc/taskgrove/*
chmod 755 "$out" "$out/usr/local/bin/taskgrove"
find "$out" -exec touch -h -d "@${SOURCE_DATE_EPOCH:-0}" {} +
