"""What a form shows of a switch beside its value: kind, bounds, default and help, each taken from `Settings`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from totara_bridge.settings import ONLY_FOR_ALL, Settings
from totara_bridge.web.problem import Problem

Kind = Literal["bool", "integer", "share", "duration", "choice", "channels"]

_KINDS: dict[object, Kind] = {bool: "bool", int: "integer", float: "share", timedelta: "duration"}

#: What a field of a channel takes, where the model's own words are no sentence.
_OF_A_CHANNEL = {
    "to": "an e-mail address, such as ops@example.com",
    "form": "one of json, slack, teams",
    "connection": "the name of an Airflow Connection, no address",
}


@dataclass(frozen=True)
class SettingField:
    """One switch as a form has it; values are as JSON has them, lengths of time in ISO 8601."""

    name: str
    kind: Kind
    help: str
    allowed: str  #: what it takes, in words: beside the field, and in what refuses another value
    only_for_all: bool
    default: Any
    lowest: int | float | None
    highest: int | float | None
    choices: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def understood(self, value: Any) -> Any:
        """The value as it is stored.

        :raises Problem: 400: it cannot be; says what can, and of a list where the mistake is.
        """
        try:
            return Settings.model_validate({self.name: value}).model_dump(mode="json")[self.name]
        except ValidationError as error:
            mistakes = [self._mistake(each) for each in error.errors(include_url=False, include_input=False)]
        raise Problem(400, "invalid", " ".join(each["detail"] for each in mistakes), mistakes)

    def _mistake(self, error: Any) -> dict[str, str]:
        """Where it is and what is allowed there; never what was sent, which may be a secret in a wrong place."""
        place = [str(part) for part in error["loc"][1:]]
        if self.kind != "channels" or not (place or error["type"] == "value_error"):
            return {"pointer": "value", "detail": f"{self.name} takes {self.allowed}."}
        words = str(error["msg"]).removeprefix("Value error, ")
        if not place:  # a rule of the whole list
            return {"pointer": "value", "detail": f"{words[:1].upper()}{words[1:]}: keep one of them."}
        number, field = int(place[0]) + 1, place[1] if len(place) > 1 else ""
        takes = f"takes {_OF_A_CHANNEL[field]}" if field in _OF_A_CHANNEL else f"cannot be ({words})"
        detail = f"Channel {number}: {field or 'it'} {takes}."
        return {"pointer": ".".join(["value", *place]), "detail": detail}


def _field(name: str, info: FieldInfo) -> SettingField:
    kind: Kind = _KINDS.get(info.annotation) or ("channels" if ... in get_args(info.annotation) else "choice")
    lowest, highest = _bounds(info)
    choices = get_args(info.annotation) if kind == "choice" else ()
    numbers = kind in ("integer", "share")
    return SettingField(
        name=name,
        kind=kind,
        help=info.description or "",
        allowed=_allowed(kind, lowest, highest, choices),
        only_for_all=name in ONLY_FOR_ALL,
        default=Settings().model_dump(mode="json")[name],
        lowest=lowest if numbers else None,
        highest=highest if numbers else None,
        choices=choices,
    )


def _bounds(info: FieldInfo) -> tuple[Any, Any]:
    """The lowest value, none where it is more than nothing; and the highest."""
    lowest: Any = None
    highest: Any = None
    for rule in info.metadata:
        match rule:
            case Ge():
                lowest = rule.ge
            case Gt():
                lowest = None
            case Le():
                highest = rule.le
            case MaxLen():
                highest = rule.max_length
    return lowest, highest


def _allowed(kind: Kind, lowest: Any, highest: Any, choices: Sequence[str]) -> str:
    match kind:
        case "bool":
            return "on or off"
        case "integer":
            return f"a whole number from {lowest:,} to {highest:,}"
        case "share":
            return f"a share from {lowest:.0%} to {highest:.0%}"
        case "duration":
            least = "more than nothing" if lowest is None else f"at least {_days(lowest)}"
            return f"a length of time, {least} and at most {_days(highest)}"
        case "choice":
            return f"one of {', '.join(choices)}"
        case "channels":
            return f"a list of at most {highest} channels"


def _days(length: timedelta) -> str:
    return f"{length.days:,} day{'' if length.days == 1 else 's'}"


#: Each switch, by its name.
FIELDS = {name: _field(name, info) for name, info in Settings.model_fields.items()}
