"""A small Hetzner of network namespaces, with machines that are containers with Debian's systemd and cloud-init."""
