"""The scenario names of secatest.md, which abbreviates many of them."""

import re

from . import Problem

SHORT = {
    "SG": "SecurityGroup",
    "SGRule": "SecurityGroupRule",
    "IGW": "InternetGateway",
    "PIP": "PublicIp",
    "NIC": "Nic",
    "RT": "RouteTable",
}
ENDINGS = r"(?:LifeCycle|Queries|ConstraintsValidation|Error)"


def facts(path):
    """All names that it states, and it must state as many as it says."""
    text = path.read_text(encoding="utf-8")
    version = re.search(r"^Sources: conformance repo `(\w+)`", text, re.MULTILINE)
    if not version:
        raise Problem(f"{path} does not name the version of the conformance suite")
    steps = section(text, r"## 2\. Scenarios \((\d+)\b")
    names = [f"{provider}.V1.{name}" for provider, block in blocks(steps) for name in of_block(provider, block)]
    usage = section(text, r"## 7\. Usage suites")
    names += [f"Usage.V1.{name}" for name in re.findall(r"^\| ([A-Z]\w+) \|", usage, re.MULTILINE)]
    stated = int(re.search(r"## 2\. Scenarios \((\d+)\b", text).group(1))
    if len(set(names)) != stated:
        raise Problem(f"{path} states {stated} scenarios, and {len(set(names))} names were read from it: {sorted(set(names))}")
    return {"from": f"the SECA conformance suite at commit {version.group(1)}", "scenarios": sorted(set(names))}


def section(text, heading):
    found = re.search(heading + r".*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise Problem(f"secatest.md has no section {heading!r} any more")
    return found.group(0)


def blocks(steps):
    """The providers and what stands below each."""
    parts = re.split(r"^\*\*([A-Z]\w+)\*\*", steps, flags=re.MULTILINE)
    return [(name, body) for name, body in zip(parts[1::2], parts[2::2]) if name != "Usage"]


def of_block(provider, block):
    """The names in full, `A/B LifeCycle`, and the lists `Constraints: A 13 V, B 5, …. Error: …`."""
    names = re.findall(rf"\b([A-Z]\w*{ENDINGS})\b", block)
    for kinds in re.findall(r"([A-Z]\w+(?:/[A-Z]\w+)+) LifeCycle", block):
        names += [f"{kind}LifeCycle" for kind in kinds.split("/")]
    constraints = re.search(r"Constraints: (.*?)(?:Error:|$)", block, re.MULTILINE)
    errors = re.search(r"Constraints: .*Error: (.*)$", block, re.MULTILINE)
    for found, ending in ((constraints, "ConstraintsValidation"), (errors, "Error")):
        listed = re.findall(r"\b([A-Z]\w*) \d+\b", found.group(1)) if found else []
        # Where it names no kind there is one, that of the provider.
        listed = listed or ([provider] if found else [])
        names += [SHORT.get(kind, kind) + ending for kind in listed]
    return names
