"""hypervisor.py CONFIG.json -- what a machine sees of Hetzner's hypervisor: DHCP on each interface, the metadata service.

It runs in the machine's own namespace, so it knows who asks. The file is read again for each answer, so that it can change
while the machine runs. Its keys: id, name, pub {tap, mac, ip, ip6, lease} or null, priv [{tap, mac, ip, gw, net, subnet, netid, netname}],
userdata (a path), md_route (whether private DHCP gives a route to the metadata service), dhcp_off.

Assumed of Hetzner, and not seen there: a private-only machine's network-config is an empty list; private DHCP gives the
route to the metadata service where md_route says so; a public interface without IPv4 gets a lease that leads to the metadata
service and nowhere else, because cloud-init asks for one on each of its boots."""

import http.server
import json
import socket
import struct
import sys
import threading
import time

CONFIG = sys.argv[1]
LOG = open(CONFIG.replace(".json", ".hypervisor.log"), "a", buffering=1, encoding="utf-8")
RESOLVERS = ("185.12.64.1", "185.12.64.2")
RESOLVERS6 = ("2a01:4ff:ff00::add:1", "2a01:4ff:ff00::add:2")


def config():
    with open(CONFIG, encoding="utf-8") as file:
        return json.load(file)


def log(*words):
    print("%.2f" % time.time(), *words, file=LOG)


def quoted(value):
    return "'%s'" % str(value).replace("'", "''")


def network_config(it):
    """As in cloud-init's own fixture of this data source."""
    if not it["pub"]:
        return ["version: 1", "config: []"]
    resolvers = ("    - " + resolver for resolver in (RESOLVERS if it["pub"]["ip"] else RESOLVERS6))
    lines = ["version: 1", "config:", "- mac_address: " + quoted(it["pub"]["mac"]), "  name: eth0", "  subnets:"]
    if it["pub"]["ip"]:
        lines += ["  - dns_nameservers:", *resolvers, "    ipv4: true", "    type: dhcp"]
    else:
        lines += ["  - address: %s/64" % it["pub"]["ip6"], "    dns_nameservers:", *resolvers, "    gateway: fe80::1", "    ipv6: true"]
        lines += ["    type: static"]
    return lines + ["  type: physical"]


def private_networks(it):
    lines = []
    for number, nic in enumerate(it["priv"], 1):
        lines += [
            "- ip: " + nic["ip"], "  alias_ips: []", "  interface_num: %d" % number, "  mac_address: " + quoted(nic["mac"]),
            "  network_id: %d" % nic["netid"], "  network_name: " + nic["netname"], "  network: " + nic["net"],
            "  subnet: " + nic["subnet"], "  gateway: " + nic["gw"],
        ]
    return "\n".join(lines) + "\n" if lines else "[]\n"


def public_ipv4(it):
    return it["pub"]["ip"] or "" if it["pub"] else ""


def metadata(it):
    lines = [
        "hostname: " + it["name"], "instance-id: " + it["id"], "local-ipv4: ''", "region: eu-central",
        "availability-zone: fsn1-dc14", "public-ipv4: " + quoted(public_ipv4(it)), "network-config:",
    ]
    return "\n".join(lines + ["  " + line for line in network_config(it)] + ["vendor_data: ''", "public-keys: []"]) + "\n"


def user_data(it):
    with open(it["userdata"], "rb") as file:
        return file.read()


ANSWERS = {
    "metadata": metadata,
    "metadata/instance-id": lambda it: it["id"],
    "metadata/hostname": lambda it: it["name"],
    "metadata/private-networks": private_networks,
    "metadata/public-ipv4": public_ipv4,
    "metadata/network-config": lambda it: "\n".join(network_config(it)) + "\n",
    "userdata": user_data,
}


class Metadata(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        log("MD", self.client_address[0], self.path)
        path = self.path.rstrip("/")
        answer = ANSWERS.get(path[len("/hetzner/v1/"):]) if path.startswith("/hetzner/v1/") else None
        body = answer(config()) if answer else "not found"
        body = body.encode() if isinstance(body, str) else body
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def option(code, data):
    return bytes([code, len(data)]) + data


def address(text):
    return socket.inet_aton(text)


def route(destination, gateway):
    network, length = destination.split("/")
    return bytes([int(length)]) + address(network)[:(int(length) + 7) // 8] + address(gateway)


def kind_of(request):
    """The DHCP message type, or 0."""
    at = 240
    while at < len(request) and request[at] != 255:
        if request[at] == 0:
            at += 1
            continue
        if request[at] == 53:
            return request[at + 2]
        at += 2 + request[at + 1]
    return 0


def options(it, nic, is_public, kind):
    router = "172.31.1.1" if is_public else nic["gw"]
    found = option(53, bytes([2 if kind == 1 else 5])) + option(54, address(router))
    found += option(51, struct.pack("!I", 86400)) + option(1, address("255.255.255.255"))
    if is_public and not nic["ip"]:
        return found + option(121, route("172.31.1.1/32", "0.0.0.0") + route("169.254.169.254/32", router))
    if is_public:
        found += option(3, address(router)) + option(6, b"".join(address(resolver) for resolver in RESOLVERS))
        return found + option(121, route("172.31.1.1/32", "0.0.0.0") + route("0.0.0.0/0", router))
    # No default route and no name servers, since August 2025.
    routes = route(router + "/32", "0.0.0.0") + route(nic["net"], router)
    if it.get("md_route"):
        routes += route("169.254.169.254/32", router)
    return found + option(121, routes) + option(26, struct.pack("!H", 1450))


def dhcp(index):
    """Index None is the public interface."""
    def nic_of(it):
        return it["pub"] if index is None else it["priv"][index]

    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, nic_of(config())["tap"].encode() + b"\0")
    server.bind(("", 67))
    while True:
        request, _ = server.recvfrom(2000)
        if len(request) < 240 or request[0] != 1:
            continue
        it = config()
        nic, kind = nic_of(it), kind_of(request)
        mac = ":".join("%02x" % byte for byte in request[28:34])
        if mac != nic["mac"] or kind not in (1, 3) or (index is not None and it.get("dhcp_off")):
            continue
        router, leased = "172.31.1.1" if index is None else nic["gw"], nic.get("lease") or nic["ip"]
        reply = struct.pack(
            "!BBBB4sHH4s4s4s4s", 2, 1, 6, 0, request[4:8], 0, 0x8000, b"\0" * 4, address(leased), address(router), b"\0" * 4
        )
        reply += request[28:44] + b"\0" * 192 + b"\x63\x82\x53\x63" + options(it, nic, index is None, kind) + b"\xff"
        server.sendto(reply, ("255.255.255.255", 68))
        log("DHCP", nic["tap"], {1: "offer", 3: "ack"}[kind], leased)


class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6        # answers IPv4 as well
    daemon_threads = True


first = config()
for number in ([None] if first["pub"] else []) + list(range(len(first["priv"]))):
    threading.Thread(target=dhcp, args=(number,), daemon=True).start()
Server(("::", 80), Metadata).serve_forever()
