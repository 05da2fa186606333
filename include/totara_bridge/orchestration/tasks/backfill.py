"""The tasks of ``backfill_completions``."""

import logging
from datetime import UTC, date, datetime, time
from typing import Annotated, Any, Literal, Self

from airflow.sdk.exceptions import AirflowSkipException
from pydantic import Field, model_validator

from totara_bridge import backfill
from totara_bridge.backfill import Asked
from totara_bridge.config import BridgeConfig, read_config
from totara_bridge.errors import Transient
from totara_bridge.extract.enqueue import Wants
from totara_bridge.orchestration.assets import announce
from totara_bridge.orchestration.form import Form, asked_by, filled_in
from totara_bridge.orchestration.sigterm import stopped_by_sigterm
from totara_bridge.orchestration.switches import settings_or_skip, warn_if_off
from totara_bridge.route import Route, Word
from totara_bridge.staging.database import staging
from totara_bridge.staging.past import FOREVER, Past

log = logging.getLogger(__name__)

Patterns = Annotated[tuple[Word, ...], Field(max_length=1000)]

#: Fields that mean what they mean in a route.
_NARROWING = ("courses", "learners", "statuses")


class Backfill(Form):
    """What a run of ``backfill_completions`` can be asked to do."""

    from_date: date = Field(
        title="From",
        description="Queue what was completed on this day (UTC) or later. Not before 1970.",
        ge=date(1970, 1, 1),
    )
    to_date: date | None = Field(
        None,
        title="To",
        description="Nothing that was completed after this day (UTC). Empty: up to now.",
    )
    sites: tuple[str, ...] | None = Field(
        None,
        title="Sites",
        description="Codes of the sites whose completions are queued. Empty: all.",
    )
    destinations: tuple[str, ...] | None = Field(
        None,
        title="Destinations",
        description="Codes of the destinations that are to get them. Empty: all.",
    )
    courses: Patterns | None = Field(
        None,
        title="Courses",
        description="Patterns for a course's short name or id number, such as SAFETY-*, one per line. Empty: all.",
    )
    learners: Patterns | None = Field(
        None,
        title="Learners",
        description="Patterns for a learner's username, e-mail address or id number, one per line. Empty: all.",
    )
    statuses: tuple[Literal["complete", "complete_rpl"], ...] | None = Field(
        None,
        title="Statuses",
        description="How they were completed; complete_rpl is recognition of prior learning. Empty: both.",
        examples=["complete", "complete_rpl"],
    )
    resend: bool = Field(
        False,
        title="Send again what was delivered",
        description="Also send again what the destination has already, as it was last told of it. What was purged "
        "here is made anew, and left out where its completion was edited in Totara since.",
    )
    dry_run: bool = Field(
        True,
        title="Dry run",
        description="Only count what would be queued, and say about how long delivery would take.",
    )

    @model_validator(mode="after")
    def _from_before_to(self) -> Self:
        if self.to_date is not None and self.to_date < self.from_date:
            raise ValueError(f"From ({self.from_date}) lies after To ({self.to_date}): exchange them")
        return self


def backfill_destination(code: str, params: dict[str, Any], dag_run: Any, outlet_events: Any) -> dict[str, int | None]:
    """Queue what is asked for and one destination of bridge.toml lacks; in a dry run only count it.

    :raises RequestInvalid: the run asks for what cannot be.
    :raises ConfigurationInvalid: it names a site or a destination that is not in bridge.toml.
    :raises Transient: it was stopped; tried again, it goes on.
    """
    config, form = read_config(), filled_in(Backfill, params)
    config.require(sites=form.sites, destinations=form.destinations)
    if form.destinations and code not in form.destinations:
        raise AirflowSkipException(f"This run is for {', '.join(form.destinations)}.")
    # a run keeps the time from which it may run, however often it is tried again or cleared
    asked = Asked(past_of(config, code, form), asked_by(dag_run), dag_run.run_after, form.resend, form.dry_run)
    wants = Wants.of(config, config.destination(code))
    with staging() as engine, stopped_by_sigterm() as stop:
        settings_or_skip(engine)
        warn_if_off(engine, [code], log)
        done = backfill.backfill(engine, wants, asked, now=datetime.now(UTC), stop=stop)
    if not done.finished:
        goes_on = (
            "and it goes on from there; another run sends all of it again"
            if form.resend
            else ("or trigger another run, and it goes on from there")
        )
        raise Transient(
            f"The backfill of {code} was stopped after {done.queued} were queued, {done.held} held and {done.resent} "
            f"queued to be sent again: clear its task, {goes_on}."
        )
    if done.queued or done.resent:
        announce(outlet_events, queued=done.queued + done.resent)
    return done.counts()


def past_of(config: BridgeConfig, code: str, form: Backfill) -> Past:
    """The past instances that are meant, of one destination."""
    destination = config.destination(code)
    return Past(
        destination=code,
        sites=[
            site.code
            for site in config.sites
            if destination.wants(site.code) and (not form.sites or site.code in form.sites)
        ],
        since=datetime.combine(form.from_date, time.min, UTC),
        until=FOREVER if form.to_date is None else datetime.combine(form.to_date, time.max, UTC),
        route=destination.route,
        narrowed=Route(**{name: value for name in _NARROWING if (value := getattr(form, name))}),
    )
