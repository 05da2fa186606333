"""What happens to users, courses and enrolments of a Totara.

None of it writes to the change log of completions (measured on 17.3).
"""

import random
import string
import time
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Engine, Table, delete, func, insert, select, update

from totara_bridge.sandbox.totara.seed import SELF_COMPLETION
from totara_bridge.sandbox.totara.site_reads import SiteReads


class SiteActs(SiteReads):
    """Each method is one thing that Totara does, in one transaction."""

    def __init__(self, engine: Engine, prefix: str = "ttr_", clock: Callable[[], float] = time.time) -> None:
        """:param clock: gives the present in Unix seconds."""
        super().__init__(engine, prefix)
        self._clock = clock

    def new_user(self, **fields: Any) -> int:
        """Create a user; what is not given is made up. Gives the id."""
        with self.engine.begin() as connection:
            number = self._next_number(connection, self.tables.user)
            row = {
                "confirmed": 1,
                "username": f"u{number:04}",
                "idnumber": f"EMP{number:05}",
                "firstname": "Zoë",
                "lastname": f"O’Connor{number}",
                "email": f"u{number:04}@example.com",
            }
            return self._insert(connection, self.tables.user, **{**row, **self._new(), **fields})

    def new_course(self, *, criteria: int = 1, **fields: Any) -> int:
        """Create a course with so many completion criteria and manual enrolment. Gives the id."""
        site = self.tables
        with self.engine.begin() as connection:
            number = self._next_number(connection, site.course)
            row = {
                "category": 1,
                "fullname": f"Course {number}",
                "shortname": f"C{number:03}",
                "idnumber": f"CRS-{number:03}",
                "enablecompletion": 1,
            }
            course = self._insert(connection, site.course, **{**row, **self._new(), **fields})
            self._insert(connection, site.enrol, enrol="manual", courseid=course, **self._new())
            for _ in range(criteria):
                criterion = {"course": course, "criteriatype": SELF_COMPLETION}
                self._insert(connection, site.course_completion_criteria, **criterion)
            return course

    def new_category(self, *, parent: int = 0) -> int:
        """Create a course category, at the top or below another. Gives the id."""
        category = self.tables.course_categories
        with self.engine.begin() as connection:
            above = connection.execute(select(category.c.path, category.c.depth).where(category.c.id == parent)).first()
            path, depth = above or ("", 0)
            number = self._next_number(connection, category)
            row = {"name": f"Category {number}", "parent": parent, "sortorder": number * 10_000, "depth": depth + 1}
            made = self._insert(connection, category, **row, timemodified=self._now())
            connection.execute(update(category).where(category.c.id == made).values(path=f"{path}/{made}"))
            return made

    def move_course(self, course: int, *, category: int) -> None:
        """A course goes to another category."""
        table = self.tables.course
        with self.engine.begin() as connection:
            connection.execute(update(table).where(table.c.id == course).values(category=category))

    def new_audience(self, id_number: str, members: Iterable[int] = ()) -> int:
        """Create an audience with these members. Gives the id."""
        with self.engine.begin() as connection:
            row = {"name": id_number, "idnumber": id_number, "contextid": 1}
            audience = self._insert(connection, self.tables.cohort, **row, **self._new())
        for user in members:
            self.join_audience(user, audience)
        return audience

    def join_audience(self, user: int, audience: int) -> None:
        """A user becomes a member."""
        with self.engine.begin() as connection:
            member = {"cohortid": audience, "userid": user, "timeadded": self._now()}
            self._insert(connection, self.tables.cohort_members, **member)

    def leave_audience(self, user: int, audience: int) -> None:
        """A user is a member no more: nothing tells of it."""
        table = self.tables.cohort_members
        with self.engine.begin() as connection:
            connection.execute(delete(table).where(table.c.cohortid == audience, table.c.userid == user))

    def rename_user(self, user: int, lastname: str) -> None:
        """A profile is edited."""
        with self.engine.begin() as connection:
            self._update_user(connection, user, lastname=lastname)

    def suspend_user(self, user: int) -> None:
        """An account is suspended: enrolments and completions stay."""
        with self.engine.begin() as connection:
            self._update_user(connection, user, suspended=1)

    def delete_user(self, user: int) -> None:
        """An account is deleted: user name, e-mail address, id number and enrolments go, completions stay."""
        username = f"deleted_{''.join(random.choices(string.ascii_lowercase + string.digits, k=32))}"
        site = self.tables
        with self.engine.begin() as connection:
            self._update_user(connection, user, deleted=1, username=username, email="", idnumber="")
            for table in (site.user_enrolments, site.cohort_members):
                connection.execute(delete(table).where(table.c.userid == user))

    def unenrol(self, user: int, course: int) -> None:
        """A learner leaves a course: the completion stays.

        :raises LookupError: the learner is not enrolled.
        """
        enrolments = self.tables.user_enrolments
        with self.engine.begin() as connection:
            gone = connection.execute(
                delete(enrolments).where(
                    enrolments.c.userid == user, enrolments.c.enrolid.in_(self._enrolment_methods(course))
                )
            )
            if not gone.rowcount:
                raise LookupError(f"User {user} is not enrolled in course {course}.")

    def delete_course(self, course: int) -> None:
        """A course goes with everything of it except the change log, to which nothing is added."""
        site = self.tables
        with self.engine.begin() as connection:
            enrolments = site.user_enrolments
            connection.execute(delete(enrolments).where(enrolments.c.enrolid.in_(self._enrolment_methods(course))))
            for table, column in (
                (site.enrol, "courseid"),
                (site.course_completions, "course"),
                (site.course_completion_crit_compl, "course"),
                (site.course_completion_criteria, "course"),
                (site.course_completion_history, "courseid"),
                (site.course, "id"),
            ):
                connection.execute(delete(table).where(table.c[column] == course))

    def _enrolment_methods(self, course: int) -> Any:
        return select(self.tables.enrol.c.id).where(self.tables.enrol.c.courseid == course)

    def _update_user(self, connection: Connection, user: int, **fields: Any) -> None:
        statement = update(self.tables.user).where(self.tables.user.c.id == user)
        if not connection.execute(statement.values(**fields, timemodified=self._now())).rowcount:
            raise LookupError(f"There is no user {user} in this Totara.")

    def _insert(self, connection: Connection, table: Table, **fields: Any) -> int:
        return int((connection.execute(insert(table).values(**fields)).inserted_primary_key or [0])[0])

    def _next_number(self, connection: Connection, table: Table) -> int:
        return int(connection.scalar(select(func.max(table.c.id))) or 0) + 1

    def _now(self) -> int:
        return int(self._clock())

    def _new(self) -> dict[str, int]:
        return {"timecreated": self._now(), "timemodified": self._now()}
