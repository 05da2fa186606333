"""Completions that are in staging at once, without a Totara: one row for each thing that a filter can tell apart."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, text

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


class Staged:
    """Writes rows of staging; each completion changes a minute after the one before."""

    def __init__(self, staging: Engine) -> None:
        self.staging = staging
        self.changes = 0
        self.sql("INSERT INTO bridge.site VALUES ('sbx', 'totara', 1, :now), ('two', 'totara_two', 2, :now)", now=START)

    def sql(self, statement: str, **values: object) -> Sequence[Any]:
        """Do it; what it gives."""
        with self.staging.begin() as transaction:
            done = transaction.execute(text(statement), values)
            return done.all() if done.returns_rows else []

    def learner(self, user: int, *, site: str = "sbx", **columns: object) -> None:
        """A learner, all of whose names are made of the number unless they are given."""
        self._insert(
            "learner",
            {
                "site": site,
                "user_id": user,
                "username": f"user{user}",
                "id_number": f"E-{user}",
                "email": f"User{user}@example.com",
                "first_name": "Ann",
                "last_name": f"Name{user}",
                "suspended": False,
                "changed_at": START,
            }
            | columns,
        )

    def course(self, course: int, *, site: str = "sbx", **columns: object) -> None:
        """A course, all of whose names are made of the number unless they are given."""
        self._insert(
            "course",
            {
                "site": site,
                "course_id": course,
                "category_id": 5,
                "short_name": f"C-{course}",
                "id_number": f"N-{course}",
                "full_name": f"Course {course}",
                "visible": True,
                "changed_at": START,
            }
            | columns,
        )

    def completion(self, user: int, course: int, *, site: str = "sbx", **columns: object) -> str:
        """A completion; its id."""
        self._insert(
            "completion",
            {
                "site": site,
                "user_id": user,
                "course_id": course,
                "row_id": user * 1000 + course,
                "status": "in_progress",
                "changed_at": self.next_change(),
            }
            | columns,
        )
        return f"{site}-{user}-{course}"

    def change(self, user: int, course: int, *, site: str = "sbx", **columns: object) -> None:
        """A completion is merged again, with other values."""
        columns["changed_at"] = self.next_change()
        changes = ", ".join(f"{name} = :{name}" for name in columns)
        self.sql(
            f"""
            UPDATE bridge.completion SET {changes}, change_seq = nextval('bridge.change_seq')
            WHERE site = :site AND user_id = :user AND course_id = :course
            """,
            **columns, site=site, user=user, course=course,
        )  # fmt: skip

    def instance(self, user: int, course: int, *, site: str = "sbx", **columns: object) -> str:
        """An instance of a completion; its record key."""
        [(number,)] = self.sql("SELECT count(*) FROM bridge.completion_instance")
        completed = START + timedelta(days=number)
        key = f"TB{number:026}"
        self._insert(
            "completion_instance",
            {
                "site": site,
                "user_id": user,
                "course_id": course,
                "row_id": 1,
                "status": "complete",
                "time_completed": completed,
                "first_time_completed": completed,
                "ordinal": 0,
                "revision": 1,
                "record_key": key,
                "after_deletion": False,
                "first_seen_at": START,
            }
            | columns,
        )
        return key

    def acknowledge(
        self, user: int, course: int, *, site: str = "sbx", caller: str = "warehouse", older: bool = False
    ) -> None:
        """A caller acknowledges a completion as it is now, or as it was."""
        self.sql(
            f"""
            INSERT INTO bridge.acknowledgement (caller, site, user_id, course_id, change_seq, status, acknowledged_at)
            SELECT :caller, site, user_id, course_id, change_seq{" - 1" if older else ""}, 'processed', :now
            FROM bridge.completion WHERE site = :site AND user_id = :user AND course_id = :course
            """,
            caller=caller, site=site, user=user, course=course, now=START,
        )  # fmt: skip

    def next_change(self) -> datetime:
        """When the next change is merged."""
        self.changes += 1
        return START + timedelta(minutes=self.changes)

    def _insert(self, table: str, columns: dict[str, object]) -> None:
        values = ", ".join(f":{name}" for name in columns)
        self.sql(f"INSERT INTO bridge.{table} ({', '.join(columns)}) VALUES ({values})", **columns)
