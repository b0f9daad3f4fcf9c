"""Workspaces, each bound to a project of the simulator that it has to itself."""

import json
import urllib.error
import urllib.request

from conformance_kit import Problem, stack

from .running import TENANT, Client


def post(url, token, document, method="POST"):
    request = urllib.request.Request(url, method=method, data=json.dumps(document).encode())
    request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with stack.OPENER.open(request, timeout=60) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        raise Problem(f"{method} {url} is answered with {error.code}: {error.read().decode()[:300]}") from error


def stop_provisioner(running):
    """It would bind each workspace to the one project that it knows."""
    for process, ending in running.processes:
        if str(process.args[0]).endswith("token-provisioner"):
            process.send_signal(ending)
            process.wait()


def bound(running, name):
    """Makes a workspace and binds it to a project of its own."""
    path = f"{running.place}/seca.workspace/{running.tenant}/workspaces/{name}"
    status, _, text = Client(running.public).ask("PUT", path, json.dumps({"spec": {}}))
    if status != 201:
        raise Problem(f"PUT {path} is answered with {status}: {text[:300]}")
    simulator = running.endpoint.removesuffix("/v1")
    token = post(f"{simulator}/_sim/projects", None, {"name": name})["project"]["token"]
    bind = f"{running.admin}/admin/v1/tenants/{TENANT}/workspaces/{name}/providers/hetzner"
    post(bind, running.admin_token, {"apiToken": token}, method="PUT")
