"""The Python library hcloud, unmodified, against the simulator: a stated list of calls, one row each.

Run by check-sim-clients.sh with HCLOUD_ENDPOINT and HCLOUD_TOKEN set and the path of a public key as argument.
"""

import os
import sys
import traceback

import hcloud
from hcloud import APIException, Client
from hcloud.firewalls import FirewallResource, FirewallRule
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.networks import NetworkRoute, NetworkSubnet
from hcloud.server_types import ServerType
from hcloud.servers import ServerCreatePublicNetwork

client = Client(
    token=os.environ["HCLOUD_TOKEN"],
    api_endpoint=os.environ["HCLOUD_ENDPOINT"],
    poll_interval=0.05,
)
passed, failed = 0, []


def check(name, call):
    """Runs one call; a row says how it went. Returns what the call returned."""
    global passed
    try:
        result = call()
        if result is False:
            raise AssertionError("the answer is not what it should be")
    except Exception:  # every failure is a row, whatever its kind
        failed.append(name)
        print(f"  FAILED  {name}")
        print("          " + traceback.format_exc().strip().replace("\n", "\n          "))
        return None
    passed += 1
    print(f"  ok      {name}")
    return result


def refused(code, call):
    """True when the call is refused with the code."""
    try:
        call()
    except APIException as error:
        return error.code == code
    return False


def done(response):
    """Waits for an action or for everything a create started."""
    actions = [response] if hasattr(response, "wait_until_finished") else []
    actions += [a for a in [getattr(response, "action", None)] if a]
    actions += getattr(response, "next_actions", None) or []
    actions += getattr(response, "actions", None) or []
    for action in actions:
        action.wait_until_finished()
    return response


print(f"python library hcloud {hcloud.__version__}")
with open(sys.argv[1], encoding="utf-8") as file:
    public_key = file.read()

