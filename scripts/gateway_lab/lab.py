"""The laboratory: an internet, the router of the private networks, and machines, each behind a hypervisor of its own.

A machine is a systemd-nspawn container with an overlay over the image's folder. A power cut kills its init and takes its
network namespace away; the disk stays. Nothing has a link to this system's own network.

Namespaces: `internet`, `router`, `h<n>` for a hypervisor, `m<n>` for its machine. They have their names in a /run of this
process alone, so nothing is left of them.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WEB = "198.51.100.10"
WEB6 = "2001:db8:ffff::10"
# What a public interface without IPv4 is leased.
LINK_LOCAL = "169.254.64.1"


def sh(command, check=True):
    done = subprocess.run(
        command, shell=isinstance(command, str), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if check and done.returncode:
        raise RuntimeError("%s ended with %d: %s" % (command, done.returncode, done.stdout))
    return done.stdout


def in_container(text):
    """A virtual interface of a container has no device, which tells a machine's interface from a bridge."""
    return text.replace('[ -e "$d/device" ]', '[ -e "$d/ifindex" ]')


def inside(namespace, script, check=True):
    return sh(["ip", "netns", "exec", namespace, "sh", "-ec", script], check=check)


class Lab:
    def __init__(self, folder, images, compose, product):
        """User data comes from the proxy (`product`), and where it has no such guest from the crate that it uses (`compose`)."""
        self.folder, self.images, self.compose, self.product = folder, images, compose, product
        self.machines, self.children, self.results, self.begun = [], [], [], time.time()
        for name in ("internet", "router"):
            sh("ip netns add " + name)
            inside(name, "ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 "
                         "net.ipv4.conf.default.rp_filter=0")
        addresses = "185.12.64.1 185.12.64.2 198.51.100.10 198.51.100.66"
        inside("internet", "for a in %s; do ip addr add $a/32 dev lo; done" % addresses)
        resolvers = "2a01:4ff:ff00::add:1 2a01:4ff:ff00::add:2"
        inside("internet", "for a in %s %s; do ip -6 addr add $a/128 dev lo nodad; done" % (WEB6, resolvers))
        log, archive = os.path.join(folder, "internet.log"), os.path.join(images, "deb")
        open(log, "w", encoding="utf-8").close()
        self.start("internet", ["python3", os.path.join(HERE, "internet.py"), log, archive], "internet.out")

    def start(self, namespace, command, output):
        with open(os.path.join(self.folder, output), "a", encoding="utf-8") as file:
            child = subprocess.Popen(["ip", "netns", "exec", namespace] + command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self.children.append(child)
        return child

    def composed(self, prefer, own):
        command = [self.compose, "guest", *prefer]
        return subprocess.run(command, input=own, stdout=subprocess.PIPE, text=True, check=True).stdout

    def guest(self, name, address, own="", prefer=(), extensions=None):
        """The user data of a guest; without an address, or beside networks of other ranges, it is composed."""
        if address and not prefer:
            text = self.product.guest(name, address, own, extensions)
        else:
            text = self.composed(prefer, own)
        return in_container(text)

    def nat(self):
        """What the proxy's NAT server was made with, and its private address."""
        return dict(self.product.nat, user_data=in_container(self.product.nat["user_data"]))

    def machine(self, name, **kind):
        machine = Machine(self, name, **kind)
        self.machines.append(machine)
        return machine

    def route_everything_to(self, machine):
        """Hetzner's route 0.0.0.0/0 to the machine's private address."""
        inside("router", "ip route replace default via %s dev p%d onlink" % (machine.transit(1), machine.number))

    def log(self, pattern, since=0.0):
        found = []
        with open(os.path.join(self.folder, "internet.log"), encoding="utf-8") as file:
            for line in file:
                moment, _, rest = line.rstrip("\n").partition(" ")
                if rest and float(moment) >= since and pattern in rest:
                    found.append((float(moment), rest))
        return found

    def check(self, name, holds, seen=""):
        words = str(seen).strip().replace("\n", " / ")[:400]
        print("%7.1f  %s  %s  | %s" % (time.time() - self.begun, "ok  " if holds else "FAIL", name, words), flush=True)
        self.results.append((bool(holds), name))

    def end(self):
        for machine in self.machines:
            machine.destroy()
        for child in self.children:
            if child.poll() is None:
                child.kill()
                child.wait()


class Machine:
    """`private`: dictionaries of ip, net and subnet; `public`: an IPv4 address or None; `public6`: an IPv6 address that the
    public interface has instead."""

    def __init__(self, lab, name, image, user_data, public=None, private=(), md_route=True, public6=None):
        self.lab, self.name, self.image, self.number = lab, name, image, len(lab.machines) + 1
        self.id, self.hypervisor, self.inner = str(40000000 + self.number), "h%d" % self.number, "m%d" % self.number
        self.config_path = os.path.join(lab.folder, name + ".json")
        self.container = self.service = None
        self.on = 0.0
        mac = "96:00:00:00:%02x:01" % self.number
        self.config = {
            "id": self.id, "name": name,
            "pub": {"tap": "pub", "mac": mac, "ip": public, "ip6": public6, "lease": public or LINK_LOCAL} if public or public6 else None,
            "priv": [self.nic(index, **it) for index, it in enumerate(private)], "md_route": md_route,
            "userdata": os.path.join(lab.folder, name + ".user"),
        }
        with open(self.config["userdata"], "w", encoding="utf-8", newline="") as file:
            file.write(user_data)
        self.root = os.path.join(lab.folder, "root-" + name)
        self.disk = os.path.join(lab.folder, "disk-" + name)
        for folder in (self.root, self.disk + "/upper", self.disk + "/work"):
            os.makedirs(folder)
        lower = os.path.join(lab.images, image + ".root")
        layers = "lowerdir=%s,upperdir=%s/upper,workdir=%s/work" % (lower, self.disk, self.disk)
        sh(["mount", "-t", "overlay", "overlay", "-o", layers, self.root])
        os.makedirs(self.root + "/etc/lab", exist_ok=True)
        with open(self.root + "/etc/lab/serial", "w", encoding="utf-8") as file:
            file.write(self.id + "\n")
        self.wire()

    def nic(self, index, ip, net="10.1.0.0/16", subnet="10.1.1.0/24", mac=None):
        router = net.split("/")[0].rsplit(".", 1)[0] + ".1"
        return {
            "tap": "priv%d" % index, "mac": mac or "86:00:00:00:%02x:%02x" % (self.number, index + 1), "ip": ip, "net": net,
            "subnet": subnet, "gw": router, "netid": 900 + index, "netname": "net%d" % index,
        }

    def transit(self, side):
        """The addresses between the router (0) and the hypervisor (1)."""
        return "100.64.%d.%d" % (self.number, 1 + side)

    def at_hypervisor(self, script, check=True):
        return inside(self.hypervisor, script, check)

    def wire(self):
        n, here = self.number, self.hypervisor
        sh("ip netns add " + here)
        self.at_hypervisor("ip link set lo up; sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 "
                           "net.ipv4.conf.default.rp_filter=0; ip addr add 169.254.169.254/32 dev lo")
        sh("ip link add u%d netns %s type veth peer name i%d netns internet" % (n, here, n))
        sh("ip link add r%d netns %s type veth peer name p%d netns router" % (n, here, n))
        self.at_hypervisor(
            "ip addr add 100.65.%d.2/30 dev u%d; ip link set u%d up; ip route add default via 100.65.%d.1; "
            "ip addr add %s/30 dev r%d; ip link set r%d mtu 1450 up" % (n, n, n, n, self.transit(1), n, n))
        inside("internet", "ip addr add 100.65.%d.1/30 dev i%d; ip link set i%d up" % (n, n, n))
        inside("router", "ip addr add %s/30 dev p%d; ip link set p%d mtu 1450 up" % (self.transit(0), n, n))
        if self.config["pub"] and self.config["pub"]["ip"]:
            inside("internet", "ip route replace %s/32 via 100.65.%d.2" % (self.config["pub"]["ip"], n))
        # What comes in from a private interface goes to the router, never by the hypervisor's own default route.
        self.at_hypervisor("ip rule del pref 0; ip rule add pref 5 lookup local")

    def nics(self):
        return ([self.config["pub"]] if self.config["pub"] else []) + self.config["priv"]

    def plug(self, nic):
        """A cable between the hypervisor and the machine, while it runs or before it does."""
        name = {"pub": "enp1s0", "priv0": "ens10", "priv1": "ens11"}[nic["tap"]]
        tap, router, mtu = nic["tap"], "172.31.1.1" if nic["tap"] == "pub" else nic["gw"], "" if nic["tap"] == "pub" else "mtu 1450"
        self.at_hypervisor("ip link del %s" % tap, check=False)
        sh("ip link add %s netns %s type veth peer name %s netns %s" % (name, self.inner, tap, self.hypervisor))
        sh("ip -n %s link set %s address %s" % (self.inner, name, nic["mac"]))
        self.at_hypervisor(
            "ip addr add {gw}/32 dev {tap}; ip link set {tap} {mtu} up; ip -6 addr add fe80::a9fe:a9fe/64 dev {tap} nodad; "
            "ip route replace 169.254.0.0/16 dev {tap}".format(gw=router, tap=tap, mtu=mtu))
        self.at_hypervisor("ip route replace %s/32 dev %s" % (nic.get("lease") or nic["ip"], tap))
        if nic.get("ip6"):
            n = self.number
            self.at_hypervisor(
                "sysctl -qw net.ipv6.conf.all.forwarding=1; ip -6 addr add fe80::1/64 dev %s nodad; ip -6 route replace %s/128 dev %s; "
                "ip -6 addr replace 2001:db8:65:%d::2/64 dev u%d nodad; ip -6 route replace default via 2001:db8:65:%d::1"
                % (tap, nic["ip6"], tap, n, n, n))
            inside("internet", "ip -6 addr replace 2001:db8:65:%d::1/64 dev i%d nodad; "
                               "ip -6 route replace %s/128 via 2001:db8:65:%d::2" % (n, n, nic["ip6"], n))

    def private_routes(self):
        n = self.number
        self.at_hypervisor("for p in 10 11 3; do while ip rule del pref $p 2>/dev/null; do :; done; done; "
                           "ip route flush table 10 2>/dev/null || :; ip route flush table 11 2>/dev/null || :")
        for nic in self.config["priv"]:
            self.at_hypervisor("ip rule add pref 10 iif %s lookup 10; ip route replace %s/32 dev %s table 11" % (nic["tap"], nic["ip"], nic["tap"]))
            inside("router", "ip route replace %s/32 via %s" % (nic["ip"], self.transit(1)))
        if self.config["priv"]:
            first = self.config["priv"][0]
            self.at_hypervisor(
                "ip rule add pref 3 iif r%d to 169.254.0.0/16 lookup 11; ip route replace default via %s table 10; "
                "ip rule add pref 11 iif r%d lookup 11; ip route replace default via %s dev %s onlink table 11"
                % (n, self.transit(0), n, first["ip"], first["tap"]))

    def save(self):
        with open(self.config_path + ".new", "w", encoding="utf-8") as file:
            json.dump(self.config, file)
        os.rename(self.config_path + ".new", self.config_path)

    def serve(self):
        """DHCP and metadata, for the interfaces that there are now."""
        if self.service:
            self.service.kill()
            self.service.wait()
        command = ["python3", os.path.join(HERE, "hypervisor.py"), self.config_path]
        self.service = self.lab.start(self.hypervisor, command, self.name + ".hypervisor.out")

    def start(self):
        """Power on."""
        self.save()
        sh("ip netns del " + self.inner, check=False)
        sh("ip netns add " + self.inner)
        for nic in self.nics():
            self.plug(nic)
        self.private_routes()
        self.serve()
        environment = dict(os.environ, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY="1", SYSTEMD_NSPAWN_API_VFS_WRITABLE="network", SYSTEMD_LOG_LEVEL="err")
        nspawn = [
            "systemd-nspawn", "-q", "--boot", "--register=no", "--keep-unit", "-D", self.root, "--machine", self.name,
            "--capability=CAP_NET_ADMIN,CAP_NET_RAW", "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe",
        ]
        mount = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"'
        self.on = time.time()
        with open(os.path.join(self.lab.folder, self.name + ".console"), "a", encoding="utf-8") as console:
            command = ["ip", "netns", "exec", self.inner, "sh", "-c", mount, "sh", *nspawn]
            self.container = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment)
        return self

    def attach(self, **nic):
        """A further private interface, while the machine runs."""
        new = self.nic(len(self.config["priv"]), **nic)
        self.config["priv"].append(new)
        self.save()
        self.plug(new)
        self.private_routes()
        self.serve()

    def init(self):
        """The pid of the container's init."""
        children = "/proc/%d/task/%d/children" % (self.container.pid, self.container.pid)
        for _ in range(200):
            try:
                with open(children, encoding="utf-8") as file:
                    for pid in file.read().split():
                        with open("/proc/%s/cmdline" % pid, "rb") as line:
                            if re.search(rb"(^|/)(systemd|init)\0", line.read()):
                                return pid
            except OSError:
                pass
            if self.container.poll() is not None:
                break
            time.sleep(0.1)
        raise RuntimeError("%s has no init; see its console" % self.name)

    def run(self, script, timeout=60):
        """In the machine; (output, status)."""
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        command = ["nsenter", "-t", self.init(), "-m", "-u", "-i", "-n", "-p", "env", path, "sh", "-c", script]
        try:
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
        except subprocess.TimeoutExpired:
            return "timed out", 124
        return done.stdout.decode("utf-8", "replace"), done.returncode

    def says(self, script, timeout=60):
        return self.run(script, timeout)[0].strip()

    def does(self, script, timeout=60):
        return self.run(script, timeout)[1] == 0

    def is_down(self):
        """Whether nothing can be run in it any more."""
        try:
            return not self.does("true")
        except (RuntimeError, OSError):
            return True

    def cut_power(self):
        if self.container and self.container.poll() is None:
            try:
                os.kill(int(self.init()), signal.SIGKILL)
                self.container.wait(20)
            except (RuntimeError, OSError, subprocess.TimeoutExpired):
                self.container.kill()
                self.container.wait()

    def reset(self):
        self.cut_power()
        self.start()

    def reboot(self):
        """In order: SIGRTMIN+4 is systemd's power-off."""
        os.kill(int(self.init()), signal.SIGRTMIN + 4)
        self.container.wait(90)
        self.start()

    def reattach(self, **nic):
        """Another private address, while the machine is off."""
        inside("router", "ip route del %s/32" % self.config["priv"][0]["ip"], check=False)
        self.config["priv"][0] = self.nic(0, **nic)

    def probes(self, since=None):
        """What the internet saw of its agent: (moment, 'HTTP source path')."""
        return self.lab.log("/probe/" + self.name, self.on if since is None else since)

    def egress_after(self, since=None, limit=90):
        """Seconds until the internet sees it, or None."""
        since = self.on if since is None else since
        end = time.time() + limit
        while time.time() < end:
            seen = self.probes(since)
            if seen:
                return round(seen[0][0] - since, 1)
            time.sleep(0.2)
        return None

    def egress(self):
        return self.says("curl -s -m 3 http://%s/ip" % WEB)

    def booted(self, limit=150):
        """What cloud-init says of its end."""
        end = time.time() + limit
        while time.time() < end:
            result = self.says("cat /run/cloud-init/result.json")
            if '"v1"' in result:
                return result
            time.sleep(1)
        return "cloud-init did not end: " + self.says("cloud-init status; systemctl list-jobs | head -5")

    def destroy(self):
        self.cut_power()
        sh(["umount", "-l", self.root], check=False)


if __name__ == "__main__":
    sys.exit("run scripts/gateway-lab")
