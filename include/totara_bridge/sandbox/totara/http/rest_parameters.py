"""What a web service function takes, and the reading of it out of form fields such as ``options[0][name]``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from totara_bridge.sandbox.totara.http.refusal import Refusal, bad_parameter

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)$")
_KEY = re.compile(r"\[([^\[\]]*)\]")
_INTEGER = re.compile(r"(?:0|-?[1-9][0-9]*)$")

#: What is left where a parameter need not be given.
REQUIRED = object()


@dataclass(frozen=True)
class Scalar:
    """One value."""

    read: Callable[[str], Any]
    default: Any = REQUIRED


@dataclass(frozen=True)
class Several:
    """A list."""

    of: "Kind"
    default: Any = REQUIRED


@dataclass(frozen=True)
class Structure:
    """Named values; no others may be given."""

    fields: Mapping[str, "Kind"]
    default: Any = REQUIRED


Kind = Scalar | Several | Structure


def integer(text: str) -> int:
    """A whole number, written as PHP writes it."""
    if not _INTEGER.match(text):
        raise ValueError("a whole number is expected")
    return int(text)


def boolean(text: str) -> bool:
    """0 or 1, and nothing else that PHP may take for either."""
    if text not in {"0", "1"}:
        raise ValueError("0 or 1 is expected")
    return text == "1"


def word(text: str) -> str:
    """Letters, digits, hyphens and underscores."""
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise ValueError("letters, digits, hyphens and underscores are expected")
    return text


def anything(text: str) -> str:
    """Any text."""
    return text


def nested(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """The fields as PHP nests them: a later one takes the place of an earlier one of the same name."""
    root: dict[str, Any] = {}
    for name, value in fields:
        match = _NAME.match(name)
        if match is None:
            continue
        place, last = root, match[1]
        for key in _KEY.findall(match[2]):
            below = place.get(last)
            if not isinstance(below, dict):
                below = place[last] = {}
            place, last = below, key or str(len(below))
        place[last] = value
    return root


def validated(given: Any, kind: Kind, where: str = "") -> Any:
    """What was given, as the function takes it.

    :raises Refusal: something is missing, too many or of another type.
    """
    if isinstance(kind, Scalar):
        return _scalar(given, kind, where)
    if not isinstance(given, dict):
        raise _refusal(where, "a list or a structure is expected")
    if isinstance(kind, Several):
        return [validated(one, kind.of, f"{where}[{key}]") for key, one in given.items()]
    surplus = set(given) - set(kind.fields)
    if surplus:
        raise _refusal(where, f"unexpected keys ({', '.join(sorted(surplus))})")
    return {name: _field(given, name, one, where) for name, one in kind.fields.items()}


def _field(given: dict[str, Any], name: str, kind: Kind, where: str) -> Any:
    if name in given:
        return validated(given[name], kind, f"{where}.{name}")
    if kind.default is REQUIRED:
        raise _refusal(where, f"the required key {name} is missing")
    return kind.default


def _scalar(given: Any, kind: Scalar, where: str) -> Any:
    if not isinstance(given, str):
        raise _refusal(where, "a single value is expected")
    try:
        return kind.read(given)
    except ValueError as error:
        raise _refusal(where, str(error)) from error


def _refusal(where: str, why: str) -> Refusal:
    return bad_parameter(f"{where.lstrip('.') or 'parameters'}: {why}")