check("locations.get_all", lambda: len(client.locations.get_all()) == 6)
check("locations.get_by_name", lambda: client.locations.get_by_name("hel1").network_zone == "eu-central")
check("server_types.get_all", lambda: len(client.server_types.get_all()) > 20)
check("server_types.get_by_name", lambda: client.server_types.get_by_name("cax11").architecture == "arm")
check("images.get_all", lambda: len(client.images.get_all(type="system")) > 10)
check(
    "images.get_by_name_and_architecture",
    lambda: client.images.get_by_name_and_architecture("debian-12", "arm").architecture == "arm",
)
key = check("ssh_keys.create", lambda: client.ssh_keys.create(name="key", public_key=public_key, labels={"a": "b"}))
check("ssh_keys.get_by_fingerprint", lambda: client.ssh_keys.get_by_fingerprint(key.fingerprint).id == key.id)
check(
    "ssh_keys.create refuses the same key",
    lambda: refused("uniqueness_error", lambda: client.ssh_keys.create(name="other", public_key=public_key)),
)
group = check("placement_groups.create", lambda: client.placement_groups.create(name="g", type="spread").placement_group)
network = check(
    "networks.create",
    lambda: client.networks.create(
        name="net",
        ip_range="10.0.0.0/16",
        subnets=[NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.1.0/24")],
        routes=[NetworkRoute(destination="0.0.0.0/0", gateway="10.0.1.9")],
    ),
)
check(
    "network.add_subnet",
    lambda: done(network.add_subnet(NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.2.0/24"))),
)
check(
    "network.delete_subnet",
    lambda: done(network.delete_subnet(NetworkSubnet(type="cloud", network_zone="eu-central", ip_range="10.0.2.0/24"))),
)
check("network.delete_route", lambda: done(network.delete_route(NetworkRoute(destination="0.0.0.0/0", gateway="10.0.1.9"))))
check("networks.get_by_name", lambda: len(client.networks.get_by_name("net").subnets) == 1)
rule = FirewallRule(direction="in", protocol="tcp", port="22", source_ips=["0.0.0.0/0"])
firewall = check("firewalls.create", lambda: done(client.firewalls.create(name="fw", rules=[rule])).firewall)
check("firewall.set_rules", lambda: [a.wait_until_finished() for a in firewall.set_rules([rule, rule])] != [])
address = check(
    "primary_ips.create",
    lambda: client.primary_ips.create(
        type="ipv4", name="ip", location=Location(name="fsn1"), auto_delete=False
    ).primary_ip,
)
volume = check(
    "volumes.create", lambda: done(client.volumes.create(name="vol", size=10, location=Location(name="fsn1"))).volume
)
server = check(
    "servers.create",
    lambda: done(
        client.servers.create(
            name="web",
            server_type=ServerType(name="cx23"),
            image=Image(name="ubuntu-24.04"),
            location=Location(name="fsn1"),
            ssh_keys=[key],
            volumes=[volume],
            networks=[network],
            firewalls=[firewall],
            placement_group=group,
            user_data="#cloud-config\n",
            labels={"app": "web"},
            public_net=ServerCreatePublicNetwork(ipv4=address, enable_ipv6=True),
        )
    ).server,
)
check("servers.get_by_id", lambda: client.servers.get_by_id(server.id).status == "running")
check("servers.get_all by label", lambda: len(client.servers.get_all(label_selector="app in (web,db)")) == 1)
check("server.private_net", lambda: client.servers.get_by_id(server.id).private_net[0].ip.startswith("10.0.1."))
check("server.volumes", lambda: len(client.servers.get_by_id(server.id).volumes) == 1)
check("server.update", lambda: server.update(name="web2", labels={"app": "web", "b": "c"}).labels["b"] == "c")
check("volume.detach", lambda: done(volume.detach()))
check("volume.resize", lambda: done(volume.resize(20)))
check("volume.attach", lambda: done(volume.attach(server, automount=False)))
check("server.reboot", lambda: done(server.reboot()))
check("server.reset", lambda: done(server.reset()))
check("server.shutdown", lambda: done(server.shutdown()))
check("server.power_off", lambda: done(server.power_off()))
check("server.power_on", lambda: done(server.power_on()))
check("server.change_type refuses while on", lambda: refused(
    "server_not_stopped", lambda: server.change_type(ServerType(name="cx33"), upgrade_disk=False)))
check("server.power_off again", lambda: done(server.power_off()))
check("server.change_type", lambda: done(server.change_type(ServerType(name="cx33"), upgrade_disk=False)))
check("server.power_off after the change started it", lambda: done(server.power_off()))
image = check("server.create_image", lambda: done(server.create_image(description="snap", labels={"a": "b"})).image)
check("images.get_all by label", lambda: len(client.images.get_all(type="snapshot", label_selector="a=b")) == 1)
check("image.update", lambda: image.update(description="other").description == "other")
check("server.detach_from_network", lambda: done(server.detach_from_network(network)))
check("server.attach_to_network", lambda: done(server.attach_to_network(network, ip="10.0.1.77")))
check("server.change_alias_ips", lambda: done(server.change_alias_ips(network, ["10.0.1.78"])))
check("server.remove_from_placement_group", lambda: done(server.remove_from_placement_group()))
check("server.add_to_placement_group", lambda: done(server.add_to_placement_group(group)))
check("server.change_protection", lambda: done(server.change_protection(delete=True, rebuild=True)))
check("server.delete refuses a protected one", lambda: refused("protected", server.delete))
check("server.change_protection off", lambda: done(server.change_protection(delete=False, rebuild=False)))
check("server.rebuild", lambda: done(server.rebuild(Image(name="debian-12"))))
check("server.power_off for the address", lambda: done(server.power_off()))
check("primary_ip.unassign", lambda: done(address.unassign()))
check("primary_ip.assign", lambda: done(address.assign(server.id, "server")))
check("primary_ip.change_dns_ptr", lambda: done(address.change_dns_ptr(address.ip, "web.example.com")))
resource = FirewallResource(type="server", server=server)
check("firewall.remove_from_resources", lambda: [a.wait_until_finished() for a in firewall.remove_from_resources([resource])] != [])
check("firewall.apply_to_resources", lambda: [a.wait_until_finished() for a in firewall.apply_to_resources([resource])] != [])
check("actions.get_by_id", lambda: client.actions.get_by_id(client.servers.actions.get_all()[0].id).id > 2**32)
check("servers.actions.get_all", lambda: len(client.servers.actions.get_all(sort="id:desc")) > 5)
check("server.get_actions", lambda: len(server.get_actions()) > 5)
check("server.delete", lambda: done(server.delete()))
check("servers.get_by_id refuses a deleted one", lambda: refused("not_found", lambda: client.servers.get_by_id(server.id)))
check("image.delete", lambda: image.delete())
check("volume.delete", lambda: volume.delete())
check("primary_ip.delete", lambda: address.delete())
check("firewall.delete", lambda: firewall.delete())
check("network.delete", lambda: network.delete())
check("placement_group.delete", lambda: group.delete())
check("ssh_key.delete", lambda: key.delete())
check("the project is empty", lambda: not client.servers.get_all() and not client.primary_ips.get_all())

print(f"python: {passed} ok, {len(failed)} failed")
sys.exit(1 if failed else 0)
