"""Proof of delivery: the page's answers and the documents to keep."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.encoders import jsonable_encoder
from starlette.responses import JSONResponse, Response

from totara_bridge.config import BridgeConfig
from totara_bridge.staging import proof, proof_expected
from totara_bridge.staging.brief_look import TakesTooLong, brief_look
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.proof import Line
from totara_bridge.staging.proof_part import Asked
from totara_bridge.web.panel.access import Person
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.proof_asked import Against, ListAsked, Period, ProofAsked
from totara_bridge.web.panel.proof_document import Heading, as_csv, as_json
from totara_bridge.web.problem import PRIVATE, Problem
from totara_bridge.web.service import Service

router = APIRouter()

#: A statement of a proof may take so long.
PATIENCE = timedelta(seconds=15)


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
    """A page of the completions of one part; it may be short, even empty, where others follow.

    What is known by its number only is listed by course and day.
    """
    course = (asked.site, asked.course) if asked.site and asked.course else None
    count = asked.counted()
    with _looking(staging) as transaction:
        about, _ = _asked(transaction, asked, config, needs_totara=count is not None)
        if count is not None:
            days = proof_expected.days(transaction, about, count, course=course, after=asked.after, limit=asked.limit)
            return {"by_day": True, "rows": [dict(row._mapping) for row in days.rows], **_next(days.after)}
        page = proof.page(transaction, about, asked.staged(), course=course, after=asked.after, limit=asked.limit)
    rows = [{name: value for name, value in row._mapping.items() if name != "id"} for row in page.rows]
    return {"by_day": False, "rows": rows, **_next(page.after)}


def _next(after: int | None) -> dict[str, Any]:
    return {"more": after is not None, "cursor": after}


def _made(asked: ProofAsked, staging: Service, config: BridgeConfig, person: str) -> tuple[Heading, list[Line]]:
    with _looking(staging) as transaction:
        about, not_compared = _asked(transaction, asked, config)
        left_out = proof_expected.sites_staged(transaction) - {*about.sites} if about.against_totara else frozenset()
        heading = Heading(
            destination=about.destination,
            site=asked.site,
            begins=asked.begins,
            ends=asked.ends,
            timezone=about.zone,
            by=asked.by,
            against=Against.TOTARA if about.against_totara else Against.STAGING,
            compared=proof_expected.comparisons(transaction, about) if about.against_totara else [],
            not_compared=not_compared,
            left_out=[] if asked.site else sorted(left_out),
            made_at=staging.clock(),
            made_by=person,
        )
        return heading, proof.prove(transaction, about, asked.by)


@contextmanager
def _looking(staging: Service) -> Iterator[Transaction]:
    try:
        with staging.change() as transaction:
            proof.read_as_of_now(transaction)
            with brief_look(transaction, within=PATIENCE):
                yield transaction
    except TakesTooLong:
        seconds = PATIENCE // timedelta(seconds=1)
        raise Problem(
            503,
            "takes-too-long",
            f"The database needs longer than {seconds} seconds for this proof: choose one site or a shorter period, "
            "or try again when it has less to do.",
        ) from None


def _asked(
    transaction: Transaction, asked: Period, config: BridgeConfig, *, needs_totara: bool = False
) -> tuple[Asked, list[str]]:
    """For staging, and the sites that were never compared with Totara: with one of them it is against what is staged.

    :raises Problem: then that is not what is wanted.
    """
    about = asked.asked(config)
    sites = about.sites or [each.code for each in config.sites]
    known = proof_expected.sites_compared(transaction)
    not_compared = [code for code in sites if code not in known]
    possible = bool(sites) and not not_compared
    if not possible and (needs_totara or asked.against is Against.TOTARA):
        raise Problem(
            409,
            "not-compared",
            f"Totara was not asked yet how many completions it has at {', '.join(not_compared) or 'any site'}: run "
            "reconcile_completions, or ask against staging.",
        )
    if possible and asked.against is not Against.STAGING:
        return replace(about, sites=sites, against_totara=True), []
    return about, not_compared


def _attached(heading: Heading, ending: str) -> dict[str, str]:
    name = f"proof-of-delivery-{heading.destination}-{heading.made_at.astimezone(UTC):%Y%m%dT%H%M%SZ}.{ending}"
    return {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
