"""What is measured: simulator, proxies and the bare handler, on one database, with what was made in it."""

import http.client
import json
import re
import signal
import statistics
import threading
import time
import urllib.parse

from conformance_kit import Problem, stack

from . import load

TENANT, WORKSPACE = "bench", "prepared"
DOCUMENT = {
    "labels": {"app": "shop", "environment": "production", "tier": "edge"},
    "annotations": {"description": "the way out of the shop", "written": load.COUNTER},
    "spec": {"egressOnly": True},
}
# Compact, as the proxy keeps it: the bare handler keeps the text as it comes, and both are to find the same rows.
BODY = json.dumps(DOCUMENT, separators=(",", ":"))
# Durable, as in production. Vacuum and checkpoints come between the measurements instead of into one of them.
POSTGRES = ("autovacuum=off", "checkpoint_timeout=1h", "max_wal_size=8GB")
# Nobody is authenticated, and no line is logged per request: the bare handler does neither.
QUIET = {"SECA_LOG_LEVEL": "warn", "SECA_WRITE_RATE": "off", "SECA_READ_RATE": "off"}
NOBODY = {"SECA_AUTH_MODE": "off", "SECA_AUTH_TOKENS_FILE": None, "SECA_AUTH_ISSUERS_FILE": None}
# The engine says when it has looked at all of a project.
TELLING = {"SECA_LOG_LEVEL": "warn,control_plane::engine=info"}
SEEDERS = 16
SETTLING = 900


class Client:
    """A connection that is kept."""

    def __init__(self, base, token=None, patience=60):
        address = urllib.parse.urlsplit(base)
        self.connection = http.client.HTTPConnection(address.hostname, address.port, timeout=patience)
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def ask(self, method, path, body=None):
        """Status, ETag and text."""
        headers = dict(self.headers) if body is None else {"Content-Type": "application/json", **self.headers}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, answer.getheader("ETag"), answer.read().decode()

    def document(self, path):
        status, tag, text = self.ask("GET", path)
        if status != 200:
            raise Problem(f"GET {path} is answered with {status}: {text[:300]}")
        return tag, json.loads(text)

    def make(self, path, document):
        """Writes it and waits until it is active; the milliseconds that both take."""
        started = time.monotonic()
        status, _, text = self.ask("PUT", path, json.dumps(document))
        if status not in (200, 201):
            raise Problem(f"PUT {path} is answered with {status}: {text[:300]}")
        while True:
            state = self.document(path)[1]["status"]["state"]
            if state == "active":
                return (time.monotonic() - started) * 1e3
            if time.monotonic() - started > SETTLING:
                raise Problem(f"{path} is {state} after {SETTLING} s")
            time.sleep(0.01)


class Bench(stack.Stack):
    """A stack with the bare handler beside it."""

    def __init__(self, programs, database, logs, auth, postgres=POSTGRES):
        settings = {**QUIET, **NOBODY}
        super().__init__(programs, database, logs, tenants={TENANT: TENANT}, settings=settings, postgres=postgres, auth=auth)
        self.starts = 0

    def _start(self):
        super()._start()
        program = [self.programs / "examples" / "bare", self.database_url]
        self.bare, self.bare_url = self._listening("bare", program)
        self.place = f"/regions/{self.region}/providers"
        self.tenant = f"v1/tenants/{TENANT}"
        self.workspace = f"{self.tenant}/workspaces/{WORKSPACE}"
        self.collection = f"{self.place}/seca.network/{self.workspace}/internet-gateways"

    def begin_knowing(self):
        """Starts a second proxy beside the first, which knows its callers."""
        self.knowing, self.knowing_url, _ = self._proxy("knowing", self.database_url, {**QUIET, **self.known})

    def restart(self, settings):
        """Another proxy in place of the first; the name of its log."""
        self.proxy.send_signal(signal.SIGTERM)
        self.proxy.wait(timeout=30)
        self.starts += 1
        name = f"secapi-proxy-{self.starts}"
        self.proxy, self.public, self.admin = self._proxy(name, self.database_url, settings)
        return name

    def looked_at(self, name):
        """How many resources of its largest project the engine of a proxy has looked at since it began."""
        said = [line for line in self._log(name).splitlines() if "everything was looked at" in line]
        numbers = [re.search(r"resources\W+(\d+)", line) for line in said]
        return max((int(number.group(1)) for number in numbers if number), default=0)

    def tell_bare(self, method, path, body=None):
        status, _, text = Client(self.bare_url, patience=SETTLING).ask(method, path, body)
        if status != 200:
            raise Problem(f"the bare handler answers {method} {path} with {status}; its log: {self.logs / 'bare.log'}")
        return text

    def copy(self, kind, workspace, name, prefix, count, **more):
        """Copies a settled row."""
        wanted = {"kind": kind, "tenant": TENANT, "workspace": workspace, "name": name, "prefix": prefix, "count": count, **more}
        self.tell_bare("POST", "/copies", json.dumps(wanted))
        return [f"{prefix}{index:07}" for index in range(count)]


