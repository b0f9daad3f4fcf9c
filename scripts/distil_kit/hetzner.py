"""The facts of Hetzner's OpenAPI document: all its operations, and whatever is sent and answered by those in use."""

import hashlib
import json
from collections import Counter

from . import Problem, schema

# The first segment of the paths that the client calls or the simulator answers.
IN_USE = {
    "actions", "firewalls", "images", "locations", "networks", "placement_groups", "pricing", "primary_ips",
    "server_types", "servers", "ssh_keys", "volumes",
}  # fmt: skip
# The last segment of those among them that neither has.
NOT_IN_USE = {"attach_iso", "detach_iso", "disable_backup", "enable_backup", "metrics", "request_console"}
METHODS = {"get", "put", "post", "delete"}
ERRORS = ("4xx", "5xx")


def facts(path):
    original = path.read_bytes()
    document = json.loads(original)
    errors = {status: {json.dumps(error_of(operation, status)) for _, _, operation in operations(document)} for status in ERRORS}
    for status, bodies in errors.items():
        if len(bodies) != 1:
            raise Problem(f"{path}: operations differ in what they answer with {status}; distil_kit/hetzner.py takes them for equal")
    paths = {}
    for at, method, value in operations(document):
        paths.setdefault(at, {})[method] = operation(f"{method} {at}", value) if is_in_use(at) else {}
    repeated = Repeated(paths)
    digest = hashlib.sha256(original).hexdigest()
    return {
        "from": f"{document['info']['title']} {document['info']['version']}, the file with the SHA-256 {digest}",
        "responses": {status: json.loads(body) for status, (body,) in errors.items()},
        "paths": repeated.named(paths, ""),
        "schemas": dict(sorted(repeated.schemas.items())),
    }


class Repeated:
    """Objects that the document spells out in many places get a name, that of the member which holds them first."""

    def __init__(self, paths):
        self.counts, self.names, self.schemas = Counter(), {}, {}
        self.count(paths)

    def count(self, value):
        if is_object(value):
            self.counts[json.dumps(value)] += 1
        for part in parts(value):
            self.count(part)

    def named(self, value, member):
        """The value with references for what occurs more than once."""
        # The schema of a whole body has no member that could name it.
        if is_object(value) and member != "schema" and self.counts[json.dumps(value)] > 1:
            return {"$ref": f"#/schemas/{self.name(value, member)}"}
        return self.within(value, member)

    def within(self, value, member):
        if isinstance(value, dict):
            return {name: self.named(part, member if name == "items" else name) for name, part in value.items()}
        return [self.named(part, member) for part in value] if isinstance(value, list) else value

    def name(self, value, member):
        text = json.dumps(value)
        if text not in self.names:
            taken = {name for name in self.names.values() if name.rstrip("0123456789") == member}
            self.names[text] = f"{member}{len(taken) + 1}" if taken else member
            self.schemas[self.names[text]] = self.within(value, member)
        return self.names[text]


def is_object(value):
    return isinstance(value, dict) and isinstance(value.get("properties"), dict) and "type" in value


def parts(value):
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def operations(document):
    for at, item in document["paths"].items():
        unknown = item.keys() - METHODS
        if unknown:
            raise Problem(f"{at} has {sorted(unknown)}, which scripts/distil_kit/hetzner.py does not know")
        for method, value in item.items():
            yield at, method, value


def is_in_use(path):
    segments = path.split("/")
    return segments[1] in IN_USE and segments[-1] not in NOT_IN_USE


def error_of(value, status):
    return body(status, value["responses"][status])


def operation(place, value):
    kept = {}
    if "parameters" in value:
        kept["parameters"] = [parameter(place, each) for each in value["parameters"]]
    if "requestBody" in value:
        kept["requestBody"] = body(place, value["requestBody"])
    answers = {status: each for status, each in value["responses"].items() if status not in ERRORS}
    kept["responses"] = {status: body(f"{place} {status}", each) for status, each in answers.items()}
    return kept


def parameter(place, value):
    kept = {name: value[name] for name in ("name", "in", "required") if name in value}
    return {**kept, "schema": of_schema(place, value["schema"])}


def body(place, value):
    """A request or an answer. Examples are values, which the client must be able to read: they stay."""
    kept = {"required": value["required"]} if "required" in value else {}
    if "content" in value:
        kept["content"] = {media: of_media(place, content) for media, content in value["content"].items()}
    return kept


def of_media(place, content):
    kept = {"schema": of_schema(place, content["schema"])}
    if "example" in content:
        kept["example"] = content["example"]
    if "examples" in content:
        kept["examples"] = {name: {"value": each["value"]} for name, each in content["examples"].items()}
    return kept


def of_schema(place, value):
    return schema(value, place, lambda name, value: (name, value) if name == "example" else None)
