#!/usr/bin/env bash
# A private instance reaches the internet: workspace, network, gateway, route table, subnet and an instance without a public
# address, with curl and jq. Shows the address that its packets leave with, and what stands behind the gateway where that is
# the simulator; then deletes everything.
#
#   internet-gateway-e2e.sh          makes, shows, deletes
#   internet-gateway-e2e.sh keep     makes and shows
#   internet-gateway-e2e.sh down     deletes
#
#   SECA_URL          http://127.0.0.1:8080    the public listener
#   SECA_TOKEN_FILE   .dev/token               the file with the bearer token
#   SECA_TENANT       dev
#   SECA_REGION       the default one
#   SECA_ZONE         fsn1                     where the instance runs
#   SECA_WORKSPACE    gateway
#   SIM_URL           unset                    the simulator: then what stands there is looked at as well
#   SIM_PROJECT       dev                      the project there
#   SIM_TOKEN_FILE    .dev/sim.token           the file with its token
#   PATIENCE          600                      seconds that one resource may take
#
# The proxy needs SECA_INTERNET_GATEWAY_NAT_VM=true, which `make dev` sets.
set -euo pipefail

fail() { echo "internet-gateway-e2e: $*" >&2; exit 1; }

# shellcheck source=examples/seca.sh
source "$(dirname "${BASH_SOURCE[0]}")/seca.sh"
workspace=${SECA_WORKSPACE:-gateway}
in_workspace=v1/tenants/$tenant/workspaces/$workspace
net=seca.network/$in_workspace
disk=seca.storage/$in_workspace/block-storages/boot
instance=seca.compute/$in_workspace/instances/private

# until_true WHAT COMMAND...: waits until a command succeeds.
until_true() {
  local what=$1 end=$((SECONDS + ${PATIENCE:-600}))
  shift
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "$what: not within ${PATIENCE:-600} s"
    sleep 0.5
  done
}

is_active() {
  local body
  body=$(seca GET "$1")
  case $(jq -r '.status.state // "none"' <<<"$body") in
    active) jq -r '"active  " + (.status.conditions[0].message // "")' <<<"$body" ;;
    error) fail "$1: $(jq -r '.status.conditions[0] | "\(.reason): \(.message)"' <<<"$body")" ;;
    *) return 1 ;;
  esac
}

# make PATH BODY: creates or changes a resource, and waits until it is active.
make() {
  printf '%-40s ' "${1##*workspaces/}"
  seca PUT "$1" "$2" >/dev/null
  until_true "$1 is active" is_active "$1"
}

is_gone() {
  local rc=0
  seca GET "$1" >/dev/null || rc=$?
  [ "$rc" = 44 ]
}

gone() {
  printf '%-40s ' "${1##*workspaces/}"
  seca DELETE "$1" >/dev/null || true
  until_true "$1 is gone" is_gone "$1"
  echo gone
}

is_routed() {
  seca GET "$net/networks/net/route-tables/out" |
    jq -e '.status.routes[0] | .state == "active" and .conditions[0].reason == null' >/dev/null
}

is_on() { [ "$(seca GET "$instance" | jq -r .status.powerState)" = on ]; }

up() {
  make "seca.workspace/$in_workspace" '{"spec": {}}'
  make "$net/networks/net" '{"spec": {"cidr": {"ipv4": "10.30.0.0/16"}, "skuRef": "skus/hcloud-network"}}'
  make "$net/internet-gateways/gateway" '{"spec": {"egressOnly": true}}'
  make "$net/networks/net/route-tables/out" '{"spec": {"routes": [
    {"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/gateway"}]}}'
  make "$net/networks/net/subnets/private" '{"spec": {"cidr": {"ipv4": "10.30.1.0/24"},
    "routeTableRef": "networks/net/route-tables/out"}}'
  make "$net/nics/private" '{"spec": {"subnetRef": "networks/net/subnets/private", "addresses": ["0.0.0.0"]}}'
  make "$disk" '{"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": "images/ubuntu-24.04"}}'
  make "$instance" '{"extensions": {"hetzner.cloud/start-after-create": "true"}, "spec": {"skuRef": "skus/cx23",
    "zone": "'"$zone"'", "primaryNicRef": "nics/private", "bootVolume": {"deviceRef": "block-storages/boot"}}}'
  until_true "the instance runs" is_on
  until_true "the route is in effect" is_routed
  show
}

