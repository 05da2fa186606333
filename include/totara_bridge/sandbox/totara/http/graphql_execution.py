"""One operation is answered field by field: unknown fields are left out in silence, complexity is counted.

As recorded on 17.3: an answer without any field is the empty list ``[]``; a field that may not be null takes its
parent with it when it fails; an answer with nothing but errors has no ``data``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from totara_bridge.sandbox.totara.http.graphql_input import InputError, Inputs, arguments_of
from totara_bridge.sandbox.totara.http.graphql_query import Field, Location, Operation
from totara_bridge.sandbox.totara.http.graphql_switches import GraphqlSwitches
from totara_bridge.sandbox.totara.http.site import Site

#: Where a value stands in the answer: keys of objects, numbers of list items.
Path = tuple[str | int, ...]
_QUERY = "Query"
#: Of a maximum of 100, the 99th field that is resolved was the first to be refused (measured).
_BEGINS_WITH = 2


class FieldError(Exception):
    """A field has no value; the reason is told only where the site tells such reasons."""

    def __init__(self, reason: str = "", *, message: str = "Internal server error", category: str = "internal") -> None:
        """:param reason: the debug message; none: the message says it all."""
        super().__init__(reason or message)
        self.reason = reason
        self.message = message
        self.category = category


class _NothingLeftError(Exception):
    """A field that may not be null failed: so does what it is a field of."""


@dataclass(frozen=True)
class FieldType:
    """A field of a type, and how it gets its value."""

    of: str = ""  #: the type of object that it gives; none: a plain value
    many: bool = False
    required: bool = False  #: it is never null
    arguments: Mapping[str, str] = field(default_factory=dict)
    #: From the row, the arguments and the execution; none: what the row has by the field's name.
    resolve: Callable[[Any, dict[str, Any], "Execution"], Any] | None = None
    cost: int = 1


@dataclass(frozen=True)
class Schema:
    """What can be asked."""

    types: Mapping[str, Mapping[str, FieldType]]
    inputs: Inputs


class Execution:
    """One operation's answer in the making, and what its fields share."""

    def __init__(self, site: Site, switches: GraphqlSwitches, schema: Schema, variables: Mapping[str, Any]) -> None:
        """:param variables: as the operation declares them."""
        self.site = site
        self.switches = switches
        self.complexity = 0
        self.errors: list[dict[str, Any]] = []
        self._schema = schema
        self._variables = variables
        self._kept: dict[Any, Any] = {}

    def run(self, operation: Operation) -> Any:
        """The data; none where an error left nothing of it."""
        try:
            return self._object(_QUERY, {}, operation.selections, ())
        except _NothingLeftError:
            return None

    def once(self, key: Any, load: Callable[[], Any]) -> Any:
        """What is loaded at the first call with this key, for the length of the operation."""
        if key not in self._kept:
            self._kept[key] = load()
        return self._kept[key]

    def _object(self, kind: str, source: Any, selections: tuple[Field, ...], path: Path) -> Any:
        values = dict[str, Any]()
        for asked in selections:
            known = self._schema.types[kind].get(asked.name)
            if known is not None:
                values[asked.key] = self._field(known, source, asked, (*path, asked.key))
            elif asked.name == "__typename":
                values[asked.key] = kind
        return values or []

    def _field(self, known: FieldType, source: Any, asked: Field, path: Path) -> Any:
        try:
            return self._complete(known, self._resolve(known, source, asked), asked, path)
        except FieldError as error:
            self.errors.append(described(error, self.switches, location=asked.location, path=path))
            if known.required:
                raise _NothingLeftError from error
        except _NothingLeftError:
            if known.required:
                raise
        return None

    def _resolve(self, known: FieldType, source: Any, asked: Field) -> Any:
        self.complexity += known.cost
        most = self.switches.maximum_complexity
        if self.complexity + _BEGINS_WITH > most:
            words = f"Query complexity exceeded maximum allowed complexity of {most}."
            raise FieldError(message=words, category="query_complexity")
        try:
            arguments = arguments_of(asked.arguments, known.arguments, self._variables, self._schema.inputs)
        except InputError as error:
            raise FieldError(f'Argument of "{asked.name}" has an invalid value; {error}') from error
        return source.get(asked.name) if known.resolve is None else known.resolve(source, arguments, self)

    def _complete(self, known: FieldType, value: Any, asked: Field, path: Path) -> Any:
        if value is None or not known.of:
            return value
        if not known.many:
            return self._object(known.of, value, asked.selections, path)
        return [self._object(known.of, row, asked.selections, (*path, at)) for at, row in enumerate(value)]


def described(
    error: FieldError, switches: GraphqlSwitches, *, location: Location | None = None, path: Path = ()
) -> dict[str, Any]:
    """An error as it stands in an answer."""
    said: dict[str, Any] = {"message": error.message, "extensions": {"category": error.category}}
    if error.reason and switches.response_debug:
        said = {"debugMessage": error.reason, **said}
    if location is not None:
        said["locations"] = [{"line": location.line, "column": location.column}]
    if path:
        said["path"] = list(path)
    return said
