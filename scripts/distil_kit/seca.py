"""The facts of SECA's OpenAPI documents: the operations of the providers that are served, and all that they name."""

import re

from . import Problem, schema

SERVED = ("foundation.*.yaml", "extensions.wellknown.*.yaml")
METHODS = {"get", "put", "post", "delete", "patch", "head", "options", "trace"}
# The members of an operation that no request depends on.
LEFT_OUT = {"tags", "summary", "description"}


def facts(folder):
    return Documents(folder).distil()


class Documents:
    """The documents of a folder; the facts of what was named so far are in `documents`, by file."""

    def __init__(self, folder):
        self.folder, self.read, self.documents, self.named = folder, {}, {}, []

    def distil(self):
        files = sorted(path for pattern in SERVED for path in self.folder.glob(pattern))
        if not files:
            raise Problem(f"{self.folder} holds no {' or '.join(SERVED)}")
        versions = {version(path) for path in files}
        if len(versions) != 1:
            raise Problem(f"the documents in {self.folder} are of several versions: {sorted(versions)}")
        for path in files:
            document = self.load(path.name)
            self.documents[path.name] = {
                "security": document.get("security", []),
                "paths": {at: self.item(path.name, at, item) for at, item in document["paths"].items()},
            }
        while self.named:
            self.component(*self.named.pop())
        return {"from": versions.pop(), "documents": dict(sorted(self.documents.items()))}

    def load(self, name):
        if name not in self.read:
            within = self.folder / "schemas" / name
            self.read[name] = load(within if within.is_file() else self.folder / name)
        return self.read[name]

    def item(self, file, path, item):
        unknown = item.keys() - METHODS
        if unknown:
            raise Problem(f"{file}: {path} has {sorted(unknown)}, which scripts/distil_kit/seca.py does not know")
        return {method: self.operation(file, f"{method} {path}", operation) for method, operation in item.items()}

    def operation(self, file, place, operation):
        read = {
            "operationId": lambda value: value,
            "security": lambda value: value,
            "parameters": lambda value: [self.either(file, place, each, self.parameter) for each in value],
            "requestBody": lambda value: self.either(file, place, value, self.body),
            "responses": lambda value: {
                str(status): self.either(file, place, each, self.body) for status, each in value.items()
            },
        }
        unknown = operation.keys() - read.keys() - LEFT_OUT
        if unknown:
            raise Problem(f"{file}: {place} has {sorted(unknown)}, which scripts/distil_kit/seca.py does not know")
        return {name: read[name](value) for name, value in operation.items() if name in read}

    def either(self, file, place, value, read):
        """A reference, or what `read` makes of the value."""
        return {"$ref": self.reference(file, value["$ref"])} if "$ref" in value else read(file, place, value)

    def parameter(self, file, place, value):
        kept = {name: value[name] for name in ("name", "in", "required") if name in value}
        return {**kept, "schema": self.schema(file, place, value["schema"])}

    def body(self, file, place, value):
        """A request or an answer."""
        kept = {"required": value["required"]} if "required" in value else {}
        if "content" in value:
            kept["content"] = {
                media: {"schema": self.schema(file, place, content["schema"])}
                for media, content in value["content"].items()
            }
        return kept

    def schema(self, file, place, value):
        def more(name, value):
            if name == "$ref":
                return name, self.reference(file, value)
            if name == "x-oapi-codegen-extra-tags":
                return "x-cel-rules", [rule for tag, rule in value.items() if tag.startswith("x-cel-rule")]
            return None

        return schema(value, f"{file}: {place}", more)

    def reference(self, file, reference):
        """The reference with the name of the file, without its folder; what it names is distilled later."""
        path, pointer = reference.split("#")
        target = path.rsplit("/", 1)[-1] or file
        group, name = re.fullmatch(r"/components/(schemas|parameters|responses)/([^/]+)", pointer).groups()
        self.named.append((target, group, name))
        return f"{target}#{pointer}"

    def component(self, file, group, name):
        components = self.documents.setdefault(file, {}).setdefault("components", {}).setdefault(group, {})
        if name in components:
            return
        value = self.load(file)["components"][group][name]
        read = {"schemas": self.schema, "parameters": self.parameter, "responses": self.body}[group]
        components[name] = self.either(file, name, value, read) if group != "schemas" else read(file, name, value)


def version(path):
    found = re.match(r"# .* of (\S+/spec v\S+ \(commit \w+\))", path.read_text(encoding="utf-8"))
    if not found:
        raise Problem(f"the first line of {path} does not name its version")
    return found.group(1)


def load(path):
    try:
        import yaml
    except ImportError:
        raise Problem("PyYAML is not there: python3 -m pip install pyyaml") from None

    class Loader(yaml.SafeLoader):
        """YAML 1.2 as far as these documents go: `on` and `off` are words, and a date is a text."""

    tags = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp"}
    Loader.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in known if tag not in tags]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
    with path.open(encoding="utf-8") as file:
        return yaml.load(file, Loader)