show() {
  local message address
  message=$(seca GET "$net/internet-gateways/gateway" | jq -r '.status.conditions[0].message')
  address=$(grep -oE '([0-9]{1,3}\.){3}[0-9]{1,3}' <<<"${message##*Egress}" | head -1) ||
    fail "the gateway tells no egress address: $message"
  printf '\n%s\nEgress address: %s\n' "$message" "$address"
  [ -z "${SIM_URL:-}" ] || stands "$address"
}

# stands ADDRESS: compares what stands at the simulator with what is told.
stands() {
  local inventory
  inventory=$(curl -fsS "$SIM_URL/_sim/inventory?project=${SIM_PROJECT:-dev}")
  jq -e '[.objects.servers[] | select(.labels["seca.kind"] == "internet-gateway")] | length == 1' <<<"$inventory" >/dev/null ||
    fail "there is not one NAT server: $(jq -c .counts <<<"$inventory")"
  jq -r '.objects.servers[] | select(.labels["seca.kind"] == "internet-gateway")
    | "NAT server \(.id) \(.name)"' <<<"$inventory"
  jq -r '.objects.primary_ips[] | select(.labels["seca.kind"] == "internet-gateway")
    | "Primary IP \(.id), assigned to \(.assignee_id)"' <<<"$inventory"
  jq -r '.objects.firewalls[] | select(.labels["seca.kind"] == "internet-gateway") | "Firewall \(.id) \(.name)"' <<<"$inventory"
  local server networks address hop
  server=$(cloud "servers?label_selector=seca.kind%3Dinternet-gateway,seca.workspace%3D$workspace" | jq '.servers[0]')
  [ "$(jq -r .public_net.ipv4.ip <<<"$server")" = "$1" ] || fail "the server has another address than $1: $server"
  jq -e '.public_net.firewalls | length == 1 and .[0].status == "applied"' <<<"$server" >/dev/null ||
    fail "no firewall is in force before the server: $server"
  address=$(jq -r '.private_net[0].ip' <<<"$server")
  networks=$(cloud "networks?label_selector=seca.workspace%3D$workspace")
  hop=$(jq -r '.networks[0].routes[] | select(.destination == "0.0.0.0/0") | .gateway' <<<"$networks")
  [ "$hop" = "$address" ] || fail "the route leads to $hop, and the server has $address"
  echo "Attached with $address, where the route 0.0.0.0/0 leads"
}

# cloud PATH: what the simulated Hetzner Cloud answers.
cloud() { curl -fsS -H @- "$SIM_URL/v1/$1" <<<"Authorization: Bearer $(<"${SIM_TOKEN_FILE:-.dev/sim.token}")"; }

down() {
  local path
  gone "$instance"
  gone "$disk"
  for path in nics/private networks/net/subnets/private networks/net/route-tables/out internet-gateways/gateway networks/net; do
    gone "$net/$path"
  done
  gone "seca.workspace/$in_workspace"
  [ -z "${SIM_URL:-}" ] || is_empty
}

# is_empty: nothing but the project's marker is left, as far as this workspace is concerned.
is_empty() {
  local left
  left=$(curl -fsS "$SIM_URL/_sim/inventory?project=${SIM_PROJECT:-dev}" |
    jq -c '[.objects[][] | select(.labels["seca.workspace"] == "'"$workspace"'")]')
  [ "$left" = '[]' ] || fail "this is left at the simulator: $left"
  echo "nothing is left"
}

case ${1:-all} in
  all) up; down ;;
  keep) up ;;
  down) down ;;
  *) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
