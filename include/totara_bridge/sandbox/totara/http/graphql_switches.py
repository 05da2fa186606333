"""How the external API of a sandbox Totara is set up: release, client, limits, reports."""

from dataclasses import dataclass, field
from typing import Literal

from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.http.report_rows import RECORDED_COLUMNS
from totara_bridge.sandbox.totara.http.report_words import Language
from totara_bridge.sandbox.totara.http.site import Site


@dataclass
class Report:
    """A report of course completions that the service account may look at."""

    title: str = "Lab completions"
    abstract: str = ""
    description: str = ""
    records_per_page: int = 40
    columns: tuple[str, ...] = RECORDED_COLUMNS  #: keys, in order
    allowed: bool = True  #: off: the report is there, but not for the service account


@dataclass(frozen=True)
class SavedSearch:
    """What narrows a report."""

    report_id: int = 1
    statuses: frozenset[Status] | None = None  #: none: any
    completed_since: int | None = None  #: Unix seconds, inclusive
    shared: bool = True  #: off: somebody else's own


@dataclass
class GraphqlSwitches:
    """May be changed at any time, and holds from the next request on."""

    feature_on: bool = True
    #: Only 19.1 and later have ``totara_reportbuilder_get_report``; before, the field is ignored in silence.
    release: tuple[int, int] = (17, 3)
    client_on: bool = True  #: off: no new tokens, and those there are hold no more
    token_lifetime: int = 86_400  #: seconds
    service_account: str = "apiuser"  #: user name
    service_account_suspended: bool = False
    response_debug: bool = True  #: off: an internal error does not say what it was
    introspection_on: bool = False
    maximum_complexity: int = 6_000
    maximum_depth: int = 15
    complexity_per_minute: int = 250_000  #: of one client, in the last 60 seconds
    hidden_emails: frozenset[str] = frozenset({"guest", "wsuser", "wsweak"})  #: user names, as recorded
    zone: str = "Europe/London"  #: of the site
    language: Language = "en"  #: of the service account
    reports: dict[int, Report] = field(default_factory=lambda: {1: Report()})
    saved_searches: dict[int, SavedSearch] = field(default_factory=dict)
    #: How a report's dates come without a custom format. Both exist in a 19.1, by what the column's report source
    #: does for the API: Unix seconds, or a day as text, after which a custom format knows no more than the day.
    report_dates: Literal["timestamp", "text"] = "timestamp"
    #: A custom format makes the present of an empty date in a 19.1, whose parser of dates takes no text for now.
    empty_dates_become_now: bool = True
    #: A 19.1 sorts by the column asked for and by nothing else: rows of equal value come in any order on each page.
    unstable_ties: bool = True


def graphql_switches(site: Site) -> GraphqlSwitches:
    """The site's own."""
    switches = site.extras.setdefault("graphql", GraphqlSwitches())
    if not isinstance(switches, GraphqlSwitches):
        raise TypeError("What the site keeps as graphql are not its switches: put a GraphqlSwitches there.")
    return switches
