"""The sections of bridge.toml."""

from datetime import datetime, time, timedelta
from typing import Annotated, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from totara_bridge.config.schedule import Schedule, next_tick
from totara_bridge.route import Route, SiteCode
from totara_bridge.template import DEFAULT

DestinationCode = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{1,30}$")]

#: More than nothing.
Length = Annotated[timedelta, Field(gt=timedelta(0))]


def _of_the_wall_clock(given: time) -> time:
    if given.tzinfo is not None:
        raise ValueError("write the time without an offset: it is of the time zone that timezone names")
    return given


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Extract(_Section):
    """When completions are fetched."""

    schedule: Schedule = "0 * * * *"
    full_compare: Annotated[time, AfterValidator(_of_the_wall_clock)] = time(2, 30)
    """The first run after it reads everything, once a day."""
    overlap: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(minutes=10)
    """How far back each run reads the change log again."""
    deadline: Length = timedelta(hours=1)  #: a run that has not ended by then raises an alert


class Push(_Section):
    """When the queue is drained even without news."""

    schedule: Schedule = "*/15 * * * *"
    time_box: Length = timedelta(minutes=10)  #: a drain stops after this; the next run goes on
    deadline: Length = timedelta(minutes=30)  #: a run that has not ended by then raises an alert


class Purge(_Section):
    """When finished rows past their retention are deleted."""

    schedule: Schedule = "45 3 * * *"


class Watch(_Section):
    """When it is looked whether promises are kept."""

    schedule: Schedule = "*/5 * * * *"


class Reconcile(_Section):
    """When Totara is compared with staging and with what was delivered."""

    schedule: Schedule = "0 4 * * 0"


class Site(_Section):
    """One Totara."""

    code: SiteCode  #: part of every record key: never change it
    connection: str  #: Airflow Connection of type Totara
    every: Length | None = None  #: at least this long between two extracts
    schedule: Schedule | None = None  #: its own, instead; neither: every run
    queue: str | None = None  #: Airflow queue that its tasks run on
    executor: str | None = None  #: Airflow executor that its tasks run on

    @model_validator(mode="after")
    def _one_rhythm(self) -> Self:
        if self.every is not None and self.schedule is not None:
            raise ValueError(f"the site {self.code} has both every and schedule: keep one of them")
        return self

    def next_turn(self, last: datetime, zone: ZoneInfo) -> datetime:
        """From when on a run reads it again, if it was last read at ``last``."""
        if self.schedule is not None:
            return next_tick(self.schedule, zone, last)
        return last + (self.every or timedelta(0))


class Destination(_Section):
    """One Oracle."""

    code: DestinationCode  #: names its items for ever: never change it
    connection: str  #: Airflow Connection of type Oracle (completions)
    route: Route = Route()  #: which completions are sent; not given: all
    template: str = DEFAULT.name  #: what its items look like
    corrections: bool = False  #: wants to know when a completion that it has was edited
    withdrawals: bool = False  #: wants to know when a completion that it has was lost in Totara
    gzip: bool = False  #: its endpoint takes requests with Content-Encoding: gzip
    drain_tasks: Annotated[int, Field(ge=1, le=16)] = 1
    queue: str | None = None
    executor: str | None = None

    def wants(self, site: str) -> bool:
        """Whether completions of this site go to this destination."""
        return not self.route.sites or site in self.route.sites
