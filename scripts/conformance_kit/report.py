"""The report: what is expected, what was found, and how it is told."""

import json
import subprocess
from datetime import datetime, timezone

from .settings import ROOT
from .stack import TENANTS

TOTAL = 55

# Three pairs of scenarios send requests of the same shape and demand opposite answers: a reference to something that is
# not there must be accepted by one and refused by the other. No rule that looks at the server's state alone satisfies
# both, so a tenant passes one of each pair: which one, its reference policy says. Telling them apart by the names
# that they use would be no rule but a trick.
PAIRS = [
    {
        "accepts": "Authorization.V1.RoleAssignmentLifeCycle",
        "refuses": "Authorization.V1.RoleAssignmentError",
        "reason": "a role assignment to a role that is not there",
    },
    {
        "accepts": "Network.V1.ProviderLifeCycle",
        "refuses": "Network.V1.NicError",
        "reason": "a network interface with a public IP that is not there",
    },
    {
        "accepts": "Usage.V1.FoundationProviders",
        "refuses": "Storage.V1.ImageError",
        "reason": "an image of a block storage that is not there",
    },
]


# What a setup cannot promise: the tool takes its zones by chance, twice, and then changes the zone of an instance from the one
# to the other. The specification says that the zone is immutable, so this passes when chance takes the same zone twice.
BY_CHANCE = {
    "locations": {
        "Compute.V1.ProviderLifeCycle": {
            "step": "Update the instance",
            "reason": "it changes the zone of an instance, which is immutable, unless chance takes the same zone twice",
        }
    }
}


def is_by_chance(setup, name, outcome):
    """Whether a scenario failed where it may in this setup."""
    may = BY_CHANCE.get(setup, {}).get(name)
    return bool(may) and outcome["result"] != "passed" and outcome["step"] == may["step"]


def expected_missing(tenant):
    """The scenarios that a tenant cannot pass: the strict one refuses, the late one accepts."""
    side = "accepts" if tenant == "strict" else "refuses"
    return {pair[side]: pair["reason"] for pair in PAIRS}


def judge(outcomes, scenarios, setup):
    """Everything that is not as expected in one run, as sentences. `outcomes` has tenants, then scenarios."""
    wrong = []
    if len(scenarios) != TOTAL:
        wrong.append(f"the tool has {len(scenarios)} scenarios; what is expected is written down for {TOTAL}")
    for tenant in TENANTS:
        missing = expected_missing(tenant)
        for name, outcome in outcomes[tenant].items():
            passed = outcome["result"] == "passed"
            if not passed and name not in missing and not is_by_chance(setup, name, outcome):
                wrong.append(f"{tenant}: {name} failed: {outcome['step']}: {outcome['message']}")
            if passed and name in missing:
                wrong.append(f"{tenant}: {name} passed, which the policy excludes ({missing[name]})")
    for name in scenarios:
        all_of_it = [outcomes[tenant][name] for tenant in TENANTS]
        if not any(outcome["result"] == "passed" or is_by_chance(setup, name, outcome) for outcome in all_of_it):
            wrong.append(f"{name} passed for no tenant")
    return wrong


def counts(outcomes):
    """Passed scenarios per tenant and of all tenants together."""
    passed = {t: {name for name, o in outcomes[t].items() if o["result"] == "passed"} for t in TENANTS}
    numbers = {tenant: len(names) for tenant, names in passed.items()}
    return dict(numbers, union=len(set().union(*passed.values())))


def merge(runs, scenarios):
    """One outcome per tenant and scenario: passed when it passed in every run, else that of the first failure. A run whose
    setup let chance decide says nothing while another one can."""
    merged = {}
    for tenant in TENANTS:
        merged[tenant] = {}
        for name in scenarios:
            all_of_it = [(run["setup"], run["outcomes"][tenant][name]) for run in runs]
            steady = [outcome for setup, outcome in all_of_it if not is_by_chance(setup, name, outcome)]
            all_of_it = steady or [outcome for _, outcome in all_of_it]
            failed = [outcome for outcome in all_of_it if outcome["result"] != "passed"]
            merged[tenant][name] = dict((failed or all_of_it)[0], failures=len(failed))
    return merged


