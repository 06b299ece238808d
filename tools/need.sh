#!/usr/bin/env bash
# Sees to it that the things named are on this machine: installs them where it may (root with apt-get), else names what
# is missing in one line each.
#
#   tools/need.sh go cc postgres protoc
#
# Exit status: 0 when all are there or can be done without, 1 otherwise.
set -euo pipefail

tools=$(cd "$(dirname "$0")" && pwd)
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' "$tools/../go.mod")
export GOTOOLCHAIN PATH="$tools/../bin/tools/$GOTOOLCHAIN/bin:$PATH"
unset GOROOT

status=0
updated=

# install PACKAGE...: with apt-get where we may; false where we may not or it fails.
install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  echo "need: installing $*"
  export DEBIAN_FRONTEND=noninteractive
  if [ -z "$updated" ]; then
    "$tools/again.sh" apt-get -q -q update || echo "need: apt-get update ended with $?: going on with the lists there are"
    updated=1
  fi
  "$tools/again.sh" apt-get -q -q install -y --no-install-recommends "$@" >/dev/null
}

missing() {
  echo "need: $*" >&2
  status=1
}

# postgres_server: is there one in the places where pg/pgserver looks?
postgres_server() {
  local dir
  command -v postgres >/dev/null && return 0
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/lib64/pgsql/bin /usr/libexec/postgresql* \
    {/opt/homebrew,/usr/local,/home/linuxbrew/.linuxbrew}/opt/postgresql*/bin \
    /Applications/Postgres.app/Contents/Versions/*/bin; do
    [ -x "$dir/initdb" ] && return 0
  done
  return 1
}

# toolchain: is there the Go that go.mod names? What fetching it takes is installed where that may be done.
toolchain() {
  local answer=0 installed=
  while :; do
    "$tools/toolchain.sh" || answer=$?
    case $answer in
      2) install golang-go || { echo "need: no module proxy is known: set GOPROXY, or install Go" >&2; return 1; } ;; # an old Go knows one
      3) install ca-certificates curl unzip || { echo "need: unzip, and curl or wget, are needed to fetch Go" >&2; return 1; } ;;
      *) return $answer ;;
    esac
    case $installed in *$answer*) return 1 ;; esac
    installed+=$answer answer=0
  done
}

# contracts_compile: is there a protoc, with the contracts that come with it?
contracts_compile() {
  local dir
  command -v protoc >/dev/null || return 1
  dir=$(mktemp -d)
  echo 'syntax = "proto3"; import "google/protobuf/timestamp.proto"; message M { google.protobuf.Timestamp t = 1; }' >"$dir/m.proto"
  protoc -I "$dir" --descriptor_set_out="$dir/m" m.proto 2>/dev/null
  local answer=$?
  rm -r "$dir"
  return $answer
}

# uv_of_python: installs uv with Python's own installer, where that may be done.
uv_of_python() {
  [ "$(id -u)" = 0 ] || return 1
  command -v pip3 >/dev/null || install python3-pip || return 1
  echo "need: installing uv"
  local flags=()
  if pip3 install --help | grep -q -e --break-system-packages; then flags=(--break-system-packages); fi # Debian's own wants it
  "$tools/again.sh" pip3 install -q "${flags[@]}" uv
}

# buf_of_python: installs buf, which checks the contracts, in bin/buf.
buf_of_python() {
  local version=1.75.0
  [ -x bin/buf/bin/buf ] && [ "$(bin/buf/bin/buf --version)" = $version ] && return
  command -v pip3 >/dev/null || install python3-pip || return 1
  echo "need: installing buf"
  PIP_ROOT_USER_ACTION=ignore "$tools/again.sh" pip3 install -q --upgrade --target bin/buf "buf-bin==$version"
}

for thing in "$@"; do
  case $thing in
    go)
      toolchain || missing "there is no $GOTOOLCHAIN, which go.mod names: install it" ;;
    cc)
      command -v "$(go env CC 2>/dev/null || echo cc)" >/dev/null || install gcc libc6-dev ||
        missing "no C compiler, which go test -race needs: install gcc or clang" ;;
    postgres)
      postgres_server || install postgresql ||
        echo "need: no Postgres server (15 or newer) is installed, so one will be fetched; to install one: apt-get install postgresql, dnf install postgresql-server or brew install postgresql" ;;
    pgbouncer)
      command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || install pgbouncer ||
        echo "need: no pgbouncer is installed, so the tests through a pooler are skipped; to install it: apt-get install pgbouncer" ;;
    protoc)
      contracts_compile || install protobuf-compiler libprotobuf-dev ||
        missing "protoc or google/protobuf/*.proto is missing: apt-get install protobuf-compiler libprotobuf-dev, dnf install protobuf-compiler protobuf-devel or brew install protobuf" ;;
    mariadb)
      command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || install mariadb-server-core ||
        echo "need: no MariaDB server is installed, so the tests of sql_executor with one are skipped; to install it: apt-get install mariadb-server-core" ;;
    sshd)
      command -v sshd >/dev/null || [ -x /usr/sbin/sshd ] || install openssh-server openssh-client ||
        echo "need: no OpenSSH server is installed, so the tests of ssh_executor are skipped; to install it: apt-get install openssh-server, dnf install openssh-server" ;;
    smbd)
      { command -v smbd && command -v pdbedit; } >/dev/null || [ -x /usr/sbin/smbd ] || install samba ||
        echo "need: no Samba server is installed, so the tests of smb_upload_files and its like are skipped; to install it: apt-get install samba, dnf install samba" ;;
    zip)
      { command -v zip && command -v unzip && command -v 7z; } >/dev/null || install zip unzip p7zip-full ||
        echo "need: zip, unzip or 7z is not installed, so the tests of archives by other programs are skipped; to install them: apt-get install zip unzip p7zip-full" ;;
    proxies)
      { command -v tinyproxy && command -v microsocks; } >/dev/null || install tinyproxy microsocks ||
        echo "need: tinyproxy or microsocks is not installed, so the test of connections through them is skipped; to install them: apt-get install tinyproxy microsocks" ;;
    smtpd)
      /usr/bin/python3 -c 'import aiosmtpd' 2>/dev/null || python3 -c 'import aiosmtpd' 2>/dev/null || install python3-aiosmtpd ||
        echo "need: no aiosmtpd is installed, so the tests of mail_send with a server are skipped; to install it: apt-get install python3-aiosmtpd" ;;
    uv)
      command -v uv >/dev/null || uv_of_python ||
        missing "uv is missing, which the tests of python_executor need: pip install uv" ;;
    buf)
      (cd "$tools/.." && buf_of_python) ||
        missing "buf can't be had, which make proto-check needs: install pip3" ;;
    python3)
      command -v python3 >/dev/null || install python3 || missing "python3 is missing: apt-get install python3" ;;
    nodejs)
      command -v node >/dev/null || install nodejs || missing "node is missing: apt-get install nodejs" ;;
    npm)
      command -v npm >/dev/null || install npm || missing "npm is missing: apt-get install npm" ;;
    chromium)
      { command -v chromium || [ -n "${TASKGROVE_CHROMIUM:-}" ]; } >/dev/null || install chromium ||
        missing "there is no Chromium, which make page-browser drives: apt-get install chromium, or name one in TASKGROVE_CHROMIUM" ;;
    prometheus)
      { command -v prometheus && command -v promtool; } >/dev/null || install prometheus ||
        echo "need: no Prometheus is installed, so the tests of alerts and dashboards are skipped; to install it: apt-get install prometheus" ;;
    docker)
      "$tools/docker-up.sh" ||
        echo "need: no Docker engine can be had here, so the tests of docker_executor are skipped; to have one: install and start Docker" ;;
    *)
      missing "don't know how to look for $thing" ;;
  esac
done
exit "$status"
