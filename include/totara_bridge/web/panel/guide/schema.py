"""The OpenAPI document in tables: what a parameter takes, and what stands in a body."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

Schema = Mapping[str, Any]


class Reader:
    """Follows the references of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """It is not changed."""
        self._document = document

    def found(self, said: Schema) -> Schema:
        """What a reference stands for; anything else is itself."""
        while "$ref" in said:
            place: Any = self._document
            for step in said["$ref"].removeprefix("#/").split("/"):
                place = place[step]
            said = place
        return said

    def takes(self, schema: Schema) -> str:
        """What a value may be, in words."""
        schema = self.found(schema)
        if "anyOf" in schema:
            return " or ".join(dict.fromkeys(self.takes(each) for each in schema["anyOf"]))
        if "enum" in schema:
            return ", ".join(f"`{each}`" for each in schema["enum"])
        kind = schema["type"]
        if isinstance(kind, list):
            return " or ".join("null" if each == "null" else self.takes({**schema, "type": each}) for each in kind)
        if kind == "array":
            one = self.found(schema["items"])
            return f"one or several, with commas between, of {self.takes(one)}" if "enum" in one else "list"
        return _NAMES.get(str(schema.get("format")), str(kind)) + _bounds(schema)

    def fields(self, schema: Schema, prefix: str = "") -> Iterator[tuple[str, str, str]]:
        """Each field's path, what it may be, and its description; of lists the fields of one element, with ``[]``."""
        schema = self.found(schema)
        if schema.get("type") == "array":
            yield from self.fields(schema["items"], prefix + "[].")
            return
        for name, each in schema.get("properties", {}).items():
            path = prefix + name
            told = self.found(each)
            yield path, self.takes(each), str(each.get("description") or told.get("description", ""))
            inner = next((one for one in each.get("anyOf", [each]) if self._has_fields(one)), None)
            if inner is not None:
                listed = self.found(inner).get("type") == "array"
                yield from self.fields(inner, path if listed else path + ".")

    def _has_fields(self, schema: Schema) -> bool:
        schema = self.found(schema)
        return "properties" in self.found(schema["items"] if schema.get("type") == "array" else schema)


_NAMES = {"date-time": "time", "date": "date", "int64": "integer"}


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None and high < 2**53:
        return f", {low} to {high}"
    longest = schema.get("maxLength")
    return "" if longest is None else f", {longest} characters at most"


def in_query(parameter: Mapping[str, Any], value: object = None) -> str:
    """A parameter in an address.

    :param value: none: the document's example.
    """
    shown = parameter.get("example", parameter["schema"].get("default")) if value is None else value
    told = ",".join(map(str, shown)) if isinstance(shown, list) else str(shown)
    told = told.lower() if isinstance(shown, bool) else told
    return f"{parameter['name']}={quote(told, safe=',:@')}"
