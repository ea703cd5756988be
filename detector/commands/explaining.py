"""`config explain`: every setting there is, in words: what it means, what it takes, and its variable.

JSON Schema of the settings -> entries -> two lines each
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from detector.config import variable_of


class Entry(NamedTuple):
    """One setting."""

    name: str
    """As `config show` writes it; `[]` stands for any place in a list, `{}` for any name."""
    meaning: str
    takes: str
    default: str
    """As JSON; empty where it must be given."""
    variable: str
    """Of the environment."""

    def is_in(self, name: str) -> bool:
        """Whether it is what `name` says, or in that section."""
        return self.name == name or self.name.startswith((f"{name}.", f"{name}[", f"{name}{{"))

    def lines(self) -> Iterator[str]:
        """The setting and what it means, and below it the rest."""
        yield f"{self.name}  {self.meaning}".rstrip()
        default = f"default {self.default}" if self.default else "must be given"
        yield f"    {self.takes}; {default}; {self.variable}"


def entries(schema: Mapping[str, Any]) -> Iterator[Entry]:
    """Every setting of the schema, sections taken apart."""
    return _below(schema["$defs"], schema, "", (), "")


def _below(
    parts: Mapping[str, Any], schema: Mapping[str, Any], name: str, keys: tuple[str, ...], default: str
) -> Iterator[Entry]:
    """What stands at one place of the schema: a section's settings, or a setting.

    `keys` lead to it, or to the list that it is in: of what stands in a list the variable is that of the whole.
    """
    section, many = _section(schema)
    if section is None:
        yield Entry(name, schema.get("description", ""), _takes(schema), default, variable_of(keys))
        return
    for field, below in parts[section]["properties"].items():
        given = orjson.dumps(below["default"]).decode() if "default" in below else ""
        yield from _below(
            parts, below, f"{name}{many}.{field}".lstrip("."), keys if many or "[" in name else (*keys, field), given
        )


def _section(schema: Mapping[str, Any]) -> tuple[str | None, str]:
    """The name of the section that stands here, if one does, and how many of it."""
    for place, many in ((schema, ""), (schema.get("items"), "[]"), (schema.get("additionalProperties"), "{}")):
        if isinstance(place, dict) and "$ref" in place:
            return place["$ref"].rpartition("/")[2], many
    return None, ""


def _takes(schema: Mapping[str, Any]) -> str:
    """Kind and bounds, in words."""
    if "anyOf" in schema:
        return " or ".join(_takes(one) for one in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"a list of {_takes(schema['items'])}" if schema.get("items") else "a list"
    if kind == "object":
        return f"names with {_takes(schema['additionalProperties'])} each"
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{kind} from {least} to {most}"
    if least is not None:
        return f"{kind} of at least {least}"
    return f"{kind} that matches {schema['pattern']}" if "pattern" in schema else kind
