"""What the tab Logs asks for: requests to destinations, and who had what done; page by page, and as CSV."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from starlette.responses import Response

from totara_bridge.staging import audit_page, body, log_page, request_page
from totara_bridge.staging.log_page import Log, Place, Wanted
from totara_bridge.staging.pull_form import Form, header
from totara_bridge.staging.request_page import REQUESTS, Statuses
from totara_bridge.web.panel.access import manages
from totara_bridge.web.panel.asked import Staging
from totara_bridge.web.panel.csv_file import csv_file
from totara_bridge.web.panel.log_words import ACTIONS, OUTCOMES
from totara_bridge.web.problem import Problem
from totara_bridge.web.pull.written import Time, Word
from totara_bridge.web.service import Service

router = APIRouter()

#: Rows of CSV that are read at a time.
_PIECE = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _is_a_status(word: str) -> str:
    if not re.fullmatch(r"[1-5](xx|\d\d)|none", word, re.ASCII):
        raise ValueError(f"{word} is no HTTP status: write a number such as 429, a class such as 5xx, or none")
    return word


def _is_a_place(cursor: str) -> str:
    if not re.fullmatch(r"\d{1,18}-\d{1,18}", cursor, re.ASCII) or int(cursor.partition("-")[0]) >= _END_OF_TIME:
        raise ValueError("it is no place in a log: take the cursor of a page as it is, or leave it out")
    return cursor


#: The last moment that can be written, in microseconds since 1970.
_END_OF_TIME = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)


class _Asked(BaseModel):
    """What both logs take."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: Time | None = None
    until: Time | None = None  #: before it
    after: Annotated[str, AfterValidator(_is_a_place)] | None = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50

    @property
    def place(self) -> Place | None:
        """Where the page goes on."""
        if self.after is None:
            return None
        microseconds, _, number = self.after.partition("-")
        return Place(_EPOCH + timedelta(microseconds=int(microseconds)), int(number))


class RequestsAsked(_Asked):
    """Which requests."""

    destination: Word | None = None
    outcome: Annotated[list[Word], Field(max_length=50)] = []
    status: Annotated[list[Annotated[str, AfterValidator(_is_a_status)]], Field(max_length=50)] = []

    @property
    def wanted(self) -> Wanted:
        """For staging."""
        return request_page.wanted(
            since=self.since,
            until=self.until,
            destination=self.destination,
            outcomes=self.outcome,
            statuses=_statuses(self.status) if self.status else None,
        )


def _statuses(words: list[str]) -> Statuses:
    return Statuses(
        exact=[int(word) for word in words if word.isdecimal()],
        hundreds=[int(word[0]) for word in words if word.endswith("xx")],
        no_answer="none" in words,
    )


class AuditAsked(_Asked):
    """Which rows of the audit log."""

    actor: Word | None = None
    action: Word | None = None
    subject: Word | None = None

    @property
    def wanted(self) -> Wanted:
        """For staging."""
        return audit_page.wanted(
            since=self.since, until=self.until, actor=self.actor, action=self.action, subject=self.subject
        )


@router.get("/logs")
def logs() -> dict[str, Any]:
    """What can be chosen: the words of the logs, and what each means."""
    return {"outcomes": OUTCOMES, "actions": ACTIONS}


@router.get("/requests")
def requests(asked: Annotated[RequestsAsked, Query()], staging: Staging) -> dict[str, Any]:
    """A page of the log of requests."""
    return _page(staging, REQUESTS, asked, asked.wanted)


@router.get("/requests.csv")
def requests_csv(asked: Annotated[RequestsAsked, Query()], staging: Staging) -> Response:
    """All of them that are wanted, as CSV."""
    return _csv(staging, REQUESTS, asked, asked.wanted, "requests")


@router.get("/requests/{number}")
def request(number: Annotated[int, Path(ge=1, lt=2**63)], staging: Staging) -> dict[str, Any]:
    """One request, with its bodies where they were kept: what names a learner is not in them."""
    with staging.look() as connection:
        found = request_page.one(connection, number)
        kept = body.of_request(connection, number)
    if found is None:
        raise Problem(404, "not-found", f"There is no request {number} in the log: it may have been purged.")
    bodies = None if kept is None else {"request": kept.request, "answer": kept.answer}
    return {**found, "means": OUTCOMES.get(found["outcome"]), "body": bodies}


@router.get("/audit")
def audit(asked: Annotated[AuditAsked, Query()], staging: Staging, user: GetUserDep) -> dict[str, Any]:
    """A page of the audit log."""
    return _page(staging, _audit_for(manages(user)), asked, asked.wanted)


@router.get("/audit.csv")
def audit_csv(asked: Annotated[AuditAsked, Query()], staging: Staging, user: GetUserDep) -> Response:
    """All of it that is wanted, as CSV."""
    return _csv(staging, _audit_for(manages(user)), asked, asked.wanted, "audit")


def _audit_for(manager: bool) -> Log:
    return audit_page.FOR_MANAGERS if manager else audit_page.FOR_VIEWERS


def _page(staging: Service, log: Log, asked: _Asked, wanted: Wanted) -> dict[str, Any]:
    with staging.look() as connection:
        page = log_page.page(connection, log, Form.JSON, wanted, after=asked.place, limit=asked.limit)
    return {
        "rows": [json.loads(row) for row in page.rows],
        "more": page.goes_on is not None,
        "cursor": None if page.goes_on is None else _cursor(page.goes_on),
    }


def _cursor(place: Place) -> str:
    return f"{(place.at - _EPOCH) // timedelta(microseconds=1)}-{place.id}"


def _csv(staging: Service, log: Log, asked: _Asked, wanted: Wanted, name: str) -> Response:
    return csv_file(name, header(log.fields), _lines(staging, log, wanted, asked.place))


def _lines(staging: Service, log: Log, wanted: Wanted, after: Place | None) -> Iterator[str]:
    while True:
        with staging.look() as connection:
            page = log_page.page(connection, log, Form.CSV, wanted, after=after, limit=_PIECE)
        yield "".join(f"{row}\r\n" for row in page.rows)
        if page.goes_on is None:
            return
        after = page.goes_on
