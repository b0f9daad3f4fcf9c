"""Machines as network namespaces: each with its own files where the texts write, and interfaces as Hetzner gives them.

The scripts are run byte for byte. What a namespace lacks is put beside them: /sys/class/net shows the virtual interfaces
with a device behind them, and systemctl writes down what it was asked for.
"""

import os
import shutil
import subprocess

SYSTEMCTL = """#!/bin/sh
echo "$*" >>%s
case "$*" in *is-active*|*is-enabled*) exit 3;; esac
exit 0
"""

# In the mount namespace of each command: the machine's own files over those of this system.
OWN_FILES = """
set -e
for pair in etc:/etc sbin:/usr/local/sbin run:/run lib:/var/lib net:/sys/class/net; do
  mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
mount --bind "$1/uptime" /proc/uptime
PATH=$1/bin:$PATH; export PATH
shift
exec "$@"
"""


def sh(*argv, check=True):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if check and done.returncode:
        raise RuntimeError("%s ended with %d: %s" % (" ".join(argv), done.returncode, done.stdout))
    return done.stdout


class Machine:
    """A namespace. With files it runs scripts as a server does; without, it is part of Hetzner or of the internet."""

    def __init__(self, name, folder=None):
        self.name, self.folder, self.children = name, folder, []
        sh("ip", "netns", "add", name)
        self.ip("link set lo up")
        if folder:
            self.make_files()

    def make_files(self):
        for part in ("sbin", "run", "lib", "net", "bin"):
            os.makedirs(self.path(part))
        # Not all of it can be read without root, and nothing of that is needed.
        sh("cp", "-r", "--preserve=mode,links", "/etc", self.path("etc"), check=False)
        for name in ("resolv.conf", "seca"):
            sh("rm", "-rf", self.path("etc", name))
        self.write("etc/resolv.conf", "", 0o644)
        self.write("bin/systemctl", SYSTEMCTL % self.path("systemctl.log"), 0o755)
        self.write("systemctl.log", "", 0o644)
        for name in ("networkctl", "systemd-run", "logger"):
            self.write("bin/" + name, "#!/bin/sh\nexit 1\n", 0o755)
        self.set_uptime(100)

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def write(self, name, content, mode):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
        os.chmod(path, mode)

    def read(self, name):
        try:
            with open(self.path(name), encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    def install(self, files):
        """Puts the files of a cloud-config where this machine sees them."""
        for path, (mode, content) in files.items():
            for prefix, part in (("/etc/", "etc/"), ("/usr/local/sbin/", "sbin/")):
                if path.startswith(prefix):
                    self.write(part + path[len(prefix):], content, mode)

    def set_uptime(self, seconds):
        self.write("uptime", "%d.00 0.00\n" % seconds, 0o644)

    def forget(self, name):
        """As a reboot does with /run, and a person with a file."""
        shutil.rmtree(self.path(name), ignore_errors=True)

    def argv(self, *command):
        enter = ["ip", "netns", "exec", self.name]
        return enter + (["sh", "-c", OWN_FILES, "sh", self.folder] if self.folder else []) + list(command)

    def run(self, *command, check=True):
        return sh(*self.argv(*command), check=check)

    def succeeds(self, *command):
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(self.argv(*command), **quiet).returncode == 0

    def start(self, *command):
        """A server; it ends with the namespaces of the whole check. Returns when it has said that it is ready."""
        child = subprocess.Popen(self.argv(*command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if child.stdout.readline() != "ready\n":
            raise RuntimeError("%s does not start in %s" % (command, self.name))
        self.children.append(child)

    def ip(self, words, check=True):
        return sh("ip", "-n", self.name, *words.split(), check=check)

    def sysctl(self, *settings):
        self.run("sysctl", "-qw", *settings)


def link(one, name_one, other, name_other, mac=None, mtu=1500):
    """A cable. The first end is a machine's interface, with a MAC as Hetzner gives it."""
    sh("ip", "link", "add", name_one, "netns", one.name, "type", "veth", "peer", "name", name_other, "netns", other.name)
    for machine, name in ((one, name_one), (other, name_other)):
        machine.ip("link set %s mtu %d" % (name, mtu))
    if mac:
        one.ip("link set %s address %s" % (name_one, mac))
    for machine, name in ((one, name_one), (other, name_other)):
        machine.ip("link set %s up" % name)
    if one.folder:
        interface = one.path("net", name_one)
        os.makedirs(os.path.join(interface, "device"))
        one.write("net/%s/address" % name_one, (mac or "96:00:00:00:00:01") + "\n", 0o644)
        one.write("net/%s/type" % name_one, "1\n", 0o644)
