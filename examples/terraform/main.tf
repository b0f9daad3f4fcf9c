# The walk of the SECA specification's usage page as Terraform, for provider eu-sovereign-cloud/seca v0.2.0. README.md says
# which of its habits this heeds.

terraform {
  required_providers {
    seca = {
      source  = "eu-sovereign-cloud/seca"
      version = "~> 0.2"
    }
  }
}

provider "seca" {
  token  = var.token
  tenant = var.tenant
  region = var.region
  global_providers = {
    region_v1        = "${var.url}/providers/seca.region"
    authorization_v1 = "${var.url}/providers/seca.authorization"
  }
  # Its own values wait 30 s before the first look at anything.
  retry = { delay = 1, interval = 2, max_attempts = 150 }
}

data "seca_instance_sku" "small" { name = var.sku }
data "seca_storage_sku" "volume" { name = "hcloud-volume" }
data "seca_network_sku" "network" { name = "hcloud-network" }
data "seca_image" "ubuntu" { name = "ubuntu-24.04" }

resource "seca_workspace" "shop" {
  name = var.workspace
}

# --- network ---------------------------------------------------------------------------------------------------------

# The IPv6 block is intent alone, because networks of Hetzner Cloud carry none. Without it the provider plans another one at
# each change, and replaces the network.
resource "seca_network" "net" {
  name         = "net"
  workspace_id = seca_workspace.shop.name
  sku_id       = data.seca_network_sku.network.id
  cidr         = { ipv4 = "10.20.0.0/16", ipv6 = "fd20::/48" }
}

resource "seca_internet_gateway" "out" {
  name         = "out"
  workspace_id = seca_workspace.shop.name
}

resource "seca_route_table" "main" {
  name         = "main"
  workspace_id = seca_workspace.shop.name
  network_id   = seca_network.net.name
  routes       = [{ destination_cidr_block = "0.0.0.0/0", target_id = seca_internet_gateway.out.id }]
}

resource "seca_subnet" "front" {
  name           = "front"
  workspace_id   = seca_workspace.shop.name
  network_id     = seca_network.net.name
  cidr           = { ipv4 = "10.20.1.0/24", ipv6 = "fd20::/64" }
  route_table_id = seca_route_table.main.id
}

# What no rule names does not pass, in either direction: so there is a rule for what goes out.
resource "seca_security_group" "web" {
  name         = "web"
  workspace_id = seca_workspace.shop.name
  rules = [
    { direction = "ingress", protocol = "tcp", ports = { from = 22, to = 22, list = [] }, source_refs = [var.ssh_from] },
    { direction = "ingress", protocol = "tcp", ports = { from = 80, to = 80, list = [443] }, source_refs = [] },
    { direction = "egress", protocol = "tcp+udp", ports = null, source_refs = [] },
  ]
  lifecycle { create_before_destroy = true }
}

# This version of the provider cannot name public IPs and groups on a NIC. So the address is reserved and leads nowhere, and
# the instance names the group.
resource "seca_public_ip" "front" {
  name         = "front"
  workspace_id = seca_workspace.shop.name
  version      = "IPv4"
}

# An address of our choice, and any other one.
resource "seca_nic" "front" {
  name         = "front"
  workspace_id = seca_workspace.shop.name
  subnet_id    = seca_subnet.front.id
  addresses    = ["10.20.1.10", "0.0.0.0"]
  lifecycle { create_before_destroy = true }
}

# --- disks and instance ----------------------------------------------------------------------------------------------

# A boot volume belongs to one instance at a time, and outlives it: an instance that is replaced goes on with the same disk.
resource "seca_block_storage" "boot" {
  name            = "boot"
  workspace_id    = seca_workspace.shop.name
  size_gb         = 20
  sku_id          = data.seca_storage_sku.volume.id
  source_image_id = data.seca_image.ubuntu.id
}

resource "seca_block_storage" "data" {
  name         = "data"
  workspace_id = seca_workspace.shop.name
  size_gb      = 10
  sku_id       = data.seca_storage_sku.volume.id
  lifecycle { create_before_destroy = true }
}

resource "seca_instance" "web" {
  name                = "web"
  workspace_id        = seca_workspace.shop.name
  extensions          = { "hetzner.cloud/start-after-create" = "true" }
  sku_id              = data.seca_instance_sku.small.id
  zone                = var.zone
  ssh_keys            = [trimspace(file(pathexpand(var.ssh_key_file)))]
  anti_affinity_group = "apart"
  primary_nic_id      = seca_nic.front.id
  security_group_id   = seca_security_group.web.id
  boot_volume         = { device_id = seca_block_storage.boot.id }
  data_volumes        = [{ device_id = seca_block_storage.data.id }]
}

# --- what became of it -----------------------------------------------------------------------------------------------

# Read after the instance: before that it has no MAC address.
data "seca_nic" "front" {
  name         = seca_nic.front.name
  workspace_id = seca_workspace.shop.name
  depends_on   = [seca_instance.web]
}

output "mac_address" {
  value = data.seca_nic.front.mac_address
}

output "instance" {
  value = seca_instance.web.id
}
