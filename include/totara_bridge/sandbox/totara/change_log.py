"""What Totara writes into ``course_completion_log.description``, word for word as measured on 17.3."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any

CREATED = "Created current completion in completion_completion->_save"
UPDATED = "Updated current completion in completion_completion->_save"
EDITED = "edited in completion editor"
HISTORY_EDITED = "History edited in completion editor"  # made up: this one was not recorded
ARCHIVED = "History created in archive_course_completion"
DELETED = "Deleted current completion and all crit compl records in delete_course_completion_data"
RESET = (
    "Deleted current completion and all crit compl records except where the current completion was RPL "
    "in delete_course_completion_data"
)

#: Filled with what happened, then the row's status, times, recognised prior learning and due date.
SAVED = (
    "%s<br/><ul><li>Status: %s</li><li>Time enrolled: %s</li><li>Time started: %s</li>"
    "<li>Time completed: %s</li><li>RPL: %s</li><li>RPL grade: %s</li>"
    "<li>Reaggregate: %s</li><li>Due date: %s</li></ul>"
)
#: Filled with what happened, then the history row's id, time and grade.
HISTORY_SAVED = "%s<br/><ul><li>CCHID: %s</li><li>Time completed: %s</li><li>Grade: %s</li></ul>"
#: Filled with the raw time enrolled and the time of re-aggregation; Totara's own spelling.
STARTED_IN_BULK = (
    "Created current completion in completion_start_user_bulk<br><ul><li>Status: Not yet started (10)</li>"
    "<li>Time enrolled (from user enrolment timestart): %s</li><li>Time started: Not set (0)</li>"
    "<li>Time completed: Not set (null)</li><li>RPL: Empty(null)</li><li>RPL grade: Empty (non-numeric)</li>"
    "<li>Reaggreagte: %s</li></ul>"
)
NO_TEXT = "Empty (null)"
NO_NUMBER = "Empty (non-numeric)"
NO_TIME = "Not set (null)"
ZERO_TIME = "Not set (0)"


class Status(IntEnum):
    """Totara's codes for where a learner stands in a course."""

    NOT_STARTED = 10
    IN_PROGRESS = 25
    COMPLETE = 50
    COMPLETE_RPL = 75


STATUS_WORDS = {
    Status.NOT_STARTED: "Not yet started (10)",
    Status.IN_PROGRESS: "In progress (25)",
    Status.COMPLETE: "Complete (50)",
    Status.COMPLETE_RPL: "Complete via rpl (75)",
}


def saved(what: str, row: Mapping[str, Any]) -> str:
    """A row of ``course_completions`` was written: ``CREATED``, ``UPDATED`` or ``EDITED``."""
    return SAVED % (
        what,
        STATUS_WORDS[Status(row["status"])],
        _time(row["timeenrolled"]),
        _time(row["timestarted"]),
        _time(row["timecompleted"]),
        row["rpl"] or NO_TEXT,
        _number(row["rplgrade"]),
        _time(row["reaggregate"]),
        _time(row["duedate"]),
    )


def history_saved(what: str, history_id: int, time_completed: int | None, grade: Decimal | None) -> str:
    """A row of ``course_completion_history`` was written."""
    return HISTORY_SAVED % (what, history_id, _time(time_completed), _number(grade))


def started_in_bulk(time_enrolled: int, now: int) -> str:
    """Cron made a row for somebody enrolled who had none."""
    return STARTED_IN_BULK % (time_enrolled, _time(now))


def _time(seconds: int | None) -> str:
    if seconds is None:
        return NO_TIME
    if seconds == 0:
        return ZERO_TIME
    at = datetime.fromtimestamp(seconds, UTC)
    return f"{at.day} {at:%B %Y, %H:%M} ({seconds})"


def _number(value: Decimal | None) -> str:
    return NO_NUMBER if value is None else f"{value.normalize():f}"
