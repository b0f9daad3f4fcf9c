"""The proxy on the simulated Hetzner Cloud: it makes a network, a gateway and instances, and the laboratory's machines get the
user data and the addresses that the simulator was given for them."""

import os

from conformance_kit import stack

TENANT = "lab"
# A network with a subnet that uses the gateway, and one that does not.
NETWORK, USES, OTHER = "10.1.0.0/16", "10.1.1.0/24", "10.1.2.0/24"


def to(reference):
    return {"resource": reference}


class Product(stack.Stack):
    """A context: inside of it the proxy runs, and its NAT server stands."""

    def __init__(self, programs, folder, ssh_from, health_from):
        settings = {
            "SECA_INTERNET_GATEWAY_NAT_VM": "true",
            "SECA_GATEWAY_SSH_FROM": ssh_from,
            "SECA_GATEWAY_HEALTH_FROM": health_from,
            "SECA_WRITE_RATE": "off",
        }
        super().__init__(programs, "sqlite", os.path.join(folder, "product"), {TENANT: TENANT}, settings)

    def __enter__(self):
        super().__enter__()
        self.put("network", "networks/net", {"cidr": {"ipv4": NETWORK}, "skuRef": to("skus/hcloud-network")})
        self.put("network", "internet-gateways/out", {})
        route = {"destinationCidrBlock": "0.0.0.0/0", "targetRef": to("internet-gateways/out")}
        self.put("network", "networks/net/route-tables/out", {"routes": [route]})
        self.put("network", "networks/net/subnets/other", {"cidr": {"ipv4": OTHER}})
        table = to("networks/net/route-tables/out")
        self.put("network", "networks/net/subnets/uses", {"cidr": {"ipv4": USES}, "routeTableRef": table})
        self.nat = self.made("the NAT server", lambda server: server["labels"].get("seca.kind") == "internet-gateway")
        return self

    def put(self, provider, path, spec, extensions=None):
        """Sends it, and waits until it is active."""
        url = f"{self.public}/providers/seca.{provider}/v1/tenants/{TENANT}/workspaces/prepared/{path}"
        document = {"metadata": {"region": self.region}, "spec": spec, "extensions": extensions or {}}
        status, answer = stack.call("PUT", url, self.token, document)
        if status not in (200, 201):
            raise RuntimeError(f"PUT {path}: {status} {answer}")

        def active():
            _, found = stack.call("GET", url, self.token)
            return (found.get("status") or {}).get("state") == "active"

        stack.until(f"{path} is active", active)

    def servers(self):
        """All of them: the laboratory has fewer than a page holds."""
        status, answer = stack.call("GET", f"{self.endpoint}/servers?per_page=50&sort=id:desc", self.project_token)
        if status != 200:
            raise RuntimeError(f"the simulator's servers: {status} {answer}")
        return answer["servers"]

    def made(self, what, is_it):
        """One, with its user data and its private address, once it is attached."""

        def found():
            return next((it for it in self.servers() if is_it(it) and it["private_net"]), None)

        server = stack.until(what, found)
        status, answer = stack.call("GET", f"{self.endpoint.removesuffix('/v1')}/_sim/servers/{server['id']}/user_data", "")
        if status != 200:
            raise RuntimeError(f"the user data of {what}: {status} {answer}")
        return {"user_data": answer["user_data"], "ip": server["private_net"][0]["ip"]}

    def guest(self, name, address, own, extensions=None):
        """The user data of an instance with this address and no public one."""
        subnet = "other" if address.startswith("10.1.2.") else "uses"
        self.put("network", f"nics/{name}", {"addresses": [address], "subnetRef": to(f"networks/net/subnets/{subnet}")})
        boot = {"sizeGB": 20, "skuRef": to("skus/hcloud-volume"), "sourceImageRef": to("images/debian-12")}
        self.put("storage", f"block-storages/{name}", boot)
        spec = {
            "bootVolume": {"deviceRef": to(f"block-storages/{name}")}, "primaryNicRef": to(f"nics/{name}"),
            "skuRef": to("skus/cx23"), "userData": own, "zone": self.region,
        }
        self.put("compute", f"instances/{name}", spec, extensions)
        made = self.made(name, lambda server: server["labels"].get("seca.name") == name)
        return made["user_data"]
