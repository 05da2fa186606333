"""What a test asks of a Totara's tables."""

from typing import Any

from sqlalchemy import Engine, Select, func, select

from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.schema import tables

#: A row, by Totara's column names.
Row = dict[str, Any]

ADMIN = 2  #: the administrator of every Totara; user 1 is its guest


class SiteReads:
    """Rows are copies: changing one changes nothing in Totara."""

    def __init__(self, engine: Engine, prefix: str = "ttr_") -> None:
        """:param prefix: of the names of the tables."""
        self.engine = engine
        self.tables = tables(prefix)

    def learners(self) -> list[int]:
        """Who is neither deleted nor the guest nor the administrator, by id."""
        user = self.tables.user
        rows = self._rows(select(user.c.id).where(user.c.deleted == 0, user.c.id > ADMIN).order_by(user.c.id))
        return [row["id"] for row in rows]

    def courses(self) -> list[int]:
        """The courses, without the front page that is a course to Totara, by id."""
        course = self.tables.course
        rows = self._rows(select(course.c.id).where(course.c.category > 0).order_by(course.c.id))
        return [row["id"] for row in rows]

    def criteria(self, course: int) -> list[int]:
        """The completion criteria of a course, by id."""
        criterion = self.tables.course_completion_criteria
        rows = self._rows(select(criterion.c.id).where(criterion.c.course == course).order_by(criterion.c.id))
        return [row["id"] for row in rows]

    def pair_with(self, status: int, nth: int = 0) -> tuple[int, int]:
        """User and course of the nth completion of this status whose learner is not deleted, by row id.

        :raises LookupError: there are not so many.
        """
        current, user = self.tables.course_completions, self.tables.user
        rows = self._rows(
            select(current.c.userid, current.c.course)
            .join(user, user.c.id == current.c.userid)
            .where(current.c.status == Status(status), user.c.deleted == 0)
            .order_by(current.c.id)
            .offset(nth)
            .limit(1)
        )
        if not rows:
            raise LookupError(f"There are not {nth + 1} completions of status {status} in this Totara.")
        return rows[0]["userid"], rows[0]["course"]

    def user(self, user: int) -> Row:
        """One user's row."""
        return self._rows(select(self.tables.user).where(self.tables.user.c.id == user))[0]

    def completion(self, user: int, course: int) -> Row | None:
        """The current row of the pair."""
        current = self.tables.course_completions
        rows = self._rows(select(current).where(current.c.userid == user, current.c.course == course))
        return rows[0] if rows else None

    def history(self, user: int, course: int) -> list[Row]:
        """The archived completions of the pair, oldest row first."""
        past = self.tables.course_completion_history
        return self._rows(select(past).where(past.c.userid == user, past.c.courseid == course).order_by(past.c.id))

    def criteria_met(self, user: int, course: int) -> list[Row]:
        """What the pair has met of the course's criteria."""
        met = self.tables.course_completion_crit_compl
        return self._rows(select(met).where(met.c.userid == user, met.c.course == course).order_by(met.c.id))

    def log_since(self, log_id: int) -> list[Row]:
        """The lines of the change log after this id."""
        log = self.tables.course_completion_log
        return self._rows(select(log).where(log.c.id > log_id).order_by(log.c.id))

    def last_log_id(self) -> int:
        """The highest id in the change log, 0 while it is empty."""
        return int(self._rows(select(func.max(self.tables.course_completion_log.c.id).label("id")))[0]["id"] or 0)

    def _rows(self, statement: Select[Any]) -> list[Row]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]
