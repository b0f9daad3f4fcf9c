"""What the distilled documents have in common: which members of a schema are facts, and how they are written."""

import json

WIDTH = 120

# What a value must be.
FACTS = {
    "$ref", "additionalProperties", "allOf", "default", "deprecated", "enum", "format", "items", "maxItems", "maxLength",
    "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "nullable", "oneOf", "pattern",
    "properties", "readOnly", "required", "type", "x-extensible-enum",
}  # fmt: skip
# What is said to people and to generators of code.
PROSE = {"description", "example", "summary", "title"}
PROSE_PREFIXES = ("x-enumNames", "x-go-", "x-kubebuilder-")


class Problem(Exception):
    """A sentence for whoever called the script."""


def schema(value, place, more=lambda name, value: None):
    """The facts of a schema. `more` gives the fact, a name and a value, that stands in another member, or nothing.

    A member that is neither a fact nor prose is a problem, so that no fact is dropped because nobody knows it.
    """

    def inner(part, name):
        return schema(part, f"{place}/{name}", more)

    facts = {}
    for name, part in value.items():
        extra = more(name, part)
        if extra:
            facts[extra[0]] = extra[1]
        elif name == "properties":
            facts[name] = {member: inner(part[member], member) for member in part}
        elif name in ("allOf", "oneOf"):
            facts[name] = [inner(each, name) for each in part]
        elif name == "items" or name == "additionalProperties" and isinstance(part, dict):
            facts[name] = inner(part, name)
        elif name in FACTS:
            facts[name] = part
        elif name not in PROSE and not name.startswith(PROSE_PREFIXES):
            raise Problem(f"{place}: {name} is not known to be a fact or prose; scripts/distil_kit must say which")
    return facts


def text(value):
    """JSON in which whatever fits into a line stands in one: for people, and for diffs."""
    return lines(value, "", "") + "\n"


def lines(value, indent, before):
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(before) + len(line) < WIDTH or not isinstance(value, (dict, list)) or not value:
        return indent + before + line
    if isinstance(value, dict):
        parts = [lines(part, indent + " ", f"{json.dumps(name, ensure_ascii=False)}: ") for name, part in value.items()]
        opening, closing = "{", "}"
    else:
        parts = [lines(part, indent + " ", "") for part in value]
        opening, closing = "[", "]"
    return f"{indent}{before}{opening}\n" + ",\n".join(parts) + f"\n{indent}{closing}"
