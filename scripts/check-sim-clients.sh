#!/usr/bin/env bash
# Runs a stated list of commands of the hcloud CLI and of the Python library hcloud, both unmodified, against the
# simulator, and fails when one of them fails or a client is missing.
#
# The CLI is $HCLOUD_CLI, or hcloud on the PATH, or is built by `go install` at the version below. The Python library
# goes into a throw-away environment. Everything else happens in a temporary folder.
set -euo pipefail
cd "$(dirname "$0")/.."

CLI_VERSION=v1.67.0
work=$(mktemp -d)
sim=
finish() {
  if [ -n "$sim" ]; then kill "$sim" 2>/dev/null || true; wait "$sim" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

fail() { echo "check-sim-clients: $*" >&2; exit 1; }

# --- clients ---------------------------------------------------------------------------------------------------------
cli=${HCLOUD_CLI:-$(command -v hcloud || true)}
if [ -z "$cli" ]; then
  command -v go >/dev/null || fail "no hcloud CLI: set HCLOUD_CLI to one, put it on the PATH, or install Go 1.25"
  echo "building the hcloud CLI $CLI_VERSION"
  GOBIN="$work/bin" go install "github.com/hetznercloud/cli/cmd/hcloud@$CLI_VERSION" ||
    fail "the hcloud CLI cannot be built here: set HCLOUD_CLI to one, or put it on the PATH"
  cli="$work/bin/hcloud"
fi
"$cli" version >/dev/null || fail "$cli is no hcloud CLI"

command -v python3 >/dev/null || fail "no python3: install Python 3.9 or newer"
python3 -m venv "$work/venv" || fail "python3 -m venv does not work: install the venv module"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check hcloud || fail "the Python library hcloud cannot be installed"

# --- simulator -------------------------------------------------------------------------------------------------------
cargo build --quiet -p hcloud-sim
target=${CARGO_TARGET_DIR:-target}
"$target/debug/hcloud-sim" --listen 127.0.0.1:0 --speed 0.01 --token-file "$work/token" >"$work/sim.out" 2>"$work/sim.err" &
sim=$!
for _ in $(seq 100); do
  endpoint=$(sed -n 's/^hcloud-sim listens on //p' "$work/sim.out")
  [ -n "$endpoint" ] && break
  kill -0 "$sim" 2>/dev/null || fail "the simulator did not start: $(cat "$work/sim.err")"
  sleep 0.1
done
[ -n "${endpoint:-}" ] || fail "the simulator did not say where it listens"

unset "${!HCLOUD_@}"
export HCLOUD_ENDPOINT=$endpoint HCLOUD_CONFIG=$work/cli.toml HCLOUD_POLL_INTERVAL=50ms NO_COLOR=1
HCLOUD_TOKEN=$(cat "$work/token")
export HCLOUD_TOKEN
: >"$HCLOUD_CONFIG"

# --- the hcloud CLI --------------------------------------------------------------------------------------------------
passed=0 failed=0 names=()
# check NAME COMMAND…: one row of the table.
check() {
  local name=$1
  shift
  if timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null; then
    passed=$((passed + 1))
    printf '  ok      %s\n' "$name"
  else
    failed=$((failed + 1)) names+=("$name")
    printf '  FAILED  %s\n' "$name"
    sed 's/^/          /' "$work/err" "$work/out" | head -20
  fi
}
h() { check "hcloud $*" "$cli" "$@"; }
# The command must print the text.
says() {
  local text=$1
  shift
  # shellcheck disable=SC2016 # The inner shell expands these.
  check "hcloud $* (says $text)" sh -c 'text=$1; shift; "$@" | grep -q -- "$text"' sh "$text" "$cli" "$@"
}
# The command must fail, and name the code.
refuses() {
  local code=$1
  shift
  # shellcheck disable=SC2016
  check "hcloud $* (refused: $code)" sh -c \
    'code=$1; shift; if out=$("$@" 2>&1); then exit 1; else echo "$out" | grep -q -- "$code"; fi' sh "$code" "$cli" "$@"
}

echo "hcloud CLI: $("$cli" version)"
h location list
h location describe fsn1
says cx23 server-type list
h server-type describe cx23
h image list
h image describe --architecture x86 ubuntu-24.04
says ubuntu-24.04 image list --type system --architecture arm
ssh-keygen -q -t ed25519 -N '' -f "$work/key" -C check 2>/dev/null ||
  echo "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f check" >"$work/key.pub"
h ssh-key create --name key --public-key-from-file "$work/key.pub" --label a=b
h ssh-key list --selector a=b
h ssh-key describe key
h ssh-key update key --name key2
h ssh-key add-label key2 c=d
refuses uniqueness_error ssh-key create --name other --public-key-from-file "$work/key.pub"
h placement-group create --name spread --type spread
h placement-group list
h placement-group describe spread
h network create --name net --ip-range 10.0.0.0/16 --label a=b
h network add-subnet net --type cloud --network-zone eu-central --ip-range 10.0.1.0/24
h network add-subnet net --type cloud --network-zone eu-central
h network add-route net --destination 192.168.0.0/24 --gateway 10.0.1.9
says 192.168.0.0/24 network describe net
h network remove-route net --destination 192.168.0.0/24 --gateway 10.0.1.9
h network remove-subnet net --ip-range 10.0.0.0/24
h network change-ip-range net --ip-range 10.0.0.0/15
h network list
h network enable-protection net delete
refuses protected network delete net
h network disable-protection net delete
cat >"$work/rules.json" <<'JSON'
[{"direction": "in", "protocol": "tcp", "port": "22", "source_ips": ["0.0.0.0/0", "::/0"]}]
JSON
h firewall create --name fw --rules-file "$work/rules.json"
h firewall add-rule fw --direction in --protocol icmp --source-ips 0.0.0.0/0
h firewall replace-rules fw --rules-file "$work/rules.json"
h firewall describe fw
h firewall list
h primary-ip create --name ip4 --type ipv4 --location fsn1
h primary-ip describe ip4
h primary-ip list
h volume create --name vol --size 10 --location fsn1 --format ext4
h volume list
h server create --name web --type cx23 --image ubuntu-24.04 --location fsn1 --ssh-key key2 --network net \
  --placement-group spread --firewall fw --primary-ipv4 ip4 --label app=web
says running server list -o columns=name,status
says 10.0.1 server describe web
h server ip web
h server update web --name web2
h server add-label web2 tier=front
says web2 server list --selector 'tier in (front,back),app=web'
h volume attach vol --server web2
says web2 volume describe vol
h volume resize vol --size 20
refuses attached volume delete vol
h volume detach vol
h server shutdown --wait web2
says off server list -o columns=status
h server poweron web2
h server reboot web2
h server reset web2
refuses server_not_stopped server change-type web2 cx33 --keep-disk
h server create-image web2 --type snapshot --description snap --label a=b
says snap image list --type snapshot
h server enable-protection web2 delete rebuild
refuses protected server delete web2
h server disable-protection web2 delete rebuild
h server rebuild web2 --image debian-12
h server poweroff web2
h server change-type web2 cx33 --keep-disk
says running server list -o columns=status
h server poweroff web2
h server detach-from-network web2 --network net
h server attach-to-network web2 --network net --ip 10.0.1.50
h server change-alias-ips web2 --network net --alias-ips 10.0.1.51
h server remove-from-placement-group web2
h server add-to-placement-group web2 --placement-group spread
h firewall remove-from-resource fw --type server --server web2
h firewall apply-to-resource fw --type server --server web2
h primary-ip unassign ip4
h primary-ip assign ip4 --server web2
h primary-ip set-rdns ip4 --ip "$("$cli" primary-ip describe ip4 -o format='{{.IP}}')" --hostname web.example.com
h server create --name two --type cx23 --image "$("$cli" image list --type snapshot -o noheader -o columns=id | head -1)" \
  --location nbg1 --without-ipv4 --start-after-create=false
refuses uniqueness_error server create --name two --type cx23 --image ubuntu-24.04 --location nbg1
refuses invalid_input server create --name three --type cx23 --image ubuntu-24.04 --location sin
h server delete two
h server delete web2
h image delete "$("$cli" image list --type snapshot -o noheader -o columns=id | head -1)"
h volume delete vol
h primary-ip delete ip4
h firewall delete fw
h network delete net
h placement-group delete spread
h ssh-key delete key2
# shellcheck disable=SC2016
check "the project is empty" sh -c '[ -z "$("$1" server list -o noheader)$("$1" primary-ip list -o noheader)" ]' sh "$cli"
cli_passed=$passed cli_failed=$failed

# --- the Python library ----------------------------------------------------------------------------------------------
python_failed=0
"$work/venv/bin/python" scripts/sim_clients.py "$work/key.pub" | tee "$work/python.out" || python_failed=1
grep -q '^python: ' "$work/python.out" || python_failed=1

echo
echo "hcloud CLI: $cli_passed ok, $cli_failed failed"
grep '^python: ' "$work/python.out" || echo "python: did not finish"
for name in ${names[@]+"${names[@]}"}; do echo "failed: $name"; done
[ "$cli_failed" -eq 0 ] && [ "$python_failed" -eq 0 ]
