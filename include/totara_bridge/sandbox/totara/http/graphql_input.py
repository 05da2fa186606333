"""Arguments and variables become values of the types that the schema names, or an error as recorded.

Recorded: a variable whose number is none. Of the other wrong values only the shape of the answer is known.
"""

import json
from collections.abc import Mapping
from typing import Any

from totara_bridge.sandbox.totara.http.graphql_query import Operation, Variable, VariableDefinition

#: An input object type: its fields, each with its type as written in the schema.
Inputs = Mapping[str, Mapping[str, str]]

PAGES: Inputs = {
    "core_pagination_input": {"cursor": "String", "limit": "param_integer", "page": "param_integer"},
    "core_sort_input": {"column": "String!", "direction": "core_sort_direction_enum"},
}
DATE_FORMATS = (
    "TIMESTAMP ISO8601 DAYDATETIME TIME TIMESHORT DATE DATESHORT DATELONG DATETIME DATETIMESHORT DATETIMELONG "
    "DATETIMESECONDS"
)
_ENUMS = {
    "core_sort_direction_enum": frozenset({"ASC", "DESC"}),
    "core_format": frozenset({"RAW", "HTML", "PLAIN", "MARKDOWN", "JSON_EDITOR", "MOBILE"}),
    "core_date_format": frozenset(DATE_FORMATS.split()),
}


class InputError(ValueError):
    """A value that is not of its type; says which type was expected, and where in the value."""


class VariableError(ValueError):
    """A variable of the request is not what the operation declares."""

    def __init__(self, definition: VariableDefinition, words: str) -> None:
        """:param words: what is wrong with it."""
        super().__init__(words)
        self.location = definition.location


def variables_of(operation: Operation, given: Mapping[str, Any], inputs: Inputs) -> dict[str, Any]:
    """The variables that the operation declares and the request gives, or that have a default.

    :raises VariableError: one is not of its type, or missing where it may not be.
    """
    values = dict[str, Any]()
    for each in operation.variables:
        if each.name in given:
            values[each.name] = _variable(each, given[each.name], inputs)
        elif each.default is not None:
            values[each.name] = each.default
        elif each.type.endswith("!"):
            words = f'Variable "${each.name}" of required type "{each.type}" was not provided.'
            raise VariableError(each, words)
    return values


def arguments_of(
    given: Mapping[str, Any], wanted: Mapping[str, str], variables: Mapping[str, Any], inputs: Inputs
) -> dict[str, Any]:
    """The arguments that the field knows; those it does not know are ignored in silence, as recorded.

    :raises InputError: one is not of its type, or missing where it may not be.
    """
    values = dict[str, Any]()
    for name, kind in wanted.items():
        bound = _bound(given.get(name), variables)
        value = read(bound, kind, name, inputs)
        if value is not None:
            values[name] = value
    return values


def read(value: Any, kind: str, at: str, inputs: Inputs) -> Any:
    """A value of this type, without fields that the type does not have.

    :raises InputError: it is not of the type.
    """
    if kind.endswith("!"):
        if value is None:
            raise InputError(f"Expected non-nullable type {kind} not to be null at {at}.")
        return read(value, kind[:-1], at, inputs)
    if value is None:
        return None
    if kind.startswith("["):
        values = value if isinstance(value, list) else [value]
        return [read(each, kind[1:-1], f"{at}[{index}]", inputs) for index, each in enumerate(values)]
    if kind in inputs:
        return _object(value, kind, at, inputs)
    return _leaf(value, kind, at)


def _variable(definition: VariableDefinition, value: Any, inputs: Inputs) -> Any:
    try:
        return read(value, definition.type, "value", inputs)
    except InputError as error:
        shown = json.dumps(value, separators=(",", ":"))
        words = f'Variable "${definition.name}" got invalid value {shown}; {error}'
        raise VariableError(definition, words) from error


def _bound(value: Any, variables: Mapping[str, Any]) -> Any:
    if isinstance(value, Variable):
        return variables.get(value.name)
    if isinstance(value, dict):
        return {name: _bound(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_bound(each, variables) for each in value]
    return value


def _object(value: Any, kind: str, at: str, inputs: Inputs) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"Expected type {kind} to be an object at {at}.")
    fields = {name: read(value.get(name), of, f"{at}.{name}", inputs) for name, of in inputs[kind].items()}
    return {name: each for name, each in fields.items() if each is not None}


def _leaf(value: Any, kind: str, at: str) -> Any:
    expected = f"Expected type {kind} at {at}; "
    match kind:
        case "param_integer" | "core_id" | "Int":
            if isinstance(value, bool) or not str(value).removeprefix("-").isdecimal():
                raise InputError(f"{expected}Invalid parameter value detected")
            return int(value)
        case "Boolean":
            if not isinstance(value, bool):
                raise InputError(f"{expected}Boolean cannot represent a non boolean value: {json.dumps(value)}")
            return value
        case "String":
            if not isinstance(value, str):
                raise InputError(f"{expected}String cannot represent a non string value: {json.dumps(value)}")
            return value
    if value not in _ENUMS.get(kind, ()):
        raise InputError(f"{expected}{json.dumps(value)} is none of its values")
    return value
