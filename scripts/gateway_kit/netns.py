"""netns.py FOLDER -- the checks of the gateway's texts on the real kernel. The namespaces are this process's alone.

Every refusal is proven with its positive control: the same probe gets through when the rules are gone.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from gateway_kit import texts
from gateway_kit.wire import Machine, link, sh

PEER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peer.py")
PUBLIC, PRIVATE = "203.0.113.7", "10.1.255.242"
WEB, OPERATOR, METADATA = "198.51.100.10", "198.51.100.66", "169.254.169.254"


class Cloud:
    """A guest and another one, Hetzner's router of the network, the NAT server, an internet."""

    def __init__(self, folder):
        self.internet, self.router = Machine("internet"), Machine("router")
        self.nat, self.guest, self.other = (Machine(it, os.path.join(folder, it)) for it in ("nat", "guest", "other"))
        self.has_ipv6 = os.path.isdir("/proc/sys/net/ipv6")
        for machine in (self.internet, self.router):
            machine.sysctl("net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        # MSS without the bytes of an option.
        for machine in (self.internet, self.guest):
            machine.sysctl("net.ipv4.tcp_timestamps=0")
        self.public_side()
        self.private_side(self.nat, 1, PRIVATE)
        self.private_side(self.guest, 2, "10.1.1.5")
        self.private_side(self.other, 3, "10.1.2.9")
        self.router.ip("route add default via %s dev r-nat onlink" % PRIVATE)
        self.detour()
        if self.has_ipv6:
            self.ipv6()
        self.internet.start(sys.executable, PEER, "serve", "80")
        self.nat.start(sys.executable, PEER, "serve", "22")

    def public_side(self):
        link(self.nat, "eth0", self.internet, "i-nat", "96:00:00:00:00:01")
        for address in (WEB, OPERATOR, METADATA, "10.1.1.99"):
            self.internet.ip("addr add %s/32 dev lo" % address)
        self.internet.ip("addr add 172.31.1.1/32 dev i-nat")
        self.internet.ip("route add %s dev i-nat" % PUBLIC)
        # A packet for a guest that somebody sends to the NAT server, and the answer to one that left unmasked.
        self.internet.ip("route add 10.1.0.0/16 via %s dev i-nat onlink" % PUBLIC)
        self.nat.ip("addr add %s/32 dev eth0" % PUBLIC)
        self.nat.ip("route add 172.31.1.1 dev eth0 scope link")
        self.nat.ip("route add default via 172.31.1.1 dev eth0")

    def private_side(self, machine, number, address):
        """As Hetzner's DHCP configures it: one address, the router, the network's range."""
        side = "r-" + machine.name
        link(machine, "ens10", self.router, side, "86:00:00:00:00:%02x" % number, mtu=1450)
        self.router.ip("addr add 10.1.0.1/32 dev %s" % side)
        self.router.ip("route add %s dev %s" % (address, side))
        machine.ip("addr add %s/32 dev ens10" % address)
        machine.ip("route add 10.1.0.1 dev ens10 scope link")
        machine.ip("route add 10.1.0.0/16 via 10.1.0.1 dev ens10")

    def detour(self):
        """A private address that packets reach by the NAT server only: who gets there was forwarded by it."""
        self.other.ip("addr add 10.1.77.1/32 dev lo")
        self.router.ip("route add 10.1.77.1 via %s dev r-nat onlink" % PRIVATE)
        self.router.ip("rule add pref 10 iif r-nat lookup 77")
        self.router.ip("route add 10.1.77.1 dev r-other table 77")

    def ipv6(self):
        self.router.sysctl("net.ipv6.conf.all.forwarding=1")
        self.internet.sysctl("net.ipv6.conf.all.forwarding=1")
        for machine, name, address in (
            (self.guest, "ens10", "fd00:1::5"), (self.router, "r-guest", "fd00:1::1"), (self.router, "r-nat", "fd00:3::1"),
            (self.nat, "ens10", "fd00:3::2"), (self.nat, "eth0", "fd00:2::2"), (self.internet, "i-nat", "fd00:2::1"),
        ):
            machine.ip("-6 addr add %s/64 dev %s nodad" % (address, name))
        self.guest.ip("-6 route add default via fd00:1::1")
        self.router.ip("-6 route add default via fd00:3::2")
        self.nat.ip("-6 route add fd00:1::/64 via fd00:3::1")
        self.internet.ip("-6 route add fd00:1::/64 via fd00:2::2")

    def ask(self, machine, address, port=80, *source):
        return machine.run(sys.executable, PEER, "ask", address, str(port), *source).split()

    def egress(self, machine=None):
        """The source address that the internet sees, or none."""
        answer = self.ask(machine or self.guest, WEB)
        return answer[0] if answer[0] not in ("nothing", "refused") else None

    def assert_rules(self):
        return self.nat.run("/usr/local/sbin/seca-nat")

    def without_rules(self):
        """Everything is forwarded, as by a machine that nobody guards."""
        self.nat.run("nft", "flush", "ruleset")
        self.nat.sysctl("net.ipv4.ip_forward=1")
        if self.has_ipv6:
            self.nat.sysctl("net.ipv6.conf.all.forwarding=1")

    def echo_replies(self):
        lines = [line.split() for line in self.nat.run("cat", "/proc/net/snmp").split("\n") if line.startswith("Icmp:")]
        return int(dict(zip(*lines))["OutEchoReps"])

    def probes(self):
        """What must not get through, by name: whether it does."""
        def ping(machine, address, *options):
            return machine.succeeds("ping", "-c1", "-W1", "-q", *options, address)

        def connects(*way):
            return self.ask(*way)[0] != "nothing"

        def spoofed():
            before = self.echo_replies()
            ping(self.internet, PUBLIC, "-I", "10.1.1.99")
            return self.echo_replies() > before

        found = {
            "a source that is not in the list leaves": lambda: self.egress(self.other) is not None,
            "somebody outside reaches a guest": lambda: ping(self.internet, "10.1.1.5", "-I", OPERATOR),
            "SSH is open to the internet": lambda: connects(self.internet, PUBLIC, 22),
            "SSH is open to a guest": lambda: connects(self.guest, PRIVATE, 22),
            "a guest reaches a private address by the server": lambda: ping(self.guest, "10.1.77.1"),
            "a guest reaches the server's metadata": lambda: connects(self.guest, METADATA, 80),
        }
        if self.has_ipv6:
            found["IPv6 is forwarded"] = lambda: ping(self.guest, "fd00:2::1", "-6")
        with ThreadPoolExecutor(len(found)) as pool:
            answers = dict(zip(found, pool.map(lambda probe: probe(), found.values())))
        # It counts packets, so it is asked alone.
        answers["a forged private source is answered on the public side"] = spoofed()
        return answers


class Checks:
    def __init__(self):
        self.start, self.count, self.failed = time.monotonic(), 0, []

    def check(self, name, holds, seen=""):
        self.count += 1
        if not holds:
            self.failed.append(name)
        words = "" if holds else "  | " + str(seen).strip().replace("\n", " / ")[:600]
        print("%6.1f  %s  %s%s" % (time.monotonic() - self.start, "ok  " if holds else "FAIL", name, words), flush=True)

    def equal(self, name, seen, expected):
        self.check(name, seen == expected, "%r instead of %r" % (seen, expected))


def read(folder, name):
    with open(os.path.join(folder, "texts", name), encoding="utf-8", newline="") as file:
        return file.read()


def check_texts(checks, folder):
    boothook = read(folder, "boothook")
    for name in sorted(os.listdir(os.path.join(folder, "texts"))):
        if not name.startswith("guest-"):
            continue
        form = name[len("guest-"):]
        found, own = texts.parts(read(folder, name)), read(folder, "own-" + form)
        expected = [("text/cloud-boothook", boothook.encode())]
        if form == "multipart":
            expected += texts.parts(own)
        elif own:
            expected.append(("text/plain", own.encode()))
        checks.equal("user data, %s: the parser of e-mail finds both parts unchanged" % form, found, expected)
    checks.equal("nobody has the private half of the server's key", read(folder, "nobodys-key"), texts.nobodys_key())
    try:
        import yaml
    except ImportError:
        print("        --    YAML was not compared: Python has no yaml module (python3-yaml)")
        return
    loaded = yaml.safe_load(read(folder, "nat.yaml"))
    files = {it["path"]: (int(it["permissions"], 8), it["content"]) for it in loaded["write_files"]}
    checks.equal("the cloud-config is YAML and gives back its files", files, texts.write_files(read(folder, "nat.yaml")))


def check_egress(checks, cloud):
    said = cloud.assert_rules()
    checks.check("seca-nat asserts its rules (nft takes them)", "rules asserted" in said and "refused" not in said, said)
    checks.equal("a second run says and changes nothing", cloud.assert_rules(), "")
    cloud.guest.run("/usr/local/sbin/seca-net", "5")
    cloud.other.run("/usr/local/sbin/seca-net", "5")
    route = cloud.guest.ip("-4 route show default").split()
    checks.equal("seca-net sets the guest's default route", route[:5], ["default", "via", "10.1.0.1", "dev", "ens10"])
    checks.check("it loses to every other route and bears the MTU", {"4096", "1450"} <= set(route), route)
    servers = [line for line in cloud.guest.read("etc/resolv.conf").split("\n") if line]
    checks.equal("seca-net names name servers", servers, ["nameserver 185.12.64.1", "nameserver 185.12.64.2"])
    checks.equal("the guest leaves with the server's public address", cloud.egress(), PUBLIC)
    checks.check("ICMP leaves", cloud.guest.succeeds("ping", "-c1", "-W2", WEB))
    checks.check("the server answers a ping", cloud.internet.succeeds("ping", "-c1", "-W2", PUBLIC))
    cloud.guest.run("/usr/local/sbin/seca-net", "0")
    checks.equal("seca-net changes nothing when all is well", cloud.guest.ip("-4 route show default").split(), route)


def check_refusals(checks, cloud):
    closed = cloud.probes()
    cloud.without_rules()
    control = cloud.probes()
    cloud.assert_rules()
    again = cloud.probes()
    for name, through in closed.items():
        seen = "with rules %s, without %s, again with %s" % (through, control[name], again[name])
        checks.check("not: %s (without rules: yes)" % name, (through, control[name], again[name]) == (False, True, False), seen)
    if not cloud.has_ipv6:
        print("        --    IPv6 was not tried: this kernel has none")
        return
    cloud.nat.sysctl("net.ipv6.conf.all.forwarding=1")
    through = cloud.guest.succeeds("ping", "-6", "-c1", "-W1", "fd00:2::1")
    checks.check("IPv6 is not forwarded by the rules alone either", not through)


def check_healing(checks, cloud):
    def heals(name, harm, broken):
        harm()
        before = broken()
        said = cloud.assert_rules()
        checks.check("heals: " + name, before and not broken() and cloud.egress() == PUBLIC, "broken %s: %s" % (before, said))

    unmasked = lambda: cloud.egress() != PUBLIC  # noqa: E731
    heals("nft flush ruleset", lambda: cloud.nat.run("nft", "flush", "ruleset"), unmasked)
    chain = ("nft", "flush", "chain", "inet", "seca", "postrouting")
    heals("a rule that somebody removed", lambda: cloud.nat.run(*chain), unmasked)
    heals("net.ipv4.ip_forward=0", lambda: cloud.nat.sysctl("net.ipv4.ip_forward=0"), unmasked)
    if cloud.has_ipv6:
        key = "net.ipv6.conf.all.forwarding"
        is_on = lambda: cloud.nat.run("sysctl", "-n", key).strip() == "1"  # noqa: E731
        heals(key + "=1", lambda: cloud.nat.sysctl(key + "=1"), is_on)
    cloud.guest.ip("route del default")
    lost = cloud.egress()
    cloud.guest.run("/usr/local/sbin/seca-net", "0")
    checks.equal("heals: the guest's default route", (lost, cloud.egress()), (None, PUBLIC))
    # Somebody else's default route, as a public interface brings one.
    cloud.guest.ip("route add default via 10.1.0.1 dev ens10 onlink proto dhcp metric 100")
    cloud.guest.run("/usr/local/sbin/seca-net", "0")
    count = cloud.guest.ip("-4 route show default proto 157").count("default")
    checks.equal("seca-net withdraws its route when there is another", count, 0)
    cloud.guest.ip("route del default proto dhcp")
    cloud.guest.run("/usr/local/sbin/seca-net", "0")
    checks.equal("and comes back when that goes", cloud.egress(), PUBLIC)


def check_mss(checks, cloud):
    """A guest with an MTU of 1500 and no word of 1450 in its route."""
    for machine, name in ((cloud.guest, "ens10"), (cloud.router, "r-guest")):
        machine.ip("link set %s mtu 1500" % name)
    cloud.guest.ip("route replace default via 10.1.0.1 dev ens10 onlink metric 1 proto static")
    _, outward, inward = cloud.ask(cloud.guest, WEB)
    cloud.without_rules()
    control = cloud.ask(cloud.guest, WEB)[1:]
    cloud.assert_rules()
    checks.equal("the MSS is 1410 for both sides (without rules: 1460)", ([outward, inward], control), (["1410"] * 2, ["1460"] * 2))
    cloud.guest.ip("route del default metric 1")
    for machine, name in ((cloud.guest, "ens10"), (cloud.router, "r-guest")):
        machine.ip("link set %s mtu 1450" % name)
    cloud.guest.run("/usr/local/sbin/seca-net", "0")


def check_allow_lists(checks, cloud, folder):
    cloud.nat.install(texts.write_files(read(folder, "nat-open.yaml")))
    said = cloud.assert_rules()
    checks.check("other lists are other rules, asserted at once", "rules asserted" in said, said)
    ask = lambda port, source: cloud.ask(cloud.internet, PUBLIC, port, source)[0]  # noqa: E731
    checks.equal("SSH is open to whom the list names", (ask(22, OPERATOR), ask(22, WEB)), (OPERATOR, "nothing"))
    checks.equal("a probe is refused, which is life, for whom the list names", (ask(9, OPERATOR), ask(9, WEB)), ("refused", "nothing"))
    cloud.nat.install(texts.write_files(read(folder, "nat.yaml")))
    cloud.assert_rules()
    checks.equal("and closed when the lists are empty again", (ask(22, OPERATOR), ask(9, OPERATOR)), ("nothing", "nothing"))


def check_self_watch(checks, cloud):
    nat = cloud.nat
    bad = lambda: nat.read("run/seca/bad").strip()  # noqa: E731
    asked = lambda: [line for line in nat.read("systemctl.log").split("\n") if line]  # noqa: E731
    cloud.internet.sysctl("net.ipv4.icmp_echo_ignore_all=1")
    nat.ip("neigh flush dev eth0")
    cloud.assert_rules()
    checks.equal("an upstream that answers no ping is well", bad(), "0")
    nat.ip("addr del %s/32 dev ens10" % PRIVATE)
    cloud.assert_rules()
    lost = bad()
    nat.ip("addr add %s/32 dev ens10" % PRIVATE)
    nat.ip("route replace 10.1.0.1 dev ens10 scope link")
    nat.ip("route replace 10.1.0.0/16 via 10.1.0.1 dev ens10")
    cloud.assert_rules()
    checks.equal("a lost private address is unhealthy, until it is back", (lost, bad()), ("1", "0"))
    # The upstream is gone: nobody answers for its address.
    cloud.internet.ip("addr del 172.31.1.1/32 dev i-nat")
    nat.ip("neigh flush dev eth0")

    def unhealthy(runs, before):
        nat.write("run/seca/bad", "%d\n" % before, 0o644)
        said = len(asked())
        for _ in range(runs):
            cloud.assert_rules()
        return asked()[said:]

    seen = unhealthy(1, 0), unhealthy(1, 4)
    checks.equal("an upstream that answers no ARP is unhealthy, and nothing happens for 25 s", (seen, bad()), (([], []), "5"))
    checks.equal("the network is restarted once after 30 s", unhealthy(2, 5), ["try-restart systemd-networkd networking"])
    checks.equal("no reboot after 90 s while the machine is new", unhealthy(1, 17), [])
    nat.set_uptime(3600)
    checks.equal("a reboot after 90 s", unhealthy(1, 17), ["reboot"])
    nat.forget("run/seca")
    os.makedirs(nat.path("run/seca"))
    reboots = unhealthy(1, 17) + unhealthy(1, 17) + unhealthy(1, 17) + unhealthy(1, 17)
    checks.equal("three reboots a day, counted over reboots", reboots, ["reboot"] * 2)
    cloud.internet.ip("addr add 172.31.1.1/32 dev i-nat")
    cloud.internet.ip("route replace %s dev i-nat" % PUBLIC)
    cloud.internet.ip("route replace 10.1.0.0/16 via %s dev i-nat onlink" % PUBLIC)
    cloud.internet.sysctl("net.ipv4.icmp_echo_ignore_all=0")
    nat.ip("neigh flush dev eth0")
    cloud.assert_rules()
    checks.equal("healthy again when the upstream is back", (bad(), cloud.egress()), ("0", PUBLIC))


def main(folder):
    checks = Checks()
    check_texts(checks, folder)
    # Namespaces have their names in /run, and machines their files on a file system of this process alone.
    sh("mount", "-t", "tmpfs", "tmpfs", "/run")
    machines = os.path.join(folder, "machines")
    os.makedirs(machines)
    sh("mount", "-t", "tmpfs", "tmpfs", machines)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    cloud = Cloud(machines)
    nat = texts.write_files(read(folder, "nat.yaml"))
    cloud.nat.install(nat)
    # The guest's script is the one that its boothook installs.
    script = read(folder, "boothook").split("install_file /usr/local/sbin/seca-net 0755 <<'SECA_EOF'\n")[1]
    for machine in (cloud.guest, cloud.other):
        machine.install({"/usr/local/sbin/seca-net": (0o755, script.split("\nSECA_EOF\n")[0] + "\n")})
    check_egress(checks, cloud)
    check_refusals(checks, cloud)
    check_healing(checks, cloud)
    check_mss(checks, cloud)
    check_allow_lists(checks, cloud, folder)
    check_self_watch(checks, cloud)
    print("gateway-netns: %d checks, %d failed" % (checks.count, len(checks.failed)))
    for name in checks.failed:
        print("gateway-netns: failed: " + name)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1]))
    except (RuntimeError, subprocess.SubprocessError) as error:
        sys.exit("gateway-netns: %s" % error)