def seed(running, resources):
    """Makes the resources through the API, into a database that knows nothing of its tables; their paths, and how fast the
    last tenth went beside the first."""
    paths = [f"{running.collection}/gateway-{index:05}" for index in range(resources)]
    failures, made = [], []

    def some(mine):
        client = Client(running.public)
        try:
            for path in mine:
                status, _, text = client.ask("PUT", path, BODY)
                if status != 201:
                    raise Problem(f"PUT {path} is answered with {status}: {text[:300]}")
                made.append(time.monotonic())
        except (Problem, OSError, http.client.HTTPException) as failure:
            failures.append(failure)

    threads = [threading.Thread(target=some, args=(paths[first::SEEDERS],), daemon=True) for first in range(SEEDERS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise Problem(f"the resources cannot be made: {failures[0]}")
    print(f"  {resources} resources made in {time.monotonic() - started:.0f} s", flush=True)
    tenth, made = resources // 10, sorted(made)
    first, last = made[tenth - 1] - started, made[-1] - made[-1 - tenth]
    return paths, {"per_s": resources / (made[-1] - started), "first_per_s": tenth / first, "last_per_s": tenth / last, "ratio": first / last}


def settle(running):
    """Waits until the engine has nothing left to do; the seconds."""
    started = said = time.monotonic()
    while True:
        left = int(running.tell_bare("GET", "/unsettled"))
        now = time.monotonic()
        if left == 0:
            return now - started
        if now - started > SETTLING:
            raise Problem(f"{left} resources are not active after {SETTLING} s; the proxy's log is in {running.logs}")
        if now - said > 15:
            print(f"  {left} resources are not active yet", flush=True)
            said = now
        time.sleep(0.05)


def look_again(running, rounds):
    """Wakes all gateways, which are as they should be: how many are looked at in a second, by rounds."""
    rates = []
    for _ in range(rounds):
        woken = int(running.tell_bare("POST", "/wake"))
        rates.append(woken / settle(running))
        print(f"  look   {len(rates)}/{rounds}  {rates[-1]:>8,.0f}/s", flush=True)
    return {"per_s": statistics.median(rates), "least": min(rates), "most": max(rates)}


def start_again(running, resources, rounds):
    """Starts the proxy anew beside what is settled: the seconds until all is looked at, and how long a creation takes
    that comes in between, beside one in between nothing."""
    def create(name):
        return Client(running.public).make(f"{running.collection}/{name}", {"spec": {"egressOnly": True}})

    calm = [create(f"calm-{index}") for index in range(5)]
    took, during = [], []
    for index in range(rounds):
        started = time.monotonic()
        name = running.restart({**QUIET, **NOBODY, **TELLING})
        listening = time.monotonic()
        during.append(create(f"hasty-{index}"))
        stack.until("a look at everything", lambda: running.looked_at(name) >= resources, SETTLING)
        took.append(time.monotonic() - started)
        said = f"{took[-1]:.1f} s ({listening - started:.1f} s until it listens), a creation meanwhile {during[-1]:,.0f} ms"
        print(f"  start  {index + 1}/{rounds}  {said}", flush=True)
    return {
        "seconds": statistics.median(took), "least": min(took), "most": max(took),
        "calm_ms": statistics.median(calm), "meanwhile_ms": statistics.median(during),
    }
