"""checks.py FOLDER IMAGES PROGRAMS SUITE [GROUP...] -- what the gateway does for guests with a real systemd and cloud-init.

A group is a function below; without names all of them run. Each guest has its own user data behind the bootstrap. The NAT
server and the guests have the user data that the proxy gave to the simulated Hetzner Cloud for them."""

import os
import sys
import time
import traceback

from gateway_lab.lab import WEB, WEB6, Lab, inside
from gateway_lab.product import Product

PUBLIC, SECOND = "203.0.113.7", "203.0.113.8"
# Addresses of the internet: one that may reach the server's SSH port, and one that may probe it.
ADMIN, PROBE = "198.51.100.66", "198.51.100.67"
RAN = "#cloud-config\npackages: [labhello]\nruncmd: [[touch, /root/ran]]\n"
MESSAGE = (
    'Content-Type: multipart/mixed; boundary="UU"\nMIME-Version: 1.0\n\n--UU\nContent-Type: text/x-shellscript\n\n'
    "#!/bin/sh\necho s >/root/script\n--UU\nContent-Type: text/cloud-config\n\n#cloud-config\n"
    "write_files: [{path: /root/file, content: c}]\n--UU--\n"
)
# A form of user data, and a command that tells in the guest that it worked, with the way out where it needs one.
FORMS = {
    "empty": ("", "true"),
    "script": ("#!/bin/bash\ncurl -s http://web.lab/ip >/root/x\n", "grep -q 203 /root/x"),
    "multipart": (MESSAGE, "test -e /root/script -a -e /root/file"),
    "jinja": ("## template: jinja\n#cloud-config\nwrite_files: [{path: /root/j, content: '{{ v1.local_hostname }}'}]\n", "grep -q form /root/j"),
    "crlf": ("#cloud-config\r\nwrite_files:\r\n- path: /root/crlf\r\n  content: a\r\n", "test -e /root/crlf"),
    "boothook": ("#cloud-boothook\n#!/bin/sh\ncurl -s -m 5 http://web.lab/ip >/root/bh\n", "grep -q 203 /root/bh"),
    "archive": ("#cloud-config-archive\n- type: text/cloud-config\n  content: |\n    write_files: [{path: /root/ar, content: a}]\n", "test -e /root/ar"),
    "bootcmd": ("#cloud-config\nbootcmd:\n- curl -s -m 5 http://web.lab/ip >/root/bc\nnetwork: {config: disabled}\n", "grep -q 203 /root/bc"),
    "letters": ("#cloud-config\nwrite_files: [{path: /root/w, content: grüße}]\n", "grep -q grüße /root/w"),
}


class Scene:
    """The laboratory with a NAT server that forwards 10.1.1.0/24, and a guest that leaves by it."""

    def __init__(self, lab, image):
        self.lab, self.image = lab, image
        # Debian 12 is the server's image whatever the guests have.
        self.nat = self.server("nat", PUBLIC)
        lab.route_everything_to(self.nat)
        self.nat.start()
        lab.check("the NAT server forwards after its power-on", self.nat.egress_after() is not None, "%s s" % self.nat.egress_after())
        self.guest = self.make("guest", "10.1.1.5", RAN + "write_files:\n- {path: /root/w, content: grüße}\n").start()
        seconds = self.guest.egress_after()
        lab.check("a guest without a public interface leaves", seconds, "%s s after its power-on" % seconds)
        lab.check("its source is the server's address", self.guest.egress() == PUBLIC, self.guest.egress())
        done = self.guest.booted()
        lab.check("its cloud-init ends without an error", '"errors": []' in done, done)
        seen = self.guest.says("ls /root; cat /root/w; labhello")
        lab.check("its packages, files and commands worked", all(it in seen for it in ("ran", "grüße", "hello from")), seen)
        log = self.nat.booted()
        lab.check("the server's cloud-init ends without an error", '"errors": []' in log, log)

    def server(self, name, public, step=0):
        """A NAT server, as the proxy made it. Another one has the private address that lies `step` behind its."""
        made = self.lab.nat()
        head, last = made["ip"].rsplit(".", 1)
        private = {"ip": "%s.%d" % (head, int(last) + step), "subnet": "10.1.255.240/28"}
        return self.lab.machine(name, image="bookworm", public=public, private=[private], user_data=made["user_data"])

    def make(self, name, ip, own=RAN, prefer=(), extensions=None, **more):
        private = more.pop("private", [{"ip": ip}] if ip else [])
        user_data = self.lab.guest(name, ip, own, prefer, extensions)
        return self.lab.machine(name, image=self.image, private=private, user_data=user_data, **more)

    def back(self, since, limit=90):
        """Seconds until the guest leaves again; a probe that is under way does not count."""
        seconds = self.guest.egress_after(since + 0.7, limit)
        return None if seconds is None else round(seconds + 0.7, 1)


