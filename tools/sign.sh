#!/usr/bin/env bash
# Signs the sums of a release with an SSH key (ed25519), so that whoever has OpenSSH can check them without a network.
#
#   tools/sign.sh KEY DIRECTORY     KEY is the private key, or the public one of a key that an agent holds
#
# It writes SHA256SUMS.sig beside SHA256SUMS. docs/supply.md says how to check it.
set -euo pipefail

key=$1 dir=$2
[ -s "$dir/SHA256SUMS" ] || { echo "sign: $dir has no SHA256SUMS" >&2; exit 1; }
rm -f "$dir/SHA256SUMS.sig"
ssh-keygen -q -Y sign -f "$key" -n taskgrove "$dir/SHA256SUMS"
[ -s "$dir/SHA256SUMS.sig" ] || { echo "sign: no signature was made" >&2; exit 1; }
