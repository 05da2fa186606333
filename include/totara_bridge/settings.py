"""A manager's switches: their names, bounds and defaults. Kept in the ``setting`` table, read at every run."""

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

#: More than nothing; a year at most, so that a date so far away can be written.
Length = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=365))]

#: A day at least, so that nothing goes while people still ask about it; ten years at most.
Retention = Annotated[timedelta, Field(ge=timedelta(days=1), le=timedelta(days=3650))]

Address = Annotated[str, StringConstraints(strip_whitespace=True, pattern=r"^[^@\s,\x00]+@[^@\s,\x00]+$")]


def _is_a_name(connection: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,200}", connection):
        raise ValueError("it takes the name of an Airflow Connection, no address")
    return connection


class Channel(BaseModel):
    """Where alerts go: an Airflow Connection of type SMTP, HTTP or Apprise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    connection: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_is_a_name)]
    to: tuple[Address, ...] = ()  #: for SMTP: who gets the e-mail
    form: Literal["json", "slack", "teams"] = "json"  #: for HTTP: what the receiver understands

    def for_audit(self) -> dict[str, Any]:
        """What the audit log has of it: how many addresses there are, and not whose."""
        return self.model_dump() | {"to": len(self.to)}


#: What no destination has of its own.
ONLY_FOR_ALL = frozenset(
    {
        "silence",
        "alert_channels",
        "log_retention",
        "acknowledgement_retention",
        "audit_retention",
        "alert_retention",
        "pull",
        "pull_since",
        "pull_per_minute",
    }
)


class Settings(BaseModel):
    """What the ``setting`` table says, or the default where it says nothing."""

    # what is refused may be a secret in a wrong place: it is in no error
    model_config = ConfigDict(
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # they are the help beside the field in the control panel
    )

    enabled: bool = True
    """Off: extract and push skip; nothing is lost, what is due waits."""

    batch_size: Annotated[int, Field(ge=1, le=1000)] = 100
    """Items per request."""

    request_bytes: Annotated[int, Field(ge=10_000, le=50_000_000)] = 1_000_000
    """The longest body of a request, in bytes before it is compressed. An item that is longer alone is never sent."""

    requests_in_flight: Annotated[int, Field(ge=1, le=32)] = 4
    """Requests that one drain task has open at the same time."""

    max_attempts: Annotated[int, Field(ge=1, le=100)] = 10
    """Attempts before an item is dead. An outage of the destination uses none."""

    retry_first: Length = timedelta(seconds=30)
    """The longest wait before the second attempt; doubles with each failure, and a random share of it is waited."""

    retry_longest: Length = timedelta(hours=6)
    """No wait between two attempts is longer."""

    shadow: bool = False
    """On: what is due is shown in the log of requests, once each, with its exact body; nothing is sent or changed."""

    keep_bodies: Literal["never", "failures", "always"] = "never"
    """Which requests are kept with their answers, without what names a learner; a request in shadow mode always is."""

    body_retention: Length = timedelta(days=14)
    """Kept bodies are deleted after this long."""

    promise: Length = timedelta(hours=24)
    """What is new in Totara is at the destination within this long, counted from when the bridge first saw it."""

    promised_share: Annotated[float, Field(ge=0, le=1)] = 0.95
    """The share of the last 30 days' deliveries that were to be in time."""

    silence: Length = timedelta(hours=26)
    """An alert is raised when a site was not extracted for this long. Only the setting for all counts."""

    dead_per_hour: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """An alert is raised when more items than this died within an hour."""

    pull: bool = True
    """On: external systems may fetch completions with a token. Only the setting for all counts."""

    pull_since: Length = timedelta(days=30)
    """A puller that says neither since when nor from where gets what changed for this long."""

    pull_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] = 600
    """Requests that each token may make within a minute. Only the setting for all counts."""

    alert_channels: Annotated[tuple[Channel, ...], Field(max_length=20)] = ()
    """Where alerts go besides the table of alerts. Only the setting for all counts."""

    sent_retention: Retention = timedelta(days=90)
    """Items that were sent are deleted after this long; that they were delivered stays known."""

    log_retention: Retention = timedelta(days=30)
    """Rows of the export log are deleted after this long. Only the setting for all counts."""

    acknowledgement_retention: Retention = timedelta(days=400)
    """Acknowledgements of the Pull API are deleted after this long. Only the setting for all counts."""

    audit_retention: Retention = timedelta(days=730)
    """Rows of the audit log are deleted after this long. Only the setting for all counts."""

    alert_retention: Retention = timedelta(days=365)
    """Alerts are deleted this long after they were resolved. Only the setting for all counts."""

    @model_validator(mode="after")
    def _channels_differ(self) -> Self:
        names = [each.connection for each in self.alert_channels]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"the alert channel {', '.join(sorted(twice))} is given twice")
        return self
