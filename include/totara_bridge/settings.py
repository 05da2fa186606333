"""A manager's switches: their names, bounds and defaults. Kept in the ``setting`` table, read at every run."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

#: More than nothing; a year at most, so that a date so far away can be written.
Length = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=365))]


class Settings(BaseModel):
    """What the ``setting`` table says, or the default where it says nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)

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
