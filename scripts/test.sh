#!/usr/bin/env bash
# All tests of the workspace, and how many of them ran. Nothing is skipped in silence: a test that cannot run
# (no PostgreSQL binaries) fails and says in one line what it needs.
set -uo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT

cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$log"
status=${PIPESTATUS[0]}

# The example outside the workspace embeds a crate of ours as another project would.
for manifest in examples/*/Cargo.toml; do
  [ -f "$manifest" ] || continue
  echo "running $(dirname "$manifest")"
  cargo run -q --manifest-path "$manifest" --target-dir "${CARGO_TARGET_DIR:-target}/examples" >/dev/null || status=1
done

read -r passed failed ignored < <(awk '
  /^test result:/ { for (i = 1; i <= NF; i++) {
      if ($(i+1) ~ /^passed;/) p += $i
      if ($(i+1) ~ /^failed;/) f += $i
      if ($(i+1) ~ /^ignored;/) n += $i } }
  END { print p + 0, f + 0, n + 0 }' "$log")

echo
echo "tests: $passed passed, $failed failed, $ignored ignored"
if [ "$ignored" -gt 0 ]; then
  echo "ignored tests are not allowed: delete them or make them run" >&2
  status=1
fi
if [ "$passed" -eq 0 ]; then
  echo "no test ran" >&2
  status=1
fi
exit "$status"
