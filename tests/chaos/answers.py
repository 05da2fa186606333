"""Everything that Oracle, or what stands before it, may answer: one fault for each row of the table of answers."""

from dataclasses import dataclass, field
from typing import Any

from tests.chaos.sender import DRAINED

#: A sender goes on, or leaves a destination alone that failed several times in a row.
GOES_ON = (DRAINED, "OracleUnavailable")
STOPS = ("OracleRefused",)


@dataclass(frozen=True)
class Answer:
    """A request that is answered so, and what comes of it."""

    action: dict[str, Any]
    #: Oracle has the items all the same: they come again as duplicates; none: that is as it happens
    stored: bool | None = False
    ends: tuple[str, ...] = GOES_ON  #: how the sender may end
    times: int = 3  #: requests that are met
    match: dict[str, Any] = field(default_factory=dict)  #: instead of random requests
    timeout: float = 30.0  #: of the sender, in seconds


_IN_A_SECOND, _IN_AN_HOUR = {"Retry-After": "1"}, {"Retry-After": "3600"}
_AT_A_DATE = {"Retry-After": "Fri, 01 Jan 2100 00:00:00 GMT"}
_ERROR = {"error": {"code": "ORA-1", "message": "no space left"}}

ANSWERS = {
    "200 without results": Answer({"status": 200, "body": {}, "store": True}, ends=(DRAINED,)),
    "204": Answer({"status": 204, "store": True}, ends=(DRAINED,)),
    "200 HTML": Answer({"html": True}),
    "200 HTML but stored": Answer({"html": True, "store": True}, stored=True),
    "200 cut short": Answer({"truncate": 90}, stored=True),
    "200 with an error": Answer({"status": 200, "body": _ERROR}),
    "200 results name items twice": Answer({"twice": "results"}, ends=(DRAINED,)),
    "200 comes twice at once": Answer({"twice": "at_once"}, ends=(DRAINED,)),
    # where no later request goes over that connection, nobody reads it
    "200 comes again in place of the next": Answer({"twice": "late"}, stored=None),
    "207 item to be retried": Answer({"item": "retry"}, match={"item": True}, ends=(DRAINED,)),
    "207 item missing": Answer({"item": "missing"}, match={"item": True}, ends=(DRAINED,)),
    "207 unknown word": Answer({"item": "perhaps"}, match={"item": True}, ends=(DRAINED,)),
    "400": Answer({"status": 400, "body": _ERROR}, ends=(DRAINED,)),
    "422": Answer({"status": 422, "body": _ERROR}, ends=(DRAINED,)),
    "413": Answer({"status": 413}, match={"over_bytes": 20_000}, ends=(DRAINED,)),
    "401 once": Answer({"status": 401}, times=1, ends=(DRAINED,)),
    "401 for good": Answer({"status": 401}, match={"next": 100}, ends=("CredentialsRefused",)),
    "409": Answer({"status": 409}),
    "408": Answer({"status": 408}),
    "425": Answer({"status": 425}),
    "429": Answer({"status": 429}),
    "429, in a second": Answer({"status": 429, "headers": _IN_A_SECOND}, times=1),
    "429, in an hour": Answer({"status": 429, "headers": _IN_AN_HOUR}),
    "429, at a date": Answer({"status": 429, "headers": _AT_A_DATE}),
    "500": Answer({"status": 500, "body": _ERROR}),
    "500 but stored": Answer({"status": 500, "store": True}, stored=True),
    "502": Answer({"status": 502, "body": "<html>bad gateway</html>"}),
    "503": Answer({"status": 503}),
    "503, in an hour": Answer({"status": 503, "headers": _IN_AN_HOUR}),
    "504 but stored": Answer({"status": 504, "store": True}, stored=True),
    "302": Answer({"status": 302, "headers": {"Location": "https://login.example.com/"}}, times=1, ends=STOPS),
    "403": Answer({"status": 403}, times=1, ends=STOPS),
    "404": Answer({"status": 404}, times=1, ends=STOPS),
    "418": Answer({"status": 418}, times=1, ends=STOPS),
    "closed before": Answer({"close": "before"}),
    "lost, closed after it stored": Answer({"close": "after"}, stored=True),
    "lost, closed within": Answer({"cut": 50}, stored=True),
    "lost, none in time": Answer({"hang": "after"}, stored=True, timeout=1.0),
}
