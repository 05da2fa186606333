"""What may be asked of a proof of delivery: whose, of which days, against what, and which of its numbers as a list."""

import re
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator

from totara_bridge.config import BridgeConfig
from totara_bridge.staging.past import FOREVER
from totara_bridge.staging.proof_expected import COUNTS, Count
from totara_bridge.staging.proof_part import EVER, UNACCOUNTED, Asked, By, Part
from totara_bridge.web.panel.proof_words import WORDS
from totara_bridge.web.problem import Problem, invalid_parameter
from totara_bridge.web.pull.written import TotaraId, Word

_DAY = re.compile(r"(19[7-9]|[2-8]\d\d)\d-\d\d-\d\d", re.ASCII)


class Against(StrEnum):
    """What the parts are to add up to."""

    TOTARA = "totara"  #: what each site's Totara had when it was compared last
    STAGING = "staging"  #: what is staged now


def _day(written: object) -> date:
    word = str(written)
    if not _DAY.fullmatch(word):
        raise ValueError("it is no day: write it like 2026-01-31, from 1970 on")
    try:
        return date.fromisoformat(word)
    except ValueError:
        raise ValueError(f"there is no day {word}: correct it") from None


_Day = Annotated[date, BeforeValidator(_day)]


def _is_a_part(word: str) -> str:
    if word not in WORDS:
        raise ValueError(f"it is no part: write one of {', '.join(WORDS)}")
    return word


class Period(BaseModel):
    """Whose delivery is to be proved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    destination: Word | None = None
    site: Word | None = None
    begins: Annotated[_Day | None, Field(alias="from")] = None
    ends: Annotated[_Day | None, Field(alias="to")] = None
    against: Against | None = None  #: none: Totara, if all was compared

    @field_validator("ends")
    @classmethod
    def _after_it_begins(cls, ends: date | None, info: ValidationInfo) -> date | None:
        begins = info.data.get("begins")
        if ends is not None and begins is not None and ends < begins:
            raise ValueError(f"the period ends before it begins on {begins}: correct one of the two")
        return ends

    def asked(self, config: BridgeConfig) -> Asked:
        """For staging, against what is staged.

        :raises Problem: bridge.toml has no such destination or site.
        """
        if not config.destinations:
            raise Problem(
                404, "not-found", "bridge.toml names no destination: write one, then there is something to prove."
            )
        codes = [each.code for each in config.destinations]
        destination = config.destination(_known("destination", self.destination or codes[0], codes))
        sites = [_known("site", self.site, [each.code for each in config.sites])] if self.site else []
        zone = config.timezone
        return Asked(
            destination.code,
            destination.route,
            sites,
            since=EVER if self.begins is None else _midnight(self.begins, zone),
            before=FOREVER if self.ends is None else _midnight(self.ends + timedelta(days=1), zone),
            zone=zone.key,
        )


class ProofAsked(Period):
    """A proof."""

    by: By = By.COURSE


class ListAsked(Period):
    """Some of what a number of a proof counts."""

    part: Annotated[str, AfterValidator(_is_a_part)]
    course: TotaraId | None = None  #: Totara's id; of the site
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @field_validator("course")
    @classmethod
    def _of_a_site(cls, course: int | None, info: ValidationInfo) -> int | None:
        if course is not None and not info.data.get("site"):
            raise ValueError("a course's number means something at its site only: name the site too")
        return course

    @field_validator("part")
    @classmethod
    def _counted(cls, part: str, info: ValidationInfo) -> str:
        if part in COUNTS and info.data.get("against") is Against.STAGING:
            raise ValueError(f"{part} is of Totara's own numbers: ask for it against totara")
        return part

    def staged(self) -> Part | None:
        """The part, of one that is staged; none: what no part explains."""
        return None if self.part == UNACCOUNTED else Part(self.part)

    def counted(self) -> Count | None:
        """What is known by its number only; none: it is a part of what is staged."""
        return Count(self.part) if self.part in COUNTS else None


def _known(what: str, code: str, codes: list[str]) -> str:
    if code not in codes:
        known = ", ".join(codes) or "none"
        raise invalid_parameter((what, f"There is no {what} {code} in bridge.toml (it has {known}): correct the code."))
    return code


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)
