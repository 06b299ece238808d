#!/bin/sh
# Carries the images that compose.yaml and the chart use to where there is no registry, or to a registry of your own.
#
#   deploy/images.sh list                     the names, one a line (deploy/images.txt, without what a trial does not need)
#   deploy/images.sh save FILE                where there is a network: pulls what is not there, and writes all into FILE
#   deploy/images.sh load FILE [REGISTRY]     where there is none: loads them; with REGISTRY, tags and pushes each as REGISTRY/NAME
#   deploy/images.sh tag REGISTRY             only tags those that are there
#
# IMAGES names others, separated by spaces. DOCKER is the program: docker, podman or nerdctl.
set -eu

docker=${DOCKER:-docker}
here=$(dirname "$0")

list() {
  if [ -n "${IMAGES:-}" ]; then printf '%s\n' $IMAGES; else sed 's/[[:space:]]*#.*//; /^$/d' "$here/images.txt"; fi
}

# mirrored NAME: its name in a registry, as the chart writes it with global.imageRegistry. The host of a name that has one goes away.
mirrored() {
  case $1 in
    */*) case ${1%%/*} in *.* | *:* | localhost) echo "$registry/${1#*/}" ;; *) echo "$registry/$1" ;; esac ;;
    *) echo "$registry/$1" ;;
  esac
}

case ${1:-} in
  list) list ;;
  save)
    file=${2:?save wants a FILE}
    for image in $(list); do
      "$docker" image inspect "$image" >/dev/null 2>&1 || "$docker" pull -q "$image"
    done
    # shellcheck disable=SC2046 # names have no spaces
    "$docker" save $(list) | gzip >"$file.new"
    mv "$file.new" "$file"
    if command -v sha256sum >/dev/null; then sha256sum "$file"; else shasum -a 256 "$file"; fi
    ;;
  load)
    file=${2:?load wants a FILE}
    gzip -dc "$file" | "$docker" load
    registry=${3:-}
    [ -n "$registry" ] || exit 0
    for image in $(list); do
      "$docker" tag "$image" "$(mirrored "$image")"
      "$docker" push "$(mirrored "$image")"
    done
    ;;
  tag)
    registry=${2:?tag wants a REGISTRY}
    for image in $(list); do
      "$docker" tag "$image" "$(mirrored "$image")"
      mirrored "$image"
    done
    ;;
  *)
    sed -n '2,10s/^# \{0,1\}//p' "$0" >&2
    exit 2
    ;;
esac