def traffic(it):
    guest, check = it.guest, it.lab.check
    check("DNS", WEB in guest.says("getent hosts web.lab"), guest.says("grep -v '^#' /etc/resolv.conf"))
    check("ICMP", guest.does("ping -c2 -i0.2 -W2 " + WEB))
    send = "python3 -c \"import socket;s=socket.socket(2,2);s.settimeout(3);s.sendto(b'x'*%d,('%s',9999));print(s.recv(99).decode())\""
    for size in (10, 4000):
        check("UDP, %d bytes" % size, guest.says(send % (size, WEB)) == "%s %d" % (PUBLIC, size))
    fetched = guest.says("curl -s -o /dev/null -w '%%{size_download} %%{speed_download}' -m 60 http://%s/big/50000000" % WEB, 90)
    check("50 MB", fetched.startswith("50000000 "), fetched + " bytes, bytes/s")
    guest.run("ip link set ens10 mtu 1500")
    check("a guest with an MTU of 1500 gets data", guest.does("test $(curl -s -m 20 http://%s/big/5000000 | wc -c) = 5000000" % WEB))
    guest.run("ip link set ens10 mtu 1450")


def sources(it):
    other = it.make("other", "10.1.2.9", "#!/bin/sh\ntouch /root/script\n", private=[{"ip": "10.1.2.9", "subnet": "10.1.2.0/24"}]).start()
    other.booted()
    routes = other.says("ip route")
    it.lab.check("a subnet that does not use the gateway does not leave", not other.probes() and "default via 10.1.0.1" in routes, routes)
    it.lab.check("its own network is within reach", other.does("ping -c1 -W2 10.1.1.5"))
    it.lab.check("its script ran", other.does("test -e /root/script"))
    other.destroy()


def healing(it):
    for what, harm in (("nft flush ruleset", "nft flush ruleset"), ("ip_forward", "sysctl -qw net.ipv4.ip_forward=0"), ("private address", "ip addr flush dev ens10 scope global")):
        it.nat.run(harm)
        harmed = time.time()
        seconds = None
        while seconds is None and time.time() - harmed < 90:
            time.sleep(0.5)
            if it.guest.egress() == PUBLIC:
                seconds = time.time() - harmed
        it.lab.check("the server heals: " + what, seconds is not None, "%.1f s" % (seconds or -1))
    it.guest.run("ip route del default")
    harmed = time.time()
    it.lab.check("the guest heals: default route", it.back(harmed, 60) is not None, it.guest.says("ip route show default"))


def power(it):
    for what, act in (
        ("server reset", it.nat.reset), ("server reboot", it.nat.reboot), ("guest reset", it.guest.reset), ("guest reboot", it.guest.reboot),
    ):
        act()
        seconds = it.back((it.nat if "server" in what else it.guest).on)
        it.lab.check(what + ": the guest leaves again", seconds is not None, "%s s after power-on" % seconds)
        it.guest.booted()


def replacement(it):
    it.nat.cut_power()
    began = time.time()
    new = it.server("nat-new", PUBLIC)
    it.lab.route_everything_to(new)
    new.start()
    it.nat = new
    seconds = it.back(began)
    it.lab.check("another server with the same addresses takes over", seconds and it.guest.egress() == PUBLIC, "%s s" % seconds)


def other_address(it):
    for name, nic in (("another address and MAC", {"ip": "10.1.1.77", "mac": "86:00:00:00:aa:01"}), ("another address", {"ip": "10.1.1.5", "mac": "86:00:00:00:aa:01"})):
        it.guest.cut_power()
        it.guest.reattach(**nic)
        it.guest.start()
        seconds, seen = it.guest.egress_after(), it.guest.says("ip -br -4 addr")
        it.lab.check("a disk boots again under " + name, seconds and nic["ip"] + "/" in seen, "%s s, %s" % (seconds, seen))
        it.guest.booted()


