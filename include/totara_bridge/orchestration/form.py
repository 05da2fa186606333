"""What a person can ask of a DAG run: one model gives the trigger form its fields and checks what comes of it.

Airflow checks each field by itself when a run is triggered; what it lets through, a key that is no field and fields
that do not fit together, fails the run's first task with one sentence.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from airflow.sdk import Param
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from totara_bridge.errors import RequestInvalid

#: What `Param` has a place for of a field's JSON schema.
_KEPT = (
    "title", "description", "format", "enum", "minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength",
    "pattern", "items", "minItems", "maxItems", "uniqueItems", "examples", "values_display", "section",
)  # fmt: skip


class Form(BaseModel):
    """The fields of a trigger form, each with a title and a description; none means: as in the settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _without_empty_lines(cls, given: Any) -> Any:
        return {name: _filled_lines(value) if isinstance(value, list) else value for name, value in given.items()}


_Form = TypeVar("_Form", bound=Form)


def params_of(form: type[Form], **choices: Sequence[str]) -> dict[str, Param]:
    """The ``params`` of a DAG.

    :param choices: by the field's name, what can be chosen where bridge.toml says it: codes of sites or destinations.
    """
    schema = form.model_json_schema()
    required = schema.get("required", ())
    return {
        name: _param(field, choices.get(name), required=name in required)
        for name, field in schema.get("properties", {}).items()
    }


def filled_in(form: type[_Form], params: Mapping[str, Any]) -> _Form:
    """What the run was asked to do.

    :param params: the run's, which Airflow has put together from the defaults and the run's configuration.
    :raises RequestInvalid: a key is no field of the form, a value is out of bounds, or values do not fit together.
    """
    try:
        return form.model_validate(dict(params))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
    unknown = [str(each["loc"][0]) for each in faults if each["type"] == "extra_forbidden"]
    if unknown:
        known = ", ".join(form.model_fields) or "none at all"
        raise RequestInvalid(f"This DAG has no parameter {', '.join(unknown)} (it has {known}): correct the name.")
    raise RequestInvalid("; ".join(map(_sentence, faults)) + ".")


def asked_by(dag_run: Any) -> str:
    """The user who triggered the run; the DAG itself where its schedule did."""
    return str(dag_run.triggering_user_name or dag_run.dag_id)


def _param(field: dict[str, Any], choices: Sequence[str] | None, *, required: bool) -> Param:
    kinds = [{**field, **kind} for kind in field.get("anyOf", [field])]
    given = {name: value for kind in kinds for name, value in kind.items() if name in _KEPT}
    types = [kind["type"] for kind in kinds]
    if "enum" in (entry := given.get("items", {})):
        given.setdefault("examples", entry["enum"])  # they make the form a choice of several
    elif entry:
        given["items"] = _line(entry)
    if choices is not None and "array" in types:
        given |= {"items": {"type": "string", "enum": list(choices)}, "examples": list(choices)}
    elif choices is not None:
        given["enum"] = list(choices)
    given["type"] = types[0] if len(types) == 1 else sorted(types, key=lambda kind: kind != "null")
    return Param(**given) if required else Param(field.get("default"), **given)


def _line(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry of a list as Airflow is to check it: the form gives each line of its text, the empty last one too."""
    if entry.get("type") == "integer":  # without a type of its own, or the form would ask for JSON
        return {"anyOf": [entry, {"type": "string", "pattern": r"^\s*[0-9]*\s*$"}]}
    return {name: value for name, value in entry.items() if name != "minLength"}


def _filled_lines(lines: list[Any]) -> list[Any]:
    return [line for line in lines if not isinstance(line, str) or line.strip()]


def _sentence(fault: Any) -> str:
    """The field and what is wrong there; a rule of our own is told in its words alone."""
    words = str(fault["msg"]).removeprefix("Value error, ")
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {words}" if place else words
