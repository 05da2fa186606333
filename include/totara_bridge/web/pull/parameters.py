"""Reading the parameters of a request: each mistake is told, with the parameter's name and what to write instead."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from totara_bridge.web.pull.problem import invalid_parameter

Parameters = TypeVar("Parameters", bound=BaseModel)


def read(model: type[Parameters], query: Sequence[tuple[str, str]]) -> Parameters:
    """What the query asks for.

    :param model: its fields are the parameters, by their aliases; it forbids others.
    :raises Problem: names each parameter that is unknown, there twice, or not what it takes.
    """
    names = [each.alias or name for name, each in model.model_fields.items()]
    given = Counter(name for name, _ in query)
    faults = [(name, "It is there more than once: give it once.") for name, times in given.items() if times > 1]
    faults += [
        (name, f"There is no such parameter: choose of {', '.join(names)}.") for name in given if name not in names
    ]
    if faults:
        raise invalid_parameter(*faults)
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise invalid_parameter(*map(_fault, error.errors(include_url=False, include_input=False))) from None


def _fault(error: ErrorDetails) -> tuple[str, str]:
    words = error["msg"].removeprefix("Value error, ")
    return str(error["loc"][0]) if error["loc"] else "query", words[:1].upper() + words[1:] + "."
