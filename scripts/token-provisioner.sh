#!/usr/bin/env bash
# The predecessor's way to start the token provisioner: the same variables, now a program of its own. It takes the binary
# beside the proxy's (PATH, target/release, target/debug), and builds it where there is none.
#
#   SECA_ADMIN_TOKEN=... SECA_TOKEN_PROVISIONER_HETZNER_TOKEN=... scripts/token-provisioner.sh
#
# `scripts/token-provisioner.sh --help` lists all variables. Unlike the predecessor's script, it looks at all tenants where
# SECA_TENANTS is not set.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
for binary in "$(command -v token-provisioner || true)" "${CARGO_TARGET_DIR:-$root/target}"/{release,debug}/token-provisioner; do
  [ ! -x "$binary" ] || exec "$binary" "$@"
done
cd "$root"
exec cargo run --quiet --locked -p token-provisioner -- "$@"
