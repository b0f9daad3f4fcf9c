"""The settings, all from the environment, which is where make puts its variables.

The CONFORMANCE_ names up to SMOKE_FILTER and FILTER are those of the Makefile of the predecessor, so that its command
lines still work.
"""

import ipaddress
import json
import os
from pathlib import Path

from . import Problem

ROOT = Path(__file__).resolve().parent.parent.parent
ARTIFACTS = ROOT / ".artifacts" / "conformance"

# Scenarios by name. Regular expressions of Python, matched anywhere in the name.
SETS = {
    "smoke": r"^(Region|Workspace)\.V1\.ProviderQueries$",
    "region": r"^Region\.",
    "auth": r"^Authorization\.",
    "workspace": r"^Workspace\.",
    "compute": r"^Compute\.",
    "storage": r"^Storage\.",
    "network": r"^Network\.",
    "foundation": r"^(?!Usage\.)",
    "foundation-core": r"^(?!Usage\.).*LifeCycle$",
    "full": r"",
}

# A subnet of the network error scenario lies here, and must lie outside of the network range.
RESERVED = ipaddress.ip_network("192.168.99.0/24")
PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")]


def setting(name, default=""):
    """An empty variable counts as unset."""
    return os.environ.get(name) or default


def number(name, default):
    text = setting(name, str(default))
    if not text.isdigit():
        raise Problem(f"{name} is {text!r}; it must be a whole number")
    return int(text)


def network_range():
    """The range of every network of the scenarios."""
    text = setting("CONFORMANCE_SCENARIOS_CIDR", "10.10.0.0/16")
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise Problem(f"CONFORMANCE_SCENARIOS_CIDR is no IPv4 network: {error}") from None
    if found.prefixlen > 22 or not any(found.subnet_of(private) for private in PRIVATE) or found.overlaps(RESERVED):
        raise Problem(
            f"CONFORMANCE_SCENARIOS_CIDR is {text}; it must be a private range (RFC 1918) of /22 or larger outside"
            f" {RESERVED}, because the scenarios cut /24 to /30 subnets out of it and use {RESERVED} as a subnet"
            " that is not in it"
        )
    return text


def scenario_flags():
    """The flags of secatest that do not depend on whom it talks to."""
    return {
        "scenarios.users": setting("CONFORMANCE_SCENARIOS_USERS", "user1@example.com,user2@example.com"),
        "scenarios.cidr": network_range(),
        "scenarios.public.ips": setting("CONFORMANCE_SCENARIOS_PUBLIC_IPS", "203.0.113.0/28"),
        "retry.base.delay": number("CONFORMANCE_RETRY_DELAY", 1),
        "retry.base.interval": number("CONFORMANCE_RETRY_INTERVAL", 2),
        "retry.max.attempts": number("CONFORMANCE_RETRY_ATTEMPTS", 10),
    }


def running_proxy():
    """Where the running proxy is, and the token for it: as set, or those of the `make dev` of this checkout."""
    base, token = "http://localhost:8080", "dev-token"
    ready = ROOT / ".dev" / "ready.json"
    if ready.is_file():
        base = json.loads(ready.read_text(encoding="utf-8"))["public"]
    region = setting("CONFORMANCE_PROVIDER_REGION_V1", f"{base}/providers/seca.region")
    authorization = setting("CONFORMANCE_PROVIDER_AUTHORIZATION_V1", f"{base}/providers/seca.authorization")
    # The token of `make dev` goes to nobody else.
    own = all(url == base or url.startswith(base + "/") for url in (region, authorization))
    if ready.is_file() and own:
        token = (ROOT / ".dev" / "token").read_text(encoding="utf-8").strip()
    return region, authorization, setting("CONFORMANCE_CLIENT_AUTH_TOKEN", token)
