"""secatest: where it is, what it holds, how it is run, what it found."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

from . import Problem
from .settings import SETS, setting

RELEASES = "https://github.com/eu-sovereign-cloud/conformance/releases"


class Tool:
    def __init__(self):
        wanted = setting("SECATEST", "secatest")
        path = shutil.which(wanted)
        if not path:
            where = f"SECATEST names {wanted}, which is no program" if setting("SECATEST") else "secatest is not on the PATH"
            raise Problem(f"{where}: its releases are on {RELEASES}; set SECATEST to the program")
        self.path = str(Path(path).resolve())
        self.scenarios = self._list()

    def _list(self):
        output = subprocess.run([self.path, "list"], capture_output=True, text=True, timeout=60, check=False)
        # It lists them on its standard error.
        names = re.findall(r"^[A-Z]\w*\.V\d+\.\w+$", output.stdout + "\n" + output.stderr, re.MULTILINE)
        if output.returncode != 0 or not names:
            raise Problem(f"{self.path} list names no scenario; is it secatest? Its releases are on {RELEASES}")
        return names

    def identity(self):
        """Commit and digest of the program. Go writes the commit into a program that it builds from a checkout, and
        the version of a module that it installs; neither needs to be there."""
        content = Path(self.path).read_bytes()
        commit = setting("SECATEST_COMMIT")
        if not commit:
            found = re.search(rb"vcs\.revision=([0-9a-f]{7,40})", content)
            found = found or re.search(rb"\nmod\tgithub\.com/eu-sovereign-cloud/conformance\t(v[\w.+-]+)", content)
            commit = found.group(1).decode() if found else "unknown"
        return {"name": "secatest", "commit": commit, "sha256": hashlib.sha256(content).hexdigest()}

    def select(self, name):
        """The scenarios of a set, or of a regular expression."""
        pattern = SETS.get(name, name)
        try:
            chosen = [scenario for scenario in self.scenarios if re.search(pattern, scenario)]
        except re.error as error:
            raise Problem(f"{pattern} is no regular expression: {error}") from None
        if not chosen:
            raise Problem(f"no scenario is selected by {pattern!r}; `secatest list` names all {len(self.scenarios)}")
        return chosen


class Run:
    """One run of the tool over some scenarios. `results` is a folder of its own; what an earlier run left is removed."""

    def __init__(self, tool, scenarios, flags, results, log, environment=None):
        self.scenarios = scenarios
        self.results, self.log = Path(results), Path(log)
        self.results.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        for pattern in ("*-result.json", "*-container.json", "*-attachment*"):
            for old in self.results.glob(pattern):
                old.unlink()
        alternatives = "|".join(re.escape(name) for name in scenarios)
        flags = dict(flags, **{"scenarios.filter": f"^({alternatives})$", "report.results.path": self.results.resolve()})
        command = [tool.path, "run", *(f"--{name}={value}" for name, value in flags.items())]
        self.started = time.monotonic()
        self.seconds = None
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.results.parent,
                env=environment,
                start_new_session=True,
            )
        self.found = {}
        self._read = set()

    def look(self):
        """The scenarios that have ended since the last look. Whether the tool has ended is seen before."""
        ended = self.process.poll() is not None
        new = []
        for path in sorted(self.results.glob("*-result.json"), key=lambda path: path.stat().st_mtime):
            if path.name in self._read:
                continue
            try:
                result = json.loads(path.read_text(encoding="utf-8"))
            except ValueError:
                continue  # it is being written
            self._read.add(path.name)
            outcome = read_result(result)
            keep_worst(self.found, outcome)
            new.append(outcome)
        if ended and self.seconds is None:
            self.seconds = round(time.monotonic() - self.started)
        return new, ended

    def finish(self):
        """All outcomes in the tool's order, one for every scenario that was selected. None at all is a failure of
        the run: nothing was proven."""
        if not self.found:
            tail = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
            raise Problem("secatest ran no scenario; it said last:\n  " + "\n  ".join(tail or ["(nothing)"]))
        missing = {"result": "failed", "seconds": 0, "step": "", "message": f"no result: see {self.log.name}"}
        outcomes = {name: self.found.get(name, dict(missing, name=name)) for name in self.scenarios}
        for name, outcome in self.found.items():
            outcomes.setdefault(name, outcome)
        return outcomes

    def stop(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def follow(runs, pause=threading.Event()):
    """Follows runs, by name, to their end, with a line for every scenario."""
    width = max(len(name) for name in runs)
    going, counts = dict(runs), dict.fromkeys(runs, 0)
    try:
        while going:
            for name, run in list(going.items()):
                new, ended = run.look()
                for outcome in new:
                    counts[name] += 1
                    label = f"{name:<{width}} " if name else ""
                    line = f"{label}{counts[name]:>3}/{len(run.scenarios)}  {outcome['result']:<7} {outcome['name']}"
                    print(f"  {line}  ({outcome['seconds']} s)", flush=True)
                if ended:
                    del going[name]
            if going:
                pause.wait(0.25)
    finally:
        for run in runs.values():
            run.stop()


def keep_worst(found, outcome):
    """Takes an outcome in; of several under one name the first that failed counts."""
    known = found.get(outcome["name"])
    if known is None or known["result"] == "passed":
        found[outcome["name"]] = outcome


def read_result(result):
    """A scenario's outcome from the tool's result file: its first failing step, and what was wrong with it."""
    outcome = {
        "name": result.get("name", "?"),
        "result": "passed" if result.get("status") == "passed" else "failed",
        "seconds": round((result.get("stop", 0) - result.get("start", 0)) / 1000, 1),
        "step": "",
        "message": "",
    }
    if outcome["result"] == "passed":
        return outcome
    path = failing_path(result.get("steps") or [])
    # The innermost steps are the assertions; the steps above them say what was done.
    names = [step["name"] for step in path if not re.match(r"(Verify|REQUIRE|ASSERT)\b", step["name"])]
    outcome["step"] = " / ".join(names or [step["name"] for step in path[:1]])
    details = [part.get("statusDetails") or {} for part in [*path, result]]
    texts = [part.get(key) or "" for part in details for key in ("message", "trace")]
    said = next(filter(None, map(words, texts)), "")
    outcome["message"] = said or f"the tool says only: {result.get('status')}"
    return outcome


def failing_path(steps):
    for step in steps:
        if step.get("status") not in ("passed", "skipped"):
            return [step, *failing_path(step.get("steps") or [])]
    return []


def words(message):
    """What an assertion said, on one line, without the places in the tool's sources. Nothing if there is nothing else:
    the tool cuts the message of a step, often within those places, and its trace has the rest."""
    found = re.search(r"\bError:\s*(.*?)(?:\n\s*(?:Diff|Test|Messages):|\Z)", message, re.DOTALL)
    if not found and (not message.strip() or "Error Trace:" in message):
        return ""
    text = found.group(1) if found else message.strip().splitlines()[0]
    about = re.search(r"Messages:\s*(\S[^\n]*)", message)
    text = " ".join(text.split())
    return f"{about.group(1).strip()}: {text}"[:300] if about else text[:300]
