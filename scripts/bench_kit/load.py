"""The load: wrk or oha, whichever is there, behind one call."""

import json
import shutil
import subprocess
from pathlib import Path

from conformance_kit import Problem

SCRIPT = Path(__file__).resolve().parent / "load.lua"
# Stands in a body or a path where each request has another number; the same text as in the script.
COUNTER = "00000000"


def tool():
    """The load generator. Of two, wrk: it takes less of the processor from what is measured."""
    for name in ("wrk", "oha"):
        path = shutil.which(name)
        if path:
            return {"wrk": Wrk, "oha": Oha}[name](path)
    raise Problem("neither wrk nor oha is on the PATH: apt-get install wrk, or cargo install oha")


class Load:
    """A load generator. `folder` of a call takes the files that it reads."""

    name = ""
    # Whether each request may have a path of its own.
    counts_in_paths = True

    def __init__(self, path):
        self.path = path

    def run(self, base, method, paths, body, token, connections, seconds, folder):
        """Requests per second, median and 99th percentile in milliseconds, of requests for paths drawn at random."""
        folder.mkdir(parents=True, exist_ok=True)
        command = self.command(base, method, paths, body, token, connections, seconds, folder)
        made = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False)
        if made.returncode != 0:
            raise Problem(f"{self.name} fails: {(made.stderr or made.stdout).strip()[-500:]}")
        found = self.read(made.stdout)
        if found["failed"] or not found["requests"]:
            how = f"{found['how']}; {method} {paths[0]} is one of them, or like them"
            raise Problem(f"{found['failed']} of {found['requests']} requests to {base} failed: {how}")
        return {key: found[key] for key in ("requests", "rps", "p50_ms", "p99_ms")}


class Wrk(Load):
    name = "wrk"

    def command(self, base, method, paths, body, token, connections, seconds, folder):
        list_file, body_file, token_file = folder / "paths", folder / "body", folder / "token"
        list_file.write_text("\n".join(paths) + "\n", encoding="utf-8")
        command = [self.path, "-t", "2", "-c", str(connections), "-d", f"{seconds}s", "-s", SCRIPT, base]
        command += ["--", method, list_file]
        if body is not None:
            body_file.write_text(body, encoding="utf-8")
        command.append("-" if body is None else body_file)
        if token is not None:
            # A file: who may look at processes sees their arguments.
            token_file.write_text(token, encoding="utf-8")
            command.append(token_file)
        return command

    def read(self, output):
        line = next((line for line in output.splitlines() if line.startswith("RESULT ")), None)
        if line is None:
            raise Problem(f"wrk says nothing of what it did: {output.strip()[-500:]}")
        found = json.loads(line[len("RESULT ") :])
        how = f"{found['refused']} with a status above 399, {found['broken']} without one"
        return dict(found, rps=found["requests"] / found["seconds"], failed=found["refused"] + found["broken"], how=how)


class Oha(Load):
    """It sends one body; the counter in it changes from run to run. It cannot count in paths."""

    name = "oha"
    counts_in_paths = False
    runs = 0

    def command(self, base, method, paths, body, token, connections, seconds, folder):
        list_file = folder / "urls"
        list_file.write_text("".join(f"{base}{path}\n" for path in paths), encoding="utf-8")
        command = [self.path, "--no-tui", "--output-format", "json", "-c", str(connections), "-z", f"{seconds}s"]
        command += ["-m", method]
        if body is not None:
            self.runs += 1
            command += ["-T", "application/json", "-d", body.replace(COUNTER, f"{self.runs:08}")]
        if token is not None:
            # It takes no headers from a file; the token is of this run, and of nothing else.
            command += ["-H", f"Authorization: Bearer {token}"]
        return [*command, "--urls-from-file", list_file]

    def read(self, output):
        found = json.loads(output)
        # Those that are under way when the time is over are counted as errors.
        errors, codes = found["errorDistribution"], found["statusCodeDistribution"]
        errors.pop("aborted due to deadline", None)
        good = codes.get("200", 0)
        percentiles = found["latencyPercentiles"]
        return {
            "requests": sum(codes.values()),
            "rps": good / found["summary"]["total"],
            "p50_ms": percentiles["p50"] * 1_000,
            "p99_ms": percentiles["p99"] * 1_000,
            "failed": sum(codes.values()) - good + sum(errors.values()),
            "how": json.dumps({**codes, **errors}),
        }
