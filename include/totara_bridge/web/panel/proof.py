"""Proof of delivery: the page's answers and the documents to keep."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from starlette.responses import JSONResponse, Response

from totara_bridge.config import BridgeConfig
from totara_bridge.staging import proof
from totara_bridge.staging.brief_look import TakesTooLong, brief_look
from totara_bridge.staging.past import FOREVER
from totara_bridge.staging.proof import By, Line
from totara_bridge.staging.proof_part import CONDITIONS, EVER, UNACCOUNTED, Asked, Part
from totara_bridge.web.panel.access import Person
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.proof_document import Heading, as_csv, as_json
from totara_bridge.web.problem import PRIVATE, Problem, invalid_parameter
from totara_bridge.web.pull.written import TotaraId, Word
from totara_bridge.web.service import Service

router = APIRouter()

#: A statement of a proof may take so long.
PATIENCE = timedelta(seconds=15)

_DAY = re.compile(r"(19[7-9]|[2-8]\d\d)\d-\d\d-\d\d", re.ASCII)


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
    if word not in CONDITIONS:
        raise ValueError(f"it is no part: write one of {', '.join(CONDITIONS)}")
    return word


class _Period(BaseModel):
    """Whose delivery is to be proved."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    destination: Word | None = None
    site: Word | None = None
    begins: Annotated[_Day | None, Field(alias="from")] = None
    ends: Annotated[_Day | None, Field(alias="to")] = None

    @field_validator("ends")
    @classmethod
    def _after_it_begins(cls, ends: date | None, info: ValidationInfo) -> date | None:
        begins = info.data.get("begins")
        if ends is not None and begins is not None and ends < begins:
            raise ValueError(f"the period ends before it begins on {begins}: correct one of the two")
        return ends

    def asked(self, config: BridgeConfig) -> Asked:
        """For staging.

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


class ProofAsked(_Period):
    """A proof."""

    by: By = By.COURSE


class ListAsked(_Period):
    """Some of the completions that a number of a proof counts."""

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


@router.get("/proof")
def get(asked: Annotated[ProofAsked, Query()], staging: Staging, config: Config, person: Person) -> dict[str, Any]:
    """The proof, for the page."""
    return as_json(*_made(asked, staging, config, person))


@router.get("/proof.json")
def get_json(asked: Annotated[ProofAsked, Query()], staging: Staging, config: Config, person: Person) -> Response:
    """The proof as a document for programs."""
    heading, lines = _made(asked, staging, config, person)
    return JSONResponse(jsonable_encoder(as_json(heading, lines)), headers=_attached(heading, "json"))


@router.get("/proof.csv")
def get_csv(asked: Annotated[ProofAsked, Query()], staging: Staging, config: Config, person: Person) -> Response:
    """The proof as a document for spreadsheets."""
    heading, lines = _made(asked, staging, config, person)
    return Response(as_csv(heading, lines), headers=_attached(heading, "csv"), media_type="text/csv; charset=utf-8")


@router.get("/proof/list")
def get_list(asked: Annotated[ListAsked, Query()], staging: Staging, config: Config) -> dict[str, Any]:
    """A page of the completions of one part; it may be short, even empty, where others follow."""
    part = None if asked.part == UNACCOUNTED else Part(asked.part)
    course = (asked.site, asked.course) if asked.site and asked.course else None
    about = asked.asked(config)
    try:
        with staging.change() as transaction, brief_look(transaction, within=PATIENCE):
            page = proof.page(transaction, about, part, course=course, after=asked.after, limit=asked.limit)
    except TakesTooLong:
        raise _takes_too_long() from None
    return {
        "rows": [{name: value for name, value in row._mapping.items() if name != "id"} for row in page.rows],
        "more": page.after is not None,
        "cursor": page.after,
    }


def _made(asked: ProofAsked, staging: Service, config: BridgeConfig, person: str) -> tuple[Heading, list[Line]]:
    about = asked.asked(config)
    heading = Heading(
        destination=about.destination,
        site=asked.site,
        begins=asked.begins,
        ends=asked.ends,
        timezone=about.zone,
        by=asked.by,
        made_at=staging.clock(),
        made_by=person,
    )
    try:
        with staging.change() as transaction, brief_look(transaction, within=PATIENCE):
            return heading, proof.prove(transaction, about, asked.by)
    except TakesTooLong:
        raise _takes_too_long() from None


def _takes_too_long() -> Problem:
    seconds = PATIENCE // timedelta(seconds=1)
    return Problem(
        503,
        "takes-too-long",
        f"The database needs longer than {seconds} seconds for this proof: choose one site or a shorter period, or try "
        "again when it has less to do.",
    )


def _attached(heading: Heading, ending: str) -> dict[str, str]:
    name = f"proof-of-delivery-{heading.destination}-{heading.made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    return {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}


def _known(what: str, code: str, codes: list[str]) -> str:
    if code not in codes:
        known = ", ".join(codes) or "none"
        raise invalid_parameter((what, f"There is no {what} {code} in bridge.toml (it has {known}): correct the code."))
    return code


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone)
