"""Simulator, proxy and provisioner as processes, with a database: started on free ports, stopped whatever happens."""

import base64
import hashlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import Problem
from .settings import ROOT

TENANTS = {"strict": "strict:strict:conformance", "late": "late:late:conformance"}
# Nothing that a run writes is needed after a crash of the machine.
HASTY = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
# Who the one caller is.
SUBJECT = "conformance"
# How callers are known.
AUTHENTICATION = ("static", "jwt")
# What the proxy serves: regions of one location each, the same with gateways that route, and a region of three locations.
SETUPS = {
    "plain": {},
    "gateway": {"SECA_INTERNET_GATEWAY_NAT_VM": "true"},
    "locations": {"SECA_INTERNET_GATEWAY_NAT_VM": "true", "SECA_REGIONS": "eu-central=fsn1,nbg1,hel1"},
}
PATIENCE = 60
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def call(method, url, token="", body=None):
    """Status and JSON of an answer; (None, sentence) when nothing answers."""
    request = urllib.request.Request(url, method=method, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with OPENER.open(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")
    except (OSError, ValueError) as error:
        return None, str(getattr(error, "reason", error))


def first_region(region_url, token):
    """The name of the region that the server lists first: the region scenario compares it with the client's own."""
    status, answer = call("GET", f"{region_url}/v1/regions", token)
    if status is None:
        raise Problem(f"no proxy answers at {region_url} ({answer}): start one (make dev), or set CONFORMANCE_PROVIDER_REGION_V1")
    if status != 200:
        raise Problem(f"{region_url}/v1/regions answers {status}, not 200; is CONFORMANCE_CLIENT_AUTH_TOKEN right?")
    items = answer.get("items") or []
    if not items:
        raise Problem(f"{region_url}/v1/regions lists no region")
    return items[0]["metadata"]["name"]


def until(what, ask, limit=PATIENCE):
    """Asks until there is an answer."""
    deadline = time.monotonic() + limit
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Problem(f"{what}: not within {limit} s")
        time.sleep(0.05)


def build(given="CONFORMANCE_PROGRAMS", release=False):
    """Builds the three programs; their folder. Or the folder that a variable names, of some that are built already."""
    if os.environ.get(given):
        return Path(os.environ[given]).resolve()
    print("building secapi-proxy, hcloud-sim and token-provisioner", flush=True)
    return cargo("-p", "secapi-proxy", "-p", "hcloud-sim", "-p", "token-provisioner", release=release)


def cargo(*wanted, release=False):
    """Builds what is wanted; the folder where it lies."""
    command = [os.environ.get("CARGO", "cargo"), "build", "--quiet", "--locked", *wanted, *(["--release"] if release else [])]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        raise Problem("the programs cannot be built: cargo says why above")
    target = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return (target if target.is_absolute() else ROOT / target) / ("release" if release else "debug")


class Stack:
    """A context: inside of it everything runs. `settings` are variables of the proxy beside those that it needs; None
    takes one away. `postgres` are settings of the private PostgreSQL. `auth` is how callers are known, static or jwt:
    the one that there is administers all tenants."""

    def __init__(self, programs, database, logs, tenants=TENANTS, settings=None, postgres=HASTY, auth="static"):
        self.programs, self.database, self.logs = Path(programs), database, Path(logs)
        self.tenants, self.settings, self.postgres, self.auth = tenants, settings or {}, postgres, auth
        self.processes = []
        self.folder = self.server = None

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        """The last one started is stopped first. A second interrupt does not stop the stopping."""
        old = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGTERM)]
        for process, ending in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(ending)
                try:
                    process.wait(timeout=20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self.processes.clear()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        for number, handler in old:
            signal.signal(number, handler)

    def _run(self, name, command, environment, ending=signal.SIGTERM, **more):
        """Starts a process in a session of its own, so that an interrupt from the keyboard reaches it only in order;
        nothing of the shell's environment reaches it."""
        with (self.logs / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True, **more
            )
        self.processes.append((process, ending))
        return process

    def _until(self, what, process, name, ask):
        def look():
            if process.poll() is not None:
                raise Problem(f"{name} ended before it was ready:\n{self._log(name)[-2000:]}")
            return ask()

        return until(what, look)

    def _log(self, name):
        return (self.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _start(self):
        self.folder = Path(tempfile.mkdtemp(prefix="secapi-conformance-"))
        self.logs.mkdir(parents=True, exist_ok=True)
        self.admin_token = secrets.token_hex(24)
        self.key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._simulator()
        self.database_url = self._database()
        self.token, self.known = self._jwt() if self.auth == "jwt" else self._static()
        self.proxy, self.public, self.admin = self._proxy("secapi-proxy", self.database_url)
        self._provisioner()
        self.region = first_region(f"{self.public}/providers/seca.region", self.token)
        for tenant in self.tenants:
            self._bind(tenant)

    def _simulator(self):
        token_file = self.folder / "sim.token"
        command = [self.programs / "hcloud-sim", "--listen", "127.0.0.1:0", "--speed", "0.02", "--token-file", token_file]
        _, self.endpoint = self._listening("hcloud-sim", command)
        self.project_token = token_file.read_text(encoding="utf-8").strip()

    def _listening(self, name, command):
        """Starts a program whose first word is where it listens: the process and the URL."""
        process = self._run(name, command, {})
        marker = f"{name} listens on "

        def address():
            lines = [line for line in self._log(name).splitlines(keepends=True) if line.startswith(marker)]
            return lines[0][len(marker) :].strip() if lines and lines[0].endswith("\n") else None

        return process, self._until(f"the address of {name}", process, name, address)

    def _database(self):
        """The proxy's database URL."""
        if self.database == "sqlite":
            return f"sqlite:{self.folder / 'secapi.db'}"
        if self.database != "postgres":
            return self.database
        return self._postgres()

    def _postgres(self):
        """A private PostgreSQL from the programs that are installed. As root it runs as `postgres` or `nobody`, since
        PostgreSQL refuses root."""
        programs = postgres_programs()
        folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=self.folder))
        account = {}
        if os.geteuid() == 0:
            self.folder.chmod(0o711)
            user = next((user for user in pwd.getpwall() if user.pw_name in ("postgres", "nobody")), None)
            if user is None:
                raise Problem("PostgreSQL refuses root, and there is neither a user postgres nor nobody to run it as")
            os.chown(folder, user.pw_uid, user.pw_gid)
            account = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
        initdb = [programs / "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
        made = subprocess.run(
            [*initdb, "-D", folder / "data"], env=environment, cwd=folder, capture_output=True, text=True, check=False, **account
        )
        if made.returncode != 0:
            raise Problem(f"initdb does not make a database: {made.stderr.strip()[-500:]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = [f"-c{option}" for option in self.postgres]
        command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-h", "127.0.0.1", "-p", str(port), *options]
        self.server = self._run("postgres", command, environment, ending=signal.SIGINT, cwd=folder, **account)
        ready = "database system is ready to accept connections"
        self._until("the private PostgreSQL", self.server, "postgres", lambda: ready in self._log("postgres"))
        return f"postgres://postgres@127.0.0.1:{port}/postgres"

    def _static(self):
        """A token, and what the proxy must be told to know it."""
        token, tokens = secrets.token_hex(24), self.folder / "tokens.json"
        digest = hashlib.sha256(token.encode()).hexdigest()
        tokens.touch(mode=0o600)
        tokens.write_text(json.dumps({"tokens": [{"sha256": digest, "subject": SUBJECT}]}), encoding="utf-8")
        return token, {"SECA_AUTH_MODE": "static", "SECA_AUTH_TOKENS_FILE": str(tokens)}

    def _jwt(self):
        """The same, signed by a key of this run."""
        key, keys, issuers = self.folder / "key.json", self.folder / "jwks.json", self.folder / "issuers.json"
        keys.write_text(self._said("token", "keygen", "--out", key), encoding="utf-8")
        names = {"issuer": "https://conformance.invalid", "audience": "seca"}
        issuer = {"name": "own", **names, "algorithms": ["EdDSA"], "keys_file": str(keys)}
        issuers.write_text(json.dumps({"issuers": [issuer]}), encoding="utf-8")
        flags = [text for name, value in names.items() for text in (f"--{name}", value)]
        token = self._said("token", "issue", "--key", key, *flags, "--subject", SUBJECT, "--expires", "24h").strip()
        return token, {"SECA_AUTH_MODE": "jwt", "SECA_AUTH_ISSUERS_FILE": str(issuers)}

    def _said(self, *arguments):
        """What a command of the proxy prints."""
        command = [self.programs / "secapi-proxy", *arguments]
        made = subprocess.run(command, env={}, capture_output=True, text=True, check=False)
        if made.returncode != 0:
            raise Problem(f"secapi-proxy {arguments[0]} {arguments[1]} fails: {made.stderr.strip()[-500:]}")
        return made.stdout

    def _proxy(self, name, database_url, settings=None):
        """Starts a proxy: its process and its two URLs."""
        ready = self.folder / f"{name}.ready.json"
        environment = {
            "SECA_DATABASE_URL": database_url,
            "SECA_ADMIN_TOKEN": self.admin_token,
            "SECA_CREDENTIALS_KEY": self.key,
            **self.known,
            "SECA_BOOTSTRAP_ADMIN": ",".join(f"{tenant}/{SUBJECT}" for tenant in self.tenants),
            "SECA_LISTEN_ADDR": "127.0.0.1:0",
            "SECA_ADMIN_LISTEN_ADDR": "127.0.0.1:0",
            "SECA_TENANTS": ",".join(self.tenants.values()),
            "HCLOUD_ENDPOINT": self.endpoint,
            **self.settings,
            **(settings or {}),
        }
        environment = {name: value for name, value in environment.items() if value is not None}
        command = [self.programs / "secapi-proxy", "serve", "--ready-file", ready]
        process = self._run(name, command, environment, cwd=self.folder)

        def addresses():
            try:
                return json.loads(ready.read_text(encoding="utf-8"))
            except (FileNotFoundError, ValueError):
                return None

        found = self._until("the ready file of the proxy", process, name, addresses)
        return process, found["public"], found["admin"]

    def _provisioner(self):
        environment = {
            "SECA_ADMIN_TOKEN": self.admin_token,
            "SECA_ADMIN_BASE_URL": self.admin,
            "SECA_TOKEN_PROVISIONER_HETZNER_TOKEN": self.project_token,
            "SECA_TOKEN_PROVISIONER_INTERVAL": "0.5s",
        }
        self._run("token-provisioner", [self.programs / "token-provisioner"], environment, cwd=self.folder)

    def _bind(self, tenant):
        """Makes a workspace, waits until it is bound, and until the catalogue was read once: only then there are
        images. The workspace stays, so that the project stays known."""
        url = f"{self.public}/providers/seca.workspace/v1/tenants/{tenant}/workspaces/prepared"
        status, answer = call("PUT", url, self.token, {"metadata": {"region": self.region}, "spec": {}})
        if status not in (200, 201):
            raise Problem(f"the first workspace of tenant {tenant} is refused with {status}: {answer}")

        def active():
            status, answer = call("GET", url, self.token)
            return status == 200 and (answer.get("status") or {}).get("state") == "active"

        def images():
            status, answer = call("GET", f"{self.public}/providers/seca.storage/v1/tenants/{tenant}/images?limit=1", self.token)
            return status == 200 and answer.get("items")

        until(f"the first workspace of tenant {tenant}", active)
        until("the first refresh of the catalogue", images)


def postgres_programs():
    """The folder of `initdb` and `postgres`: from PATH, or where distributions put it, the newest first."""
    installed = Path("/usr/lib/postgresql")
    versions = sorted(installed.iterdir(), key=lambda path: int(path.name) if path.name.isdigit() else 0, reverse=True) if installed.is_dir() else []
    candidates = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    candidates += [version / "bin" for version in versions] + [Path("/usr/local/pgsql/bin")]
    for folder in candidates:
        if (folder / "initdb").is_file() and (folder / "postgres").is_file():
            return folder
    raise Problem("no PostgreSQL server is installed: apt-get install postgresql, or set CONFORMANCE_DATABASE to a URL")