def dual_homed(it):
    dual = it.make("dual", "10.1.1.20", public="203.0.113.20").start()
    dual.egress_after()
    dual.booted()
    sources_seen = {line.split()[1] for _, line in dual.probes()}
    it.lab.check("a guest with a public interface never uses the gateway", sources_seen == {"203.0.113.20"}, sources_seen)
    it.lab.check("its private side works", dual.does("ping -c1 -W2 10.1.1.5"))
    dual.cut_power()
    dual.config["pub"] = None
    dual.start()
    seconds = dual.egress_after()
    it.lab.check("it uses the gateway when its public interface is gone", seconds and dual.egress() == PUBLIC, "%s s" % seconds)
    dual.destroy()


def two_networks(it):
    far = {"ip": "10.2.1.5", "net": "10.2.0.0/16", "subnet": "10.2.1.0/24"}
    guest = it.make("two", None, prefer=["10.1.0.0/16"], private=[far, {"ip": "10.1.1.34"}]).start()
    guest.booted()
    seen = guest.says("ip route show default")
    it.lab.check("of two private networks the one with a gateway leads out", "dev ens11" in seen, seen)
    guest.destroy()


def hot_attach(it):
    guest = it.make("hot", None, "#!/bin/sh\ntrue\n", public="203.0.113.40").start()
    guest.egress_after()
    guest.booted()
    guest.attach(ip="10.1.1.40")
    end = time.time() + 90
    while time.time() < end and "10.1.1.40/" not in guest.says("ip -br -4 addr"):
        time.sleep(1)
    seen = guest.says("ip -br -4 addr")
    it.lab.check("a NIC attached while running gets its address", "10.1.1.40/" in seen, seen)
    it.lab.check("and the public way stays", guest.egress() == "203.0.113.40", guest.says("ip route"))
    guest.destroy()


def absent(it):
    it.nat.cut_power()
    guest = it.make("early", "10.1.1.30", "#cloud-config\nruncmd: [[touch, /root/ran]]\n").start()
    done = guest.booted(180)
    it.lab.check("a guest boots while there is no gateway", '"errors": []' in done, "%.0f s" % (time.time() - guest.on))
    began = time.time()
    it.nat.start()
    seconds = guest.egress_after(began)
    it.lab.check("and leaves when there is one", seconds, "%s s" % seconds)
    guest.destroy()


def forms(it):
    for number, (form, (own, proof)) in enumerate(FORMS.items()):
        guest = it.make("form-" + form, "10.1.1.%d" % (100 + number), own).start()
        seconds = guest.egress_after(limit=60)
        done = guest.booted(90)
        it.lab.check("user data, %s: works and leaves" % form, seconds and guest.does(proof), "%s s, %s" % (seconds, done))
        guest.destroy()


def metadata(it):
    ask = "curl -s -m 4 http://169.254.169.254/hetzner/v1/userdata | head -c 200"
    # The guest's own hypervisor does not answer, so the question goes the way of everything else.
    it.guest.at_hypervisor("ip rule add pref 2 iif priv0 to 169.254.0.0/16 lookup 10")
    it.guest.run("ip route del 169.254.169.254")
    shut = it.guest.says(ask)
    it.nat.run("systemctl stop seca-nat.timer seca-nat.service; nft flush ruleset; nft add table ip n; "
               "nft add chain ip n p '{ type nat hook postrouting priority 100; }'; nft add rule ip n p ip saddr 10.1.1.0/24 masquerade")
    control = it.guest.says(ask)
    it.nat.run("nft delete table ip n; systemctl start seca-nat.timer")
    it.guest.at_hypervisor("ip rule del pref 2")
    it.lab.check("the server's metadata are out of a guest's reach (without rules: not)", not shut and "cloud-config" in control, (shut, control))
    began = time.time()
    it.lab.check("the timer asserts the rules again", it.back(began) is not None)


def self_watch(it):
    """The server's upstream answers no ping, then no ARP, then all of it again. The server reboots by itself."""
    def within(seconds, holds):
        end = time.time() + seconds
        while time.time() < end and not holds():
            time.sleep(1)
        return holds()

    journal = "journalctl -b -o cat -u seca-nat --since=-%ds"
    it.nat.at_hypervisor("sysctl -qw net.ipv4.icmp_echo_ignore_all=1")
    it.nat.run("ip neigh flush all")
    began = time.time()
    within(15, lambda: False)
    said = it.nat.says(journal % (time.time() - began))
    it.lab.check("an upstream that answers no ping is left alone", "unhealthy" not in said and it.guest.egress() == PUBLIC, said)
    it.nat.at_hypervisor("ip link set pub arp off")
    it.nat.run("ip neigh flush all")
    began = time.time()
    restarted = within(90, lambda: "restarting the network" in it.nat.says(journal % 120))
    it.lab.check("without ARP the network is restarted", restarted, "%.0f s" % (time.time() - began))
    rebooted = within(180, lambda: it.nat.does("test -s /var/lib/seca/reboots"))
    it.lab.check("then the server reboots", rebooted, "%.0f s, %s" % (time.time() - began, it.nat.says("cat /var/lib/seca/reboots")))
    it.nat.at_hypervisor("ip link set pub arp on; sysctl -qw net.ipv4.icmp_echo_ignore_all=0")
    it.lab.check("its init shuts down", within(60, it.nat.is_down))
    # A container does not come up by itself: the hypervisor's part of a reboot.
    it.nat.reset()
    seconds = it.back(it.nat.on)
    it.lab.check("and forwards when it and the upstream are back", seconds, "%s s" % seconds)


