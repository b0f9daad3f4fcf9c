"""The scenario names of secatest.md, which abbreviates many of them."""

import os
import re
from pathlib import Path

from . import Problem
from .settings import ROOT

SHORT = {
    "SG": "SecurityGroup",
    "SGRule": "SecurityGroupRule",
    "IGW": "InternetGateway",
    "PIP": "PublicIp",
    "NIC": "Nic",
    "RT": "RouteTable",
}
ENDINGS = r"(?:LifeCycle|Queries|ConstraintsValidation|Error)"


def path():
    """Beside the folder of the OpenAPI documents."""
    folder = os.environ.get("SECA_SPEC_DIR") or ROOT.parent / "shared" / "spec" / "openapi"
    return Path(folder).parent / "secatest.md"


def scenarios():
    """All names that it states, and it must state as many as it says."""
    try:
        text = path().read_text(encoding="utf-8")
    except OSError:
        raise Problem(
            f"{path()} is not there, so the scenario list was not checked: put the SECA specification files beside"
            " the checkout (../shared/spec), or set SECA_SPEC_DIR to their folder openapi"
        ) from None
    steps = section(text, r"## 2\. Scenarios \((\d+)\b")
    names = [f"{provider}.V1.{name}" for provider, block in blocks(steps) for name in of_block(provider, block)]
    usage = section(text, r"## 7\. Usage suites")
    names += [f"Usage.V1.{name}" for name in re.findall(r"^\| ([A-Z]\w+) \|", usage, re.MULTILINE)]
    stated = int(re.search(r"## 2\. Scenarios \((\d+)\b", text).group(1))
    if len(set(names)) != stated:
        raise Problem(f"{path()} states {stated} scenarios, and {len(set(names))} names were read from it: {sorted(set(names))}")
    return set(names)


def section(text, heading):
    found = re.search(heading + r".*?(?=^## )", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise Problem(f"{path()} has no section {heading!r} any more")
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
