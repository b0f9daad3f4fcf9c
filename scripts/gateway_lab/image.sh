#!/usr/bin/env bash
# image.sh SUITE FOLDER -- a Debian (bookworm or trixie) with systemd, cloud-init and its DHCP client as a folder for
# systemd-nspawn: FOLDER/SUITE.root, and FOLDER/deb, an archive of one package. Built from the archive that this machine
# uses. Root, two minutes, 1 GB.
#
# It differs from a server's image in what a container lacks: a stand-in for dmidecode, cloud-init takes it for no
# container, the list of data sources is fixed. The agent that probes the way out changes no network state.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
suite=$1
mkdir -p "$2"
cd "$2"

packages=systemd-sysv,dbus,udev,cloud-init,openssh-server,iproute2,iputils-ping,nftables,python3,curl,ca-certificates
packages=$packages,procps,sudo,kmod,netbase,dmidecode,cloud-guest-utils,apt-utils
case $suite in
  bookworm) packages=$packages,ifupdown,isc-dhcp-client ;;
  trixie) packages=$packages,netplan.io,systemd-resolved ;;
  *) echo "image.sh: $suite is neither bookworm nor trixie" >&2; exit 1 ;;
esac
archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)
# Made under another name, so that a build that was cut off is no image.
root=$suite.root
rm -rf "$root" "$root.new"
mmdebstrap --mode=root --variant=important --components=main --include="$packages" \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --customize-hook=': >"$1/etc/machine-id"; rm -f "$1/etc/hostname"' \
  "$suite" "$root.new" "$archive"

etc=$root.new/etc
rm -f "$etc"/apt/sources.list.d/*
echo 'deb [trusted=yes] http://mirror.lab/deb ./' >"$etc/apt/sources.list"
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer man-db.timer fstrim.timer e2scrub_reap.service \
  getty@tty1.service console-getty.service; do
  ln -sf /dev/null "$etc/systemd/system/$unit"
done
rm -f "$etc/resolv.conf"
if [ "$suite" = trixie ]; then
  ln -s ../run/systemd/resolve/stub-resolv.conf "$etc/resolv.conf"
else
  : >"$etc/resolv.conf"
  printf 'auto lo\niface lo inet loopback\nsource /etc/network/interfaces.d/*\n' >"$etc/network/interfaces"
fi
: >"$etc/fstab"
mkdir -p "$etc/lab"
cat >"$root.new/usr/sbin/dmidecode" <<'EOF'
#!/bin/sh
case $2 in
  system-manufacturer) echo Hetzner ;;
  system-serial-number) cat /etc/lab/serial ;;
  system-product-name) echo vServer ;;
  *) echo ;;
esac
EOF
chmod 755 "$root.new/usr/sbin/dmidecode"
printf 'datasource_list: [ Hetzner ]\nlocale: C.UTF-8\n' >"$etc/cloud/cloud.cfg.d/90_lab.cfg"
util=$root.new/usr/lib/python3/dist-packages/cloudinit/util.py
grep -q '^def is_container().*:$' "$util"
sed -i 's/^def is_container().*:$/&\n    return False/' "$util"
rm -f "${util%/*}"/__pycache__/util.*
install -m 644 "$here/agent.py" "$root.new/usr/local/lib/lab-agent.py"
cat >"$etc/systemd/system/lab-agent.service" <<'EOF'
[Unit]
Description=Laboratory: probes the way out
DefaultDependencies=no
After=local-fs.target
Before=basic.target shutdown.target
Conflicts=shutdown.target
[Service]
ExecStart=/usr/bin/python3 /usr/local/lib/lab-agent.py
Restart=always
EOF
mkdir -p "$etc/systemd/system/sysinit.target.wants"
ln -sf ../lab-agent.service "$etc/systemd/system/sysinit.target.wants/lab-agent.service"
mv "$root.new" "$root"

# The archive of the laboratory: one package, to see that a guest's `packages:` works.
mkdir -p deb/x/DEBIAN deb/x/usr/bin
cd deb
printf 'Package: labhello\nVersion: 1.0\nArchitecture: all\nMaintainer: lab <lab@example.org>\nDescription: says hello\n' \
  >x/DEBIAN/control
printf '#!/bin/sh\necho hello from a package\n' >x/usr/bin/labhello
chmod 755 x/usr/bin/labhello
dpkg-deb --root-owner-group -b x labhello_1.0_all.deb >/dev/null
rm -r x
apt-ftparchive packages . >Packages
gzip -kf Packages
xz -kf Packages
