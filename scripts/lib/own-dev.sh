# For scripts that need a `secapi-proxy dev` of their own; to be sourced, in the repository's root. `own_dev` starts one on
# free ports and waits until it is ready; it ends, and its folder goes, with the script.
#
#   $place       the folder, before and after
#   $SECA_URL    its public listener
#   $admin       its admin listener
#   $sim         its simulator
#   $SECA_TOKEN_FILE
#
# SIM_SPEED is how long simulated actions take (0.02); 1 is lifelike.
export no_proxy=127.0.0.1 NO_PROXY=127.0.0.1

needs() { # needs SCRIPT PROGRAM...
  local script=$1 program
  for program in "${@:2}"; do
    command -v "$program" >/dev/null ||
      { echo "$script: $program is not installed (Debian: apt-get install $program)" >&2; exit 2; }
  done
}

own_dev() { # own_dev [FLAG...]
  cargo build --quiet --locked -p secapi-proxy
  place=$(mktemp -d)
  dev=
  end_of_dev() {
    [ -z "$dev" ] || { kill "$dev" 2>/dev/null; wait "$dev" 2>/dev/null || true; }
    rm -rf "$place"
  }
  trap end_of_dev EXIT
  "${CARGO_TARGET_DIR:-target}/debug/secapi-proxy" dev --dir "$place/dev" --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 \
    --sim-listen 127.0.0.1:0 --sim-speed "${SIM_SPEED:-0.02}" --ready-file "$place/ready.json" --log-level warn "$@" >"$place/out" 2>&1 &
  dev=$!
  until [ -s "$place/ready.json" ]; do
    kill -0 "$dev" 2>/dev/null || { cat "$place/out" >&2; exit 1; }
    sleep 0.1
  done
  export SECA_URL SECA_TOKEN_FILE=$place/dev/token
  SECA_URL=$(jq -r .public "$place/ready.json")
  admin=$(jq -r .admin "$place/ready.json")
  sim=$(jq -r .sim "$place/ready.json")
}
