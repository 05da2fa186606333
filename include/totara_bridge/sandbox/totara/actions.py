"""What happens to completions in a Totara: row, history and change log change together, as measured."""

from decimal import Decimal

from sqlalchemy import Connection, delete, select, update

from totara_bridge.sandbox.totara import change_log
from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.site_acts import SiteActs
from totara_bridge.sandbox.totara.site_reads import ADMIN, Row

CRON = 0  #: ``changeuserid`` of what nobody did by hand


class TotaraActs(SiteActs):
    """Each method is one thing that Totara does, in one transaction.

    Acts on a completion that is not there raise `LookupError`. Times are Unix seconds.
    """

    def enrol(self, user: int, course: int) -> int:
        """Enrol by hand; makes the completion row unless an earlier enrolment left one. Gives its id."""
        now = self._now()
        with self.engine.begin() as connection:
            method = connection.scalar(self._enrolment_methods(course).where(self.tables.enrol.c.enrol == "manual"))
            if method is None:
                raise LookupError(f"Course {course} has no manual enrolment.")
            enrolment = {
                "enrolid": method,
                "userid": user,
                "timestart": now,
                "timeend": 0,
                "modifierid": ADMIN,
            }
            self._insert(connection, self.tables.user_enrolments, **enrolment, **self._new())
            left = self._find(connection, user, course)
            if left is not None:
                return int(left["id"])
            return self._create(connection, user, course, time_enrolled=now)

    def start(self, user: int, course: int) -> None:
        """A learner begins."""
        with self.engine.begin() as connection:
            self._start(connection, self._current(connection, user, course))

    def complete(self, user: int, course: int, at: int | None = None) -> None:
        """A learner completes the course, and so all its criteria."""
        at = self._now() if at is None else at
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            self._complete(connection, row, at)
            for criterion in self._missing(connection, user, course):
                self._meet(connection, user, course, criterion, at)

    def complete_by_rpl(self, user: int, course: int, at: int, note: str, grade: Decimal | None = None) -> None:
        """Somebody recognises prior learning, usually dated in the past: no criterion is met."""
        values: Row = {"timecompleted": at, "rpl": note, "rplgrade": grade}
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            self._save(connection, row, values | self._job(connection, user))

    def complete_without_date(self, user: int, course: int, note: str | None = None) -> None:
        """The row becomes complete, by RPL with a note, and has no date, or no more.

        Totara's completion editor lists such rows as wrong. How one comes to be was not recorded: here it is logged.
        """
        status = Status.COMPLETE_RPL if note else Status.COMPLETE
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            self._save(connection, row, {"timecompleted": None, "rpl": note}, status=status)

    def meet_criterion(self, user: int, course: int, criterion: int) -> None:
        """A learner meets a criterion; the last one completes the course, the first one begins it.

        Measured: meeting a course's only criterion leaves one line in the log, that of the course completed.
        Of a criterion between the first and the last no recording exists: here it leaves none.
        """
        now = self._now()
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            self._meet(connection, user, course, criterion, now)
            if not self._missing(connection, user, course):
                self._complete(connection, row, now)
            elif not row["timestarted"]:
                self._start(connection, row)

    def edit_date(self, user: int, course: int, at: int) -> None:
        """Somebody changes the completion date in the completion editor."""
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            self._save(connection, row, {"timecompleted": at}, what=change_log.EDITED)

    def regress(self, user: int, course: int) -> None:
        """Somebody sets the completion back to in progress in the completion editor; criteria stay met."""
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            started = row["timestarted"] or row["timeenrolled"]
            unset = dict.fromkeys(("timecompleted", "rpl", "rplgrade", "organisationid", "positionid"))
            self._save(connection, row, {**unset, "timestarted": started}, what=change_log.EDITED)

    def delete_completion(self, user: int, course: int) -> None:
        """Somebody deletes the completion in the completion editor."""
        with self.engine.begin() as connection:
            self._delete(connection, self._current(connection, user, course))

    def archive(self, user: int, course: int) -> int:
        """A recertification window opens, or somebody archives what is complete. Gives the history row's id."""
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            if row["status"] not in (Status.COMPLETE, Status.COMPLETE_RPL):
                raise LookupError(f"User {user} has not completed course {course}: Totara archives nothing else.")
            kept = {"timecompleted": row["timecompleted"], "grade": row["rplgrade"]}
            past = self.tables.course_completion_history
            history_id = self._insert(connection, past, courseid=course, userid=user, **kept)
            words = change_log.history_saved(change_log.ARCHIVED, history_id, *kept.values())
            self._log(connection, course, user, words)
            self._delete(connection, row)
            return history_id

    def recreate(self, user: int, course: int) -> int:
        """Cron makes a new row for somebody enrolled who has none, as after archiving. Gives its id."""
        enrolments = self.tables.user_enrolments
        with self.engine.begin() as connection:
            enrolled = connection.scalar(
                select(enrolments.c.timestart).where(
                    enrolments.c.userid == user, enrolments.c.enrolid.in_(self._enrolment_methods(course))
                )
            )
            if enrolled is None:
                raise LookupError(f"User {user} is not enrolled in course {course}.")
            words = change_log.started_in_bulk(enrolled, self._now())
            return self._create(connection, user, course, time_enrolled=enrolled, words=words)

    def reset_course(self, course: int) -> None:
        """Criteria are unlocked, completions deleted: RPL stays, one log line stands for everybody."""
        current, met = self.tables.course_completions, self.tables.course_completion_crit_compl
        with self.engine.begin() as connection:
            connection.execute(
                delete(current).where(current.c.course == course, current.c.rpl.is_(None) | (current.c.rpl == ""))
            )
            recognised = select(current.c.userid).where(current.c.course == course)
            connection.execute(delete(met).where(met.c.course == course, met.c.userid.not_in(recognised)))
            self._log(connection, course, None, change_log.RESET)

    def edit_history_date(self, history_id: int, at: int) -> None:
        """Somebody changes the date of an archived completion in the completion editor.

        The editor logs what it changes; its words for this were not recorded.
        """
        past = self.tables.course_completion_history
        with self.engine.begin() as connection:
            row = connection.execute(select(past).where(past.c.id == history_id)).mappings().one_or_none()
            if row is None:
                raise LookupError(f"There is no archived completion {history_id} in this Totara.")
            connection.execute(update(past).where(past.c.id == history_id).values(timecompleted=at))
            words = change_log.history_saved(change_log.HISTORY_EDITED, history_id, at, row["grade"])
            self._log(connection, row["courseid"], row["userid"], words)

    def sql_update_without_log(self, user: int, course: int, at: int) -> None:
        """Somebody changes the completion date behind Totara's back."""
        current = self.tables.course_completions
        with self.engine.begin() as connection:
            row = self._current(connection, user, course)
            connection.execute(update(current).where(current.c.id == row["id"]).values(timecompleted=at))

    def _find(self, connection: Connection, user: int, course: int) -> Row | None:
        current = self.tables.course_completions
        statement = select(current).where(current.c.userid == user, current.c.course == course)
        row = connection.execute(statement.with_for_update()).mappings().one_or_none()
        return None if row is None else dict(row)

    def _current(self, connection: Connection, user: int, course: int) -> Row:
        row = self._find(connection, user, course)
        if row is None:
            raise LookupError(f"User {user} has no completion in course {course}: enrol the user first.")
        return row

    def _create(
        self, connection: Connection, user: int, course: int, *, time_enrolled: int, words: str | None = None
    ) -> int:
        values = {"timeenrolled": time_enrolled, "reaggregate": self._now(), "status": Status.NOT_STARTED}
        made = self._insert(connection, self.tables.course_completions, userid=user, course=course, **values)
        if words is None:
            row = self._current(connection, user, course)
            self._log(connection, course, user, change_log.saved(change_log.CREATED, row))
        else:
            self._log(connection, course, user, words, changed_by=CRON)
        return made

    def _start(self, connection: Connection, row: Row) -> None:
        self._save(connection, row, {"timestarted": self._now()})

    def _complete(self, connection: Connection, row: Row, at: int) -> None:
        values = {"timecompleted": at, **self._job(connection, row["userid"])}
        self._save(connection, row, values, changed_by=CRON)

    def _save(
        self,
        connection: Connection,
        row: Row,
        values: Row,
        *,
        what: str = change_log.UPDATED,
        changed_by: int = ADMIN,
        status: Status | None = None,
    ) -> None:
        after = {**row, **values}
        after["status"] = status or _status(after)
        current = self.tables.course_completions
        connection.execute(update(current).where(current.c.id == row["id"]).values(after))
        self._log(connection, row["course"], row["userid"], change_log.saved(what, after), changed_by)

    def _delete(self, connection: Connection, row: Row) -> None:
        current, met = self.tables.course_completions, self.tables.course_completion_crit_compl
        user, course = row["userid"], row["course"]
        connection.execute(delete(current).where(current.c.id == row["id"]))
        connection.execute(delete(met).where(met.c.userid == user, met.c.course == course))
        self._log(connection, course, user, change_log.DELETED)

    def _log(self, connection: Connection, course: int, user: int | None, words: str, changed_by: int = ADMIN) -> None:
        line = {"courseid": course, "userid": user, "changeuserid": changed_by, "description": words}
        self._insert(connection, self.tables.course_completion_log, **line, timemodified=self._now())

    def _missing(self, connection: Connection, user: int, course: int) -> list[int]:
        criterion, met = self.tables.course_completion_criteria, self.tables.course_completion_crit_compl
        already = select(met.c.criteriaid).where(
            met.c.userid == user, met.c.course == course, met.c.timecompleted.is_not(None)
        )
        of_course = select(criterion.c.id).where(criterion.c.course == course, criterion.c.id.not_in(already))
        return list(connection.scalars(of_course.order_by(criterion.c.id)))

    def _meet(self, connection: Connection, user: int, course: int, criterion: int, at: int) -> None:
        pair = {"userid": user, "course": course}
        met = self.tables.course_completion_crit_compl
        self._insert(connection, met, **pair, criteriaid=criterion, timecompleted=at)

    def _job(self, connection: Connection, user: int) -> dict[str, int]:
        job = self.tables.job_assignment
        statement = select(job.c.organisationid, job.c.positionid).where(job.c.userid == user).order_by(job.c.sortorder)
        held = connection.execute(statement).first()
        organisation, position = held or (0, 0)
        return {"organisationid": organisation or 0, "positionid": position or 0}


def _status(row: Row) -> Status:
    if row["timecompleted"] is not None:
        return Status.COMPLETE_RPL if row["rpl"] else Status.COMPLETE
    return Status.IN_PROGRESS if row["timestarted"] else Status.NOT_STARTED