def compose(tool, scenarios, runs, flags):
    """The report as data. A run has: database, auth, setup, seconds (per tenant), outcomes, wrong."""
    merged = merge(runs, scenarios)
    rows = []
    for name in scenarios:
        row = {"name": name}
        for tenant in TENANTS:
            outcome = merged[tenant][name]
            row[tenant] = {key: outcome[key] for key in ("result", "failures", "step", "message")}
        row["union"] = "passed" if any(merged[tenant][name]["result"] == "passed" for tenant in TENANTS) else "failed"
        rows.append(row)
    return {
        "tool": tool.identity(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d"),
        "proxy": revision(),
        "flags": flags,
        "tenants": TENANTS,
        "as_expected": not any(run["wrong"] for run in runs),
        "passed": dict(counts(merged), of=len(scenarios)),
        "expected_missing": {tenant: expected_missing(tenant) for tenant in TENANTS},
        "by_chance": {setup: may for setup, may in BY_CHANCE.items() if any(run["setup"] == setup for run in runs)},
        "runs": [
            {
                "database": run["database"],
                "auth": run["auth"],
                "setup": run["setup"],
                "passed": counts(run["outcomes"]),
                "seconds": run["seconds"],
                "wrong": run["wrong"],
            }
            for run in runs
        ],
        "scenarios": rows,
    }


def revision():
    """The commit of this checkout, and whether it was changed since."""
    git = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"]
    try:
        found = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return found.stdout.strip() or "unknown"


def dump(report):
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def markdown(report):
    """The report as a page. Made of the data alone, so that a check can make it again."""
    passed, total = report["passed"], report["passed"]["of"]
    tool = report["tool"]
    lines = [
        "# The official conformance tool",
        "",
        "Written by `make conformance-report` (`UPDATE_DOCS=1` puts it here): `secatest`, the conformance tool of SECA, against",
        "this proxy on the simulated Hetzner Cloud, conformance mode on, once per reference policy.",
        "",
        f"secatest commit `{tool['commit']}` (sha256 of the program `{tool['sha256'][:16]}…`), proxy `{report['proxy']}`,"
        f" {report['date']}, {len(report['runs'])} run(s).",
        "",
        f"**{passed['strict']} of {total} with strict references, {passed['late']} of {total} with late references,"
        f" {passed['union']} of {total} in one or the other.** " + verdict(report),
        "",
        "Three pairs of scenarios contradict each other, so no single tenant can pass all of them:",
        "",
        "| what | must be accepted in | must be refused in |",
        "|---|---|---|",
    ]
    pairs = zip(report["expected_missing"]["strict"].items(), report["expected_missing"]["late"])
    lines += [f"| {reason} | {accepts} (late passes) | {refuses} (strict passes) |" for (accepts, reason), refuses in pairs]
    lines += ["", "| run | database | authentication | setup | strict | late | either | seconds |", "|---|---|---|---|---|---|---|---|"]
    for index, run in enumerate(report["runs"], 1):
        found = run["passed"]
        lines.append(
            f"| {index} | {run['database']} | {run['auth']} | {run['setup']} | {found['strict']} | {found['late']} | {found['union']}"
            f" | {run['seconds']['strict']} and {run['seconds']['late']} |"
        )
    for setup, scenarios in report["by_chance"].items():
        lines += ["", *(f"In the setup `{setup}` {name} may fail: {may['reason']}." for name, may in scenarios.items())]
    lines += ["", "| scenario | strict | late | either |", "|---|---|---|---|"]
    for row in report["scenarios"]:
        cells = [mark(report, row, tenant) for tenant in report["tenants"]]
        lines.append(f"| {row['name']} | {' | '.join(cells)} | {row['union']} |")
    lines += failures(report)
    flags = " ".join(f"`--{name}={value}`" for name, value in report["flags"].items())
    lines += ["", f"Flags: {flags}.", ""]
    return "\n".join(lines)


def verdict(report):
    if report["as_expected"]:
        return "That is all that can be passed."
    return "That is not what is expected: the table at the end says what failed."


def mark(report, row, tenant):
    result = row[tenant]["result"]
    expected = row["name"] in report["expected_missing"][tenant]
    times = row[tenant]["failures"]
    if result == "passed":
        return "passed (unexpected)" if expected else "passed"
    often = f" in {times} of {len(report['runs'])} runs" if times != len(report["runs"]) else ""
    return "excluded by the policy" if expected and not often else f"**failed**{often}"


def failures(report):
    """The first failing step of every scenario that failed, expected or not."""
    lines = ["", "| failed | tenant | first failing step | what the tool said |", "|---|---|---|---|"]
    for row in report["scenarios"]:
        for tenant in report["tenants"]:
            outcome = row[tenant]
            if outcome["result"] != "passed":
                cells = [row["name"], tenant, outcome["step"], outcome["message"]]
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def table(outcomes):
    """Scenarios with their result and first failing step, for the terminal. `outcomes` has columns, then scenarios."""
    columns = list(outcomes)
    names = list(next(iter(outcomes.values())))
    width = max(len(name) for name in names)
    heads = columns + (["either"] if len(columns) > 1 else [])
    lines = [f"{'scenario':<{width}}  " + "  ".join(f"{head:<7}" for head in heads) + "  first failing step"]
    for name in names:
        results = [outcomes[column][name]["result"] for column in columns]
        if len(columns) > 1:
            results.append("passed" if "passed" in results else "failed")
        failed = [outcomes[column][name] for column in columns if outcomes[column][name]["result"] != "passed"]
        why = f"{failed[0]['step'] or '-'}: {failed[0]['message']}" if failed else ""
        lines.append(f"{name:<{width}}  " + "  ".join(f"{result:<7}" for result in results) + f"  {why}".rstrip())
    return "\n".join(lines)
