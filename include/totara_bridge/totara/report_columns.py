"""The columns of a report of completions, queried or in files: what they are called, and which must be there."""

from collections.abc import Mapping

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.report import ColumnName

#: Type and value of the report builder's columns, as in the header of an export (recorded on 17.3).
KEYS: Mapping[ColumnName, tuple[str, ...]] = {
    "user_id": ("user_id",),
    "username": ("user_username",),
    "id_number": ("user_idnumber",),
    "email": ("user_emailunobscured", "user_email"),
    "first_name": ("user_firstname",),
    "last_name": ("user_lastname",),
    "course_id": ("course_id",),
    "short_name": ("course_shortname",),
    "course_id_number": ("course_idnumber",),
    "full_name": ("course_fullname", "course_courselink"),
    "status": ("course_completion_status",),
    "time_enrolled": ("course_completion_enrolleddate",),
    "time_started": ("course_completion_starteddate",),
    "time_completed": ("course_completion_completeddate",),
    "rpl": ("course_completion_rplnote",),
    "grade": ("course_completion_grade",),
    "progress": ("course_completion_progressnumeric", "course_completion_progresspercent"),
    "time_zone": ("user_timezone",),
}


def needed(connection: TotaraConnection) -> frozenset[ColumnName]:
    """The columns that must be there. Only ids say for certain who and which course is meant."""
    names: set[ColumnName] = {"user_id", "course_id", "status", *connection.report.columns}
    if connection.query.learner_idnumbers:
        names.add("id_number")
    if connection.days_of == "learner":
        names.add("time_zone")
    return frozenset(names)


def refuse_what_no_report_shows(query: ReadQuery) -> None:
    """Stop at a list of the connection's query that cannot be applied.

    :raises ConfigurationInvalid: it names categories or audiences.
    """
    for name in ("category_ids", "audience_idnumbers"):
        if getattr(query, name):
            raise ConfigurationInvalid(
                f"The query of the connection has {name}, which a report of completions does not show, so nothing was "
                f"read: take {name} out, and narrow the report in Totara or by a saved search instead."
            )
