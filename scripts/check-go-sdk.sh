#!/usr/bin/env bash
# Leads a whole life of resources in two regions through the official Go SDK, unmodified (examples/go-sdk), against a
# `secapi-proxy dev` of its own on free ports. Prints a table, and fails when a step failed, when something is left at
# the simulator, or when Go is missing.
#
# No part of CI, which has no Go for certain; the SDK comes from the module cache or the module proxy.
# SIM_SPEED is how long simulated actions take: 0 none, 1 as long as real ones. Arguments go to the program (-help).
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
dev=
finish() {
  if [ -n "$dev" ]; then kill "$dev" 2>/dev/null || true; wait "$dev" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT
fail() { echo "check-go-sdk: $*" >&2; exit 1; }

for tool in go curl; do
  command -v "$tool" >/dev/null || fail "no $tool on the PATH: install Go 1.24 or newer, and curl"
done

# --- the judge and the judged ----------------------------------------------------------------------------------------
(cd examples/go-sdk && go vet . && go build -o "$work/go-sdk" .) ||
  fail "examples/go-sdk cannot be built: Go says why above"
"${CARGO:-cargo}" build --quiet --locked -p secapi-proxy
target=${CARGO_TARGET_DIR:-target}
"$target/debug/secapi-proxy" dev --dir "$work/dev" --ready-file "$work/ready.json" --sim-speed "${SIM_SPEED:-0.05}" \
  --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --sim-listen 127.0.0.1:0 >"$work/dev.log" 2>&1 &
dev=$!
for _ in $(seq 600); do
  [ -s "$work/ready.json" ] && break
  kill -0 "$dev" 2>/dev/null || fail "secapi-proxy dev did not start: $(cat "$work/dev.log")"
  sleep 0.1
done
[ -s "$work/ready.json" ] || fail "secapi-proxy dev was not ready within a minute: $(cat "$work/dev.log")"
ready() { sed -n "s/^ *\"$1\": \"\(.*\)\",*$/\1/p" "$work/ready.json"; }

# --- the life --------------------------------------------------------------------------------------------------------
failed=0
SECA_TOKEN=$(cat "$work/dev/token") "$work/go-sdk" -url "$(ready public)" -interval 250ms "$@" || failed=1

left=$(curl -fsS --noproxy "*" "$(ready sim)/_sim/inventory" | tr -d ' \n' | sed 's/.*"counts":{\([^}]*\)}.*/\1/')
# The marker of the project stays: an empty placement group.
left=$(echo "$left" | tr ',' '\n' | grep -v ':0$' || true)
case $left in
  '"placement_groups":1' | '') echo "simulator: nothing is left but the marker of the project" ;;
  *) failed=1; echo "simulator: something is left: ${left//$'\n'/, }" ;;
esac
# The log comes after the guide.
if [ "$failed" -ne 0 ]; then sed '1,/Ctrl-C ends this/d' "$work/dev.log" | tail -n 40 >&2; fi
exit "$failed"
