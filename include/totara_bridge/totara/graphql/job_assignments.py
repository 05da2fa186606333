"""Job assignments as the external GraphQL API shows them."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.graphql.pages import rows

_FIELDS = (
    "id",
    "userid",
    "idnumber",
    "fullname",
    "startdate(format:TIMESTAMP)",
    "enddate(format:TIMESTAMP)",
    "position{ idnumber }",
    "organisation{ idnumber }",
    "managerjaid",
)


class JobAssignment(NamedTuple):
    """One job of a learner; a learner may have several."""

    job_id: int
    user_id: int
    id_number: str
    full_name: str | None
    starts_at: int | None  #: Unix seconds
    ends_at: int | None
    position: str | None  #: its id number
    organisation: str | None  #: its id number
    manager_job_id: int | None


def job_assignments(client: GraphqlClient) -> Iterator[JobAssignment]:
    """Each job of each learner who is not deleted, in the order of their ids.

    :raises TotaraUnavailable: no answer, or none now.
    :raises TotaraRefused: they may not be read.
    """
    for row in rows(client, "totara_job_job_assignments", _FIELDS):
        yield JobAssignment(
            int(row["id"]),
            int(row["userid"]),
            str(row.get("idnumber") or ""),
            row.get("fullname"),
            _number(row.get("startdate")),
            _number(row.get("enddate")),
            _place(row.get("position")),
            _place(row.get("organisation")),
            _number(row.get("managerjaid")),
        )


def _number(value: Any) -> int | None:
    return int(value) if value not in (None, "", 0, "0") else None


def _place(value: Any) -> str | None:
    return value.get("idnumber") if isinstance(value, dict) else None
