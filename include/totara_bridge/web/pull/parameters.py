"""Reading the parameters of a request: each mistake is told, with the parameter's name and what to write instead."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from totara_bridge.web.problem import invalid_parameter

Parameters = TypeVar("Parameters", bound=BaseModel)


class Nothing(BaseModel):
    """There are no parameters."""

    model_config = ConfigDict(extra="forbid")


def read(model: type[Parameters], query: Sequence[tuple[str, str]]) -> Parameters:
    """What the query asks for.

    :param model: its fields are the parameters, by their aliases; it forbids others.
    :raises Problem: names each parameter that is unknown, there twice, or not what it takes.
    """
    names = [each.alias or name for name, each in model.model_fields.items()]
    given = Counter(name for name, _ in query)
    faults = [(name, "It is there more than once: give it once.") for name, times in given.items() if times > 1]
    instead = f"choose of {', '.join(names)}" if names else "leave it out, as there are none here"
    faults += [(name, f"There is no such parameter: {instead}.") for name in given if name not in names]
    if faults:
        raise invalid_parameter(*faults)
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise invalid_parameter(*map(_fault, error.errors(include_url=False, include_input=False))) from None


def sentence(error: ErrorDetails) -> str:
    """What is wrong and what to write instead, as a sentence."""
    if error["type"] == "value_error":  # our own words
        words = error["msg"].removeprefix("Value error, ")
        return words[:1].upper() + words[1:] + "."
    return _WORDS.get(error["type"], _ANYTHING_ELSE).format(**error.get("ctx", {}))


_WORDS = {
    "missing": "It is missing: add it.",
    "greater_than_equal": "It is too small: write {ge} or greater.",
    "less_than_equal": "It is too large: write {le} or less.",
    "int_type": "It is no whole number: write it in digits, without quotation marks.",
    "string_type": "It is no text: write it in quotation marks.",
    "string_unicode": "It holds half of a character: take it out.",
    "string_too_short": "It is too short: write at least {min_length} character, or leave it out.",
    "string_too_long": "It is too long: write {max_length} characters at most.",
    "enum": "It is none that there is: write {expected}.",
}
_ANYTHING_ELSE = "It is not what it can be: look it up in openapi.json."


def _fault(error: ErrorDetails) -> tuple[str, str]:
    return str(error["loc"][0]) if error["loc"] else "query", sentence(error)