def allow_lists(it):
    """Who may reach the server itself. Its SSH port lets nobody in, and nothing listens at the other: a refusal is an answer."""
    inside("internet", "for a in %s %s; do ip addr replace $a/32 dev lo; done" % (ADMIN, PROBE))
    connect = (
        "python3 -c \"import socket;s=socket.socket();s.settimeout(3);s.bind(('%s',0));print(s.connect_ex(('" + PUBLIC + "',%d)))\""
    )
    reached = {"0", "111"}
    for who, port, may in ((ADMIN, 22, True), (PROBE, 22, False), (WEB, 22, False), (PROBE, 9, True), (ADMIN, 9, False), (WEB, 9, False)):
        said = inside("internet", connect % (who, port), check=False).strip()
        it.lab.check("port %d of the server from %s: %s" % (port, who, "reached" if may else "not"), (said in reached) == may, said)
    listening = inside("internet", connect % (ADMIN, 22), check=False).strip()
    it.lab.check("an SSH server answers there", listening == "0", listening)


def failover(it):
    """The route goes to the second server of a pair, as the control plane leads it there."""
    second = it.server("nat-b", SECOND, step=1).start()
    it.lab.check("the second server of a pair boots", '"errors": []' in second.booted())
    it.nat.cut_power()
    began = time.time()
    it.lab.route_everything_to(second)
    seconds = it.back(began)
    it.lab.check("the guest leaves by the second server", seconds and it.guest.egress() == SECOND, "%s s after the first one's end" % seconds)
    it.nat.start()
    it.lab.route_everything_to(it.nat)
    it.lab.check("and by the first one again", it.back(it.nat.on) and it.guest.egress() == PUBLIC)
    second.destroy()


def public_ipv6(it):
    """A guest that keeps a public IPv6 interface, because private DHCP leads nobody to the metadata service."""
    extensions = {"hetzner.cloud/first-boot": "public-ipv6"}
    guest = it.make("six", "10.1.1.50", extensions=extensions, public6="2001:db8:1::50", md_route=False).start()
    seconds = guest.egress_after()
    it.lab.check("a guest with public IPv6 alone leaves by the gateway", seconds and guest.egress() == PUBLIC, "%s s" % seconds)
    done = guest.booted()
    it.lab.check("its cloud-init ends without an error", '"errors": []' in done and guest.does("test -e /root/ran"), done)
    seen = guest.says("ping -6 -c1 -W2 %s; ip -6 route show default" % WEB6)
    it.lab.check("its IPv6 goes by its own interface", "1 received" in seen and "via fe80::1" in seen, seen)
    guest.destroy()


GROUPS = [
    traffic, sources, healing, power, replacement, other_address, dual_homed, two_networks, hot_attach, absent, forms, metadata,
    allow_lists, failover, public_ipv6, self_watch,
]


def main(folder, images, programs, suite, *names):
    compose = os.path.join(programs, "examples", "compose")
    with Product(programs, folder, ssh_from=ADMIN + "/32", health_from=PROBE + "/32") as product:
        lab = Lab(folder, images, compose, product)
        return run(lab, suite, names)


def run(lab, suite, names):
    try:
        inside("internet", "true")
        scene = Scene(lab, suite)
        for group in GROUPS:
            if not names or group.__name__ in names:
                print("-- " + group.__name__, flush=True)
                group(scene)
    except Exception:
        traceback.print_exc()
        lab.results.append((False, "the laboratory itself"))
    finally:
        lab.end()
    failed = [name for holds, name in lab.results if not holds]
    print("gateway-lab: %s: %d checks, %d failed" % (suite, len(lab.results), len(failed)))
    for name in failed:
        print("gateway-lab: failed: " + name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
