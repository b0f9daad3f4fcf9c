#!/usr/bin/env bash
# The walk of the SECA specification's usage page, with curl and jq: a network, a security group, a public IP, a NIC, two disks
# and an instance that runs. Each PUT may be sent again: the script goes on where it was stopped.
#
#   walk.sh up        makes everything, and shows what the API tells of it
#   walk.sh show      shows it once more
#   walk.sh down      deletes everything
#
#   SECA_URL          http://127.0.0.1:8080    the public listener
#   SECA_TOKEN_FILE   .dev/token               the file with the bearer token
#   SECA_TENANT       dev
#   SECA_ZONE         fsn1                     where the instance runs
#   SECA_WORKSPACE    walk
#   SSH_KEY_FILE      ~/.ssh/id_ed25519.pub    the public key that may log in
#   SSH_FROM          203.0.113.7              the address that may, or a block
set -euo pipefail

fail() { echo "walk: $*" >&2; exit 1; }

# shellcheck source=examples/seca.sh
source "$(dirname "${BASH_SOURCE[0]}")/../seca.sh"
workspace=${SECA_WORKSPACE:-walk}
key_file=${SSH_KEY_FILE:-$HOME/.ssh/id_ed25519.pub}
in_tenant=v1/tenants/$tenant
in_workspace=$in_tenant/workspaces/$workspace

# make PATH BODY: creates or changes a resource, and waits until it is active.
make() {
  local path=$1 state body
  printf '%-40s ' "${path##*workspaces/}"
  seca PUT "$path" "$2" >/dev/null
  while :; do
    body=$(seca GET "$path")
    state=$(jq -r '.status.state // "none"' <<<"$body")
    case $state in
      active) jq -r '"active  " + (.status.conditions[0].message // "")' <<<"$body"; return ;;
      error) jq -r '.status.conditions[0] | "error: \(.reason): \(.message)"' <<<"$body" >&2; exit 1 ;;
    esac
    sleep 0.5
  done
}

# gone PATH: deletes a resource, and waits until it has left.
gone() {
  local rc=0
  printf '%-40s ' "${1##*workspaces/}"
  seca DELETE "$1" >/dev/null || rc=$?
  while [ "$rc" = 0 ]; do
    seca GET "$1" >/dev/null || rc=$?
    [ "$rc" != 0 ] || sleep 0.5
  done
  [ "$rc" = 44 ] || exit "$rc"
  echo gone
}

up() {
  [ -r "$key_file" ] || { echo "walk: there is no public key $key_file; name one with SSH_KEY_FILE" >&2; exit 2; }
  make "seca.workspace/$in_workspace" '{"spec": {}}'

  local net=seca.network/$in_workspace
  make "$net/networks/net" '{"spec": {"cidr": {"ipv4": "10.20.0.0/16"}, "skuRef": "skus/hcloud-network"}}'
  make "$net/internet-gateways/out" '{"spec": {}}'
  make "$net/networks/net/route-tables/main" '{"spec": {"routes": [
    {"destinationCidrBlock": "0.0.0.0/0", "targetRef": "internet-gateways/out"}]}}'
  make "$net/networks/net/subnets/front" '{"spec": {"cidr": {"ipv4": "10.20.1.0/24"},
    "routeTableRef": "networks/net/route-tables/main"}}'

  # What no rule names does not pass, in either direction: so there is a rule for what goes out.
  make "$net/security-groups/web" '{"spec": {"rules": [
    {"direction": "ingress", "protocol": "tcp", "ports": {"from": 22, "to": 22}, "sourceRef": ["'"${SSH_FROM:-203.0.113.7}"'"]},
    {"direction": "ingress", "protocol": "tcp", "ports": {"list": [80, 443]}},
    {"direction": "egress", "protocol": "tcp+udp"}]}}'
  make "$net/public-ips/front" '{"spec": {"version": "IPv4"}}'
  # An address of our choice, and any other one. The public IP and the group come to the instance by its NIC.
  make "$net/nics/front" '{"spec": {"subnetRef": "networks/net/subnets/front", "addresses": ["10.20.1.10", "0.0.0.0"],
    "publicIpRefs": ["public-ips/front"], "securityGroupRefs": ["security-groups/web"]}}'

  local storage=seca.storage/$in_workspace/block-storages
  make "$storage/boot" '{"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 20, "sourceImageRef": "images/ubuntu-24.04"}}'
  make "$storage/data" '{"spec": {"skuRef": "skus/hcloud-volume", "sizeGB": 10}}'

  # The extension starts the instance when everything is attached. It belongs into the PUT that creates the instance.
  local key body
  key=$(jq -Rn 'input' <"$key_file")
  body='{"extensions": {"hetzner.cloud/start-after-create": "true"}, "spec": {
    "skuRef": "skus/cx23", "zone": "'$zone'", "sshKeys": ['$key'], "antiAffinityGroup": "apart",
    "primaryNicRef": "nics/front", "bootVolume": {"deviceRef": "block-storages/boot"},
    "dataVolumes": [{"deviceRef": "block-storages/data"}]}}'
  make "seca.compute/$in_workspace/instances/web" "$body"
  until [ "$(seca GET "seca.compute/$in_workspace/instances/web" | jq -r .status.powerState)" = on ]; do sleep 0.5; done
  show
}

show() {
  local path
  for path in seca.compute/$in_workspace/instances/web seca.network/$in_workspace/{nics/front,public-ips/front} \
    seca.storage/$in_workspace/block-storages/data; do
    printf '\n%s\n' "${path##*workspaces/}"
    seca GET "$path" | jq '.status | del(.conditions) + (.conditions[0] | {reason, message} | with_entries(select(.value)))' \
      || echo '  is not there'
  done
}

down() {
  local path
  gone "seca.compute/$in_workspace/instances/web"
  for path in boot data; do gone "seca.storage/$in_workspace/block-storages/$path"; done
  for path in nics/front public-ips/front security-groups/web networks/net/subnets/front networks/net/route-tables/main \
    internet-gateways/out networks/net; do
    gone "seca.network/$in_workspace/$path"
  done
  gone "seca.workspace/$in_workspace"
}

case ${1:-} in
  up) up ;;
  show) show ;;
  down) down ;;
  *) sed -n '2,/^set /{/^set /!s/^# \{0,1\}//p}' "$0"; exit 2 ;;
esac
