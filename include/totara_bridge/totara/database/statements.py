"""What is asked of Totara's database, for PostgreSQL and MySQL/MariaDB alike.

Names and meanings of columns as measured on Totara 17.3: times are Unix seconds, 0 or NULL is no time; there are no
foreign keys, so a row may belong to a deleted user or a deleted course; ``course_completions`` has no time of change,
hence the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import ColumnElement, FromClause, Select, Subquery, and_, func, null, select, union

from totara_bridge.totara.database.catalogue import Catalogue
from totara_bridge.totara.database.columns import flag, progress, status
from totara_bridge.totara.database.tables import Tables
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import Window

#: Totara's ``course.containertype`` of what learners know as a course.
_COURSE = "container_course"

Statement = Select[Any] | sa.CompoundSelect[Any]


@dataclass(frozen=True)
class Changes:
    """What a window of the change log names.

    The whole courses are numbers, not a sub-select: as most often there are none, the database is not to reckon
    with a course full of rows and read a whole table instead of the few that changed.
    """

    window: Window
    whole_courses: tuple[int, ...]


class Statements:
    """The statements over the tables of one Totara, with one connection's query."""

    def __init__(self, catalogue: Catalogue, query: ReadQuery) -> None:
        self._query = query
        self._catalogue = catalogue
        tables = Tables(catalogue)
        self._completion, self._history, self._log = tables.completion, tables.history, tables.log
        self._criterion, self._met = tables.criterion, tables.met
        self._user, self._course, self._category = tables.user, tables.course, tables.category
        self._cohort, self._member = tables.cohort, tables.member

    def fingerprint(self) -> Statement:
        """When course 1, the site itself, was made."""
        return select(self._course.c.timecreated).where(self._course.c.id == 1)

    def newest_log_id(self) -> Statement:
        """The highest id of the change log; 0 where it is empty."""
        return select(func.coalesce(func.max(self._log.c.id), 0))

    def log_id_before(self, time: int, *, up_to: int) -> Statement:
        """The last row not above ``up_to`` that was written before ``time``: walks back along the primary key."""
        log = self._log.c
        return select(log.id).where(log.id <= up_to, log.timemodified < time).order_by(log.id.desc()).limit(1)

    def changed_pairs(self, window: Window) -> Statement:
        """Each pair of learner and course that the window names."""
        log = self._log.c
        return select(log.userid, log.courseid).where(self._within(window), log.userid.is_not(None)).distinct()

    def whole_courses(self, window: Window) -> Statement:
        """Each course that was changed as a whole: its rows in the log name no learner."""
        log = self._log.c
        return select(log.courseid).where(self._within(window), log.userid.is_(None)).distinct()

    def completions(self, changes: Changes | None) -> Statement:
        """Columns as in `COMPLETION_COLUMNS`."""
        row = self._completion.c
        criteria = (
            select(self._criterion.c.course, func.count().label("number"))
            .group_by(self._criterion.c.course)
            .subquery("criteria")
        )
        met = self._met.c if self._catalogue.has("course_completion_crit_compl") else None
        statement = select(
            row.id,
            row.userid,
            row.course,
            status(row),
            progress(row, met, criteria.c.number),
            row.rplgrade,
            func.nullif(row.rpl, ""),
            func.nullif(row.timeenrolled, 0),
            func.nullif(row.timestarted, 0),
            func.nullif(row.timecompleted, 0),
            null(),
        ).select_from(self._completion.outerjoin(criteria, criteria.c.course == row.course))
        return self._limit(statement, row.userid, row.course, self._completion, changes)

    def history(self, changes: Changes | None) -> Statement:
        """Columns as in `HISTORY_COLUMNS`."""
        row = self._history.c
        statement = select(row.id, row.userid, row.courseid, func.nullif(row.timecompleted, 0), row.grade)
        return self._limit(statement, row.userid, row.courseid, self._history, changes)

    def learners(self, changes: Changes | None) -> Statement:
        """Columns as in `LEARNER_COLUMNS`, of learners with a completion or an archived one."""
        row = self._user.c
        return select(
            row.id,
            row.username,
            row.idnumber,
            row.email,
            row.firstname,
            row.lastname,
            flag(row.suspended),
            flag(row.deleted),
        ).where(row.id.in_(select(self._read_pairs(changes).c.userid)))

    def courses(self, changes: Changes | None) -> Statement:
        """Columns as in `COURSE_COLUMNS`, of courses with a completion or an archived one."""
        row = self._course.c
        return (
            select(
                row.id,
                row.category,
                func.coalesce(self._category.c.path, ""),
                row.shortname,
                row.idnumber,
                row.fullname,
                flag(row.visible),
            )
            .select_from(self._course.outerjoin(self._category, self._category.c.id == row.category))
            .where(row.id.in_(select(self._read_pairs(changes).c.courseid)))
        )

    def audiences(self, id_numbers: Sequence[str]) -> Statement:
        """The id numbers of those of these audiences that there are; DISTINCT would take STAFF for staff on MySQL."""
        return select(self._cohort.c.idnumber).where(self._cohort.c.idnumber.in_(id_numbers))

    def audience_members(self, id_numbers: Sequence[str], changes: Changes | None) -> Statement:
        """Columns as in `AUDIENCE_MEMBER_COLUMNS`: of all users, or of the learners of `learners`.

        As in `audiences` without DISTINCT: who is in two audiences of one id number is there twice.
        """
        member = self._member.c
        members = (
            select(member.userid, self._cohort.c.idnumber)
            .join(self._cohort, self._cohort.c.id == member.cohortid)
            .where(self._cohort.c.idnumber.in_(id_numbers))
        )
        if changes is None:
            return members
        return members.where(member.userid.in_(select(self._read_pairs(changes).c.userid)))

    def present_pairs(self, changes: Changes | None) -> Statement:
        """Each pair that has a completion or an archived one, whatever the connection's query says."""
        return select(self._pairs(changes, limited=False))

    def _read_pairs(self, changes: Changes | None) -> Subquery:
        return self._pairs(changes, limited=True)

    def _pairs(self, changes: Changes | None, *, limited: bool) -> Subquery:
        parts = []
        for table, course in (
            (self._completion, self._completion.c.course),
            (self._history, self._history.c.courseid),
        ):
            user = table.c.userid
            statement = select(user.label("userid"), course.label("courseid"))
            if limited:
                parts.append(self._limit(statement, user, course, table, changes))
            else:
                parts.append(self._within_pairs(statement, user, course, table, changes))
        return union(*parts).subquery("pairs")

    def _limit(
        self,
        statement: Select[Any],
        user: ColumnElement[int],
        course: ColumnElement[int],
        table: FromClause,
        changes: Changes | None,
    ) -> Select[Any]:
        return self._within_pairs(statement, user, course, table, changes).where(*self._wanted(user, course))

    def _within_pairs(
        self,
        statement: Select[Any],
        user: ColumnElement[int],
        course: ColumnElement[int],
        table: FromClause,
        changes: Changes | None,
    ) -> Select[Any]:
        """The statement over ``table``, cut to the pairs that changed."""
        if changes is None:
            return statement
        other = table.alias("of_whole_course")
        other_course = other.c.course if "course" in other.c else other.c.courseid
        # a join with what is named, not a condition on every row: the cost grows with the change, not the table
        pairs = self.changed_pairs(changes.window)
        of_whole_courses = select(other.c.userid, other_course).where(other_course.in_(changes.whole_courses))
        named = (union(pairs, of_whole_courses) if changes.whole_courses else pairs).subquery("named")
        return statement.join(named, and_(named.c.userid == user, named.c.courseid == course))

    def _wanted(self, user: ColumnElement[int], course: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """The connection's query as conditions, and that a course is one: workspaces and the like are none."""
        query = self._query
        conditions: list[ColumnElement[bool]] = []
        if self._catalogue.has("course", "containertype"):
            # not "one of the courses": a completion may outlive its course
            other = select(self._course.c.id).where(self._course.c.containertype != _COURSE)
            conditions.append(course.not_in(other))
        if query.course_ids:
            conditions.append(course.in_(query.course_ids))
        if query.category_ids:
            conditions.append(
                course.in_(select(self._course.c.id).where(self._course.c.category.in_(query.category_ids)))
            )
        if query.audience_idnumbers:
            members = select(self._member.c.userid).where(
                self._member.c.cohortid.in_(
                    select(self._cohort.c.id).where(self._cohort.c.idnumber.in_(query.audience_idnumbers))
                )
            )
            conditions.append(user.in_(members))
        if query.learner_idnumbers:
            conditions.append(
                user.in_(select(self._user.c.id).where(self._user.c.idnumber.in_(query.learner_idnumbers)))
            )
        return conditions

    def _within(self, window: Window) -> ColumnElement[bool]:
        return and_(self._log.c.id > window.after, self._log.c.id <= window.up_to)
