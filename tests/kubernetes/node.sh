#!/usr/bin/env bash
# Ends a node of the cluster that this machine has (its README: cluster/ beside this repository), as a power cut would, or starts it again.
#
#   node.sh down 2    kills the node's kubelet, its container engine and every process of its pods
#   node.sh up 2      starts both again
set -euo pipefail
home=${CLUSTER_HOME:-/tmp/cluster}
scripts=${CLUSTER_SCRIPTS:-$(cd "$(dirname "$0")/../../.." && pwd)/shared/cluster}
n=${2:?which node: a number}
case ${1:-} in
  down)
    for daemon in "kubelet$n" "containerd$n"; do
      read -r pid _ <"$home/run/$daemon.pid" && kill -KILL "$pid"
    done
    pkill -KILL -f "containerd-shim.*$home/node$n/" || true
    for _ in 1 2 3; do
      find /sys/fs/cgroup -path "*/cluster-node$n/*" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -KILL 2>/dev/null || true
      sleep 0.2
    done
    ;;
  up)
    "$scripts/k8s-up" --nodes 2
    sleep 3
    # It has written the configuration of kube-proxy anew, which may have ended that: then Services lead nowhere.
    kill -0 "$(cut -d' ' -f1 "$home/run/kube-proxy.pid")" 2>/dev/null || "$scripts/k8s-up" --nodes 2
    ;;
  *) echo "usage: node.sh down|up NUMBER" >&2; exit 2 ;;
esac
