"""The small shapes that the schemas of the OpenAPI document are put together from."""

from typing import Any

Schema = dict[str, Any]

LARGEST = 2**63 - 1

TEXT: Schema = {"type": "string"}
STORABLE: Schema = {"type": "string", "pattern": "^[^\\u0000]*$"}
FLAG: Schema = {"type": "boolean"}
TIME: Schema = {"type": "string", "format": "date-time", "description": "Of UTC."}
COUNT: Schema = {"type": "integer", "format": "int64", "minimum": 0}
TOTARA_ID: Schema = {"type": "integer", "format": "int64", "minimum": 0, "maximum": LARGEST}
VERSION: Schema = {"type": "integer", "format": "int64", "minimum": 1, "maximum": LARGEST}
SITE: Schema = {"type": "string", "pattern": "^[a-z]{2,8}$", "description": "The code of a Totara."}


def ref(name: str) -> Schema:
    """A schema of the document, by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def described(schema: Schema, description: str) -> Schema:
    """The same, with words."""
    return schema | {"description": description}


def or_none(schema: Schema, description: str | None = None) -> Schema:
    """The same, or null."""
    words = {} if description is None else {"description": description}
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]} | words
    return schema | {"type": [schema["type"], "null"]} | words


def array(of: str, description: str) -> Schema:
    """A list of a schema of the document."""
    return {"type": "array", "items": ref(of), "description": description}


def record(description: str, properties: Schema, *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties and no others; all but the optional ones are always there."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [each for each in properties if each not in optional],
        "additionalProperties": False,
    }
