"""A GraphQL document becomes one operation, or a syntax error in the words that Totara's own parser has for it.

The part of the language that clients of an API send: one operation with variables, arguments, aliases and nested
selections. Fragments and directives are refused, and so are several operations in one document.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

_TOKEN = re.compile(
    r"""(?P<ignored>[\s,\ufeff]+|\#[^\n\r]*)
    |(?P<punctuator>\.\.\.|[!$():=@\[\]{|}&])
    |(?P<Name>[_A-Za-z][_0-9A-Za-z]*)
    |(?P<Float>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))
    |(?P<Int>-?(?:0|[1-9][0-9]*))
    |(?P<String>"(?:[^"\\\n\r]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*")""",
    re.VERBOSE,
)
_END = "<EOF>"


class GraphqlSyntaxError(ValueError):
    """The document cannot be read; says what was expected, and where, counted from 1."""

    def __init__(self, words: str, location: "Location") -> None:
        """:param words: without the prefix that every such message has."""
        super().__init__(f"Syntax Error: {words}")
        self.location = location


@dataclass(frozen=True)
class Location:
    """Where something begins in the document, counted from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Variable:
    """A value that comes with the request."""

    name: str


@dataclass(frozen=True)
class VariableDefinition:
    """A variable that the operation takes; the type as written."""

    name: str
    type: str
    location: Location
    default: Any = None


@dataclass(frozen=True)
class Field:
    """A field that is asked for; values that are not constants are `Variable`."""

    name: str
    key: str  #: in the answer: the alias, or else the name
    location: Location
    arguments: dict[str, Any] = field(default_factory=dict)
    selections: tuple["Field", ...] = ()


@dataclass(frozen=True)
class Operation:
    """What one request asks for."""

    kind: str  #: ``query``, ``mutation`` or ``subscription``
    variables: tuple[VariableDefinition, ...]
    selections: tuple[Field, ...]

    def depth(self) -> int:
        """How deep it is, as Totara counts: fields with fields of their own below the first such field."""
        return max((_depth(each, 0) for each in self.selections), default=0)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    location: Location

    def __str__(self) -> str:
        return f'{self.kind} "{self.text}"' if self.kind in {"Name", "Int", "Float", "String"} else self.kind


def parse(document: str) -> Operation:
    """The one operation of a document.

    :raises GraphqlSyntaxError: it has none, or something that is not understood.
    """
    return _Parser(_tokens(document)).operation()


def _depth(asked: Field, above: int) -> int:
    if not asked.selections:
        return 0
    return max(above, *(_depth(each, above + 1) for each in asked.selections))


def _tokens(document: str) -> list[_Token]:
    tokens, at, line, line_start = list[_Token](), 0, 1, 0
    while at < len(document):
        location = Location(line, at - line_start + 1)
        found = _TOKEN.match(document, at)
        if found is None or found.lastgroup is None:
            unfinished = document[at] == '"'
            words = "Unterminated string." if unfinished else f"Cannot parse the unexpected character {document[at]!r}."
            raise GraphqlSyntaxError(words.replace("'", '"'), location)
        text = found.group()
        if found.lastgroup == "punctuator":
            tokens.append(_Token(text, text, location))
        elif found.lastgroup == "ignored":
            line += text.count("\n")
            line_start = at + text.rindex("\n") + 1 if "\n" in text else line_start
        else:
            tokens.append(_Token(found.lastgroup, text, location))
        at = found.end()
    return [*tokens, _Token(_END, "", Location(line, at - line_start + 1))]


class _Parser:
    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def operation(self) -> Operation:
        kind, variables = "query", tuple[VariableDefinition, ...]()
        if self._next.kind != "{":
            if self._next.text not in {"query", "mutation", "subscription"}:
                raise self._unexpected()
            kind = self._take("Name").text
            if self._next.kind == "Name":
                self._take("Name")
            variables = self._variables()
        operation = Operation(kind, variables, self._selections())
        if self._next.kind != _END:
            raise self._unexpected()
        return operation

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, kind: str) -> _Token:
        token = self._next
        if token.kind != kind:
            raise GraphqlSyntaxError(f"Expected {kind}, found {token}", token.location)
        self._at += 1
        return token

    def _is_next(self, kind: str) -> bool:
        """Whether the next token is of this kind; it is taken if so."""
        if self._next.kind != kind:
            return False
        self._at += 1
        return True

    def _unexpected(self) -> GraphqlSyntaxError:
        return GraphqlSyntaxError(f"Unexpected {self._next}", self._next.location)

    def _variables(self) -> tuple[VariableDefinition, ...]:
        definitions = list[VariableDefinition]()
        if not self._is_next("("):
            return ()
        while not definitions or not self._is_next(")"):
            location = self._take("$").location
            name = self._take("Name").text
            self._take(":")
            kind = self._type()
            default = self._value() if self._is_next("=") else None
            definitions.append(VariableDefinition(name, kind, location, default))
        return tuple(definitions)

    def _type(self) -> str:
        if self._is_next("["):
            kind = f"[{self._type()}]"
            self._take("]")
        else:
            kind = self._take("Name").text
        return f"{kind}!" if self._is_next("!") else kind

    def _selections(self) -> tuple[Field, ...]:
        fields = list[Field]()
        self._take("{")
        while not fields or not self._is_next("}"):
            fields.append(self._field())
        return tuple(fields)

    def _field(self) -> Field:
        first = self._take("Name")
        name = self._take("Name").text if self._is_next(":") else first.text
        arguments = self._pairs("(", ")")
        selections = self._selections() if self._next.kind == "{" else ()
        return Field(name, first.text, first.location, arguments, selections)

    def _pairs(self, opening: str, closing: str) -> dict[str, Any]:
        pairs = dict[str, Any]()
        if not self._is_next(opening):
            return pairs
        while not (self._is_next(closing) if pairs or opening == "{" else False):
            name = self._take("Name").text
            self._take(":")
            pairs[name] = self._value()
        return pairs

    def _value(self) -> Any:
        token = self._next
        if token.kind == "{":
            return self._pairs("{", "}")
        self._at += 1
        match token.kind:
            case "$":
                return Variable(self._take("Name").text)
            case "[":
                values = []
                while not self._is_next("]"):
                    values.append(self._value())
                return values
            case "Int" | "Float" | "String":
                return json.loads(token.text, strict=False)
            case "Name":
                return {"true": True, "false": False, "null": None}.get(token.text, token.text)
        self._at -= 1
        raise self._unexpected()
