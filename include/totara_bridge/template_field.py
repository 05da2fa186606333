"""One field of a payload template: what stands at one place of an item's JSON, and how it is written there."""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from operator import attrgetter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from totara_bridge.completion import Status, storable

USER = ("username", "id_number", "email", "first_name", "last_name")
COURSE = ("short_name", "id_number", "full_name")
_NUMBERS = ("revision", "user_id", "course_id", "progress")
_TEXTS = ("item_key", "record_key", "kind", "site", "status", "learner_number", "course_number")

#: What a field may show, and which attribute of an item has it.
SOURCES = (
    {name: name for name in (*_TEXTS, *_NUMBERS, "time_completed")}
    | {f"user.{name}": name for name in USER}
    | {f"course.{name}": f"course_{name}" for name in COURSE}
)

#: What a map of these sources must translate, and what it may.
_WORDS = {
    "status": ((Status.COMPLETE, Status.COMPLETE_RPL), tuple(Status)),
    "kind": (("completion", "correction", "withdrawal"),) * 2,
}


def _scalar(value: object) -> object:
    if not isinstance(value, str | bool | int | float) or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError("give a text, a number, true or false")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("the whole number is too large (it is to fit 64 bits): write it as a text")
    return storable(value) if isinstance(value, str) else value


#: A value as JSON, as short as it can be; letters of any language stand as they are.
json_text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode

Scalar = Annotated[str | bool | int | float, BeforeValidator(_scalar)]


class Field(BaseModel):
    """What stands at one place: a source's value, as it is or translated, or a constant."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str | None = None
    constant: Scalar | None = None
    format: Literal["iso", "epoch", "epoch_millis", "day"] | None = None  #: of a time; none: iso
    zone: str | None = None  #: where the day is
    map: dict[str, Scalar] | None = None  #: the source's value to another
    default: Scalar | None = None  #: what the map gives for any other value
    required: bool = False  #: an item without it is held
    omit_empty: bool = False  #: nothing stands there rather than null or an empty text

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: object) -> object:
        if isinstance(given, str):
            return {"source": given}
        if not isinstance(given, dict | cls):
            raise ValueError(  # noqa: TRY004  pydantic takes no TypeError
                'name a source, as in "key" = "item_key", or write a table with source or constant'
            )
        if isinstance(given, dict) and (unknown := [str(key) for key in given if key not in cls.model_fields]):
            raise ValueError(
                f"a field has no {', '.join(unknown)} (it has {', '.join(cls.model_fields)}); "
                'a path with dots stands in quotes, as in "learner.number"'
            )
        return given

    @field_validator("source")
    @classmethod
    def _known(cls, source: str | None) -> str | None:
        if source is not None and source not in SOURCES:
            raise ValueError(f"there is no source {source!r}: use one of {', '.join(SOURCES)}")
        return source

    @field_validator("map")
    @classmethod
    def _in_one_order(cls, given: dict[str, Scalar] | None) -> dict[str, Scalar] | None:
        """A map says the same in whatever order it is written."""
        return None if given is None else {storable(name): given[name] for name in sorted(given)}

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str | None) -> str | None:
        try:
            return zone if zone is None else ZoneInfo(zone).key
        except (KeyError, ValueError, OSError):
            raise ValueError(f'there is no time zone {zone!r}: use a name such as "Pacific/Auckland"') from None

    @model_validator(mode="after")
    def _possible(self) -> "Field":
        for fault in (*self._faults(), *self._map_faults()):
            raise ValueError(fault)
        return self

    def _faults(self) -> Iterator[str]:
        if (self.source is None) == (self.constant is None):
            yield "give either a source or a constant"
        if self.constant is not None and self.model_fields_set != {"constant"}:
            yield "a constant takes nothing beside it"
        if self.format is not None and self.source != "time_completed":
            yield f"format is for time_completed, and {self.source} is no time: leave it out"
        if self.format == "day" and self.zone is None:
            yield 'the format day needs the zone that the day is in, as in zone = "Pacific/Auckland"'
        if self.zone is not None and self.format != "day":
            yield 'a zone is for format = "day" only: the other formats name the same moment everywhere'

    def _map_faults(self) -> Iterator[str]:
        if self.map is None:
            if self.default is not None:
                yield "default is what a map gives for any other value: add a map or leave it out"
            return
        if self.source in ("time_completed", "item_key"):
            yield f"{self.source} cannot be mapped: leave the map out"
        needed, known = _WORDS.get(self.source or "", ((), tuple(self.map)))
        if unknown := set(self.map) - set(known):
            yield f"{self.source} is never {', '.join(sorted(unknown))} (it is {', '.join(known)}): correct the map"
        if self.default is None and (lacking := set(needed) - set(self.map)):
            yield f"the map does not say what {', '.join(sorted(lacking))} becomes: add it, or a default"
        if self.default is None and not needed:
            yield f"{self.source} can have values that the map does not name: add a default"
        if (self.required or self.omit_empty) and "" in (*self.map.values(), self.default):
            yield (
                "required and omit_empty look at the source's value, so the map would send an empty text all the "
                "same: let it give another"
            )


@dataclass(frozen=True, slots=True)
class Leaf:
    """A field made ready for any number of items: what is read of one, and how it is written."""

    opening: str  #: its name as JSON, with the colon
    read: Callable[[Any], Any]
    write: Callable[[Any], str]  #: a value that is there, as JSON
    source: str
    required: bool
    omit_empty: bool


@dataclass(frozen=True, slots=True)
class Branch:
    """An object of the item's JSON, and what stands in it."""

    opening: str
    members: tuple["Leaf | Branch", ...]


def grow(fields: dict[str, Any]) -> tuple[Leaf | Branch, ...]:
    """Fields by name made ready, those of objects in the item in dictionaries of their own."""
    return tuple(
        Branch(f"{json_text(name)}:", grow(each)) if isinstance(each, dict) else _leaf(name, each)
        for name, each in fields.items()
    )


def _leaf(name: str, field: Field) -> Leaf:
    read = attrgetter(SOURCES[field.source]) if field.source else partial(_constantly, field.constant)
    opening = f"{json_text(name)}:"
    return Leaf(opening, read, _writer(field), field.source or "", field.required, field.omit_empty)


def _writer(field: Field) -> Callable[[Any], str]:
    if field.source == "time_completed":
        return partial(_day, ZoneInfo(field.zone)) if field.zone else _TIMES[field.format or "iso"]
    if field.map is not None:
        return partial(_mapped, {name: json_text(value) for name, value in field.map.items()}, json_text(field.default))
    return str if field.source in _NUMBERS else json_text


def _constantly(constant: object, _item: object) -> object:
    return constant


def _mapped(texts: dict[str, str], default: str, value: object) -> str:
    return texts.get(str(value), default)


def _aware(time: datetime) -> datetime:
    if time.tzinfo is None:
        raise ValueError(f"The completion time {time} has no time zone: give one.")
    return time


def _iso(time: datetime) -> str:
    return f'"{_aware(time).astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")}Z"'


def _epoch(time: datetime, ticks: int = 1) -> str:
    return str(int(_aware(time).timestamp()) * ticks)


def _day(zone: ZoneInfo, time: datetime) -> str:
    try:
        return f'"{_aware(time).astimezone(zone).date()}"'
    except OverflowError:  # the last hours of the year 9999, east of here
        return f'"{time.date()}"'


_TIMES: dict[str, Callable[[datetime], str]] = {
    "iso": _iso,
    "epoch": _epoch,
    "epoch_millis": partial(_epoch, ticks=1000),
}
