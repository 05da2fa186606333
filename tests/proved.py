"""Completions of which every kind of fate has another number, for the proof of delivery."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Engine, text

from totara_bridge.route import Route
from totara_bridge.staging.proof_part import Part

JANUARY, FEBRUARY = datetime(2026, 1, 15, 12, tzinfo=UTC), datetime(2026, 2, 15, 12, tzinfo=UTC)

#: A bridge whose route leaves out courses that are OFF.
BRIDGE_TOML = """
timezone = "Pacific/Auckland"
[[sites]]
code = "sbx"
connection = "totara_sandbox"
[[sites]]
code = "two"
connection = "totara_two"
[[destinations]]
code = "oracle"
connection = "oracle_sandbox"
route.not_courses = ["OFF-*"]
[[destinations]]
code = "other"
connection = "oracle_other"
"""

#: When Totara was asked, and after that.
MARCH, APRIL = datetime(2026, 3, 15, 12, tzinfo=UTC), datetime(2026, 4, 15, 12, tzinfo=UTC)

#: All but what is named OFF.
ROUTE = Route(not_courses=("OFF-*",))

#: How many completions there are in each part.
COUNTS: Mapping[Part, int] = {
    Part.DELIVERED: 13,
    Part.QUEUED: 2,
    Part.SENDING: 3,
    Part.FAILED: 4,
    Part.HELD: 5,
    Part.DEAD: 6,
    Part.ERASED: 7,
    Part.CANCELLED: 8,
    Part.LOST: 9,
    Part.LEARNER_DELETED: 10,
    Part.NOT_ROUTED: 11,
    Part.BASELINE: 12,
}

#: Those of January; the others are of February.
IN_JANUARY = (Part.DELIVERED, Part.DEAD, Part.BASELINE)

#: Of a course and a day, how many completions Totara has; how many of these are of learners who were erased, and how
#: many cannot be true.
Counts = Mapping[tuple[int, date], tuple[int, int, int]]

#: Those of `COUNTS`, in Auckland: noon in UTC is the next day there.
IN_TOTARA: Counts = {
    (1, date(2026, 1, 16)): (13 + 6 + 12, 0, 0),
    (1, date(2026, 2, 16)): (90 - 31 - 11, 0, 0),
    (9, date(2026, 2, 16)): (11, 0, 0),
}


def write_comparison(
    staging: Engine, counts: Counts, *, site: str = "sbx", at: datetime, query: str = "{}", pending: int = 0,
    by: str = "ann", missing: int = 0, extra: int = 0,
) -> None:  # fmt: skip
    """A site was compared with Totara, for the last time so far."""
    ended = """
        DELETE FROM bridge.reconciled_count
        WHERE reconciliation_id IN (SELECT id FROM bridge.reconciliation WHERE site = :site)
    """
    made = """
        INSERT INTO bridge.reconciliation (site, made_at, made_by, query, missing, extra, different, pending, repaired)
        VALUES (:site, :at, :by, :query, :missing, :extra, 0, :pending, false) RETURNING id
    """
    counted = "INSERT INTO bridge.reconciled_count VALUES (:made, :course, :day, :completed, :erased, :set_aside)"
    with staging.begin() as transaction:
        transaction.execute(text(ended), {"site": site})
        values = {"site": site, "at": at, "by": by, "query": query, "pending": pending, "missing": missing}
        values["extra"] = extra
        number = transaction.execute(text(made), values).scalar_one()
        names = ("completed", "erased", "set_aside")
        rows = [
            {"made": number, "course": course, "day": day, **dict(zip(names, said, strict=True))}
            for (course, day), said in counts.items()
        ]
        if rows:
            transaction.execute(text(counted), rows)


_STATE = {
    "queued": {},
    "sending": {"claim_token": "gen_random_uuid()", "lease_until": "now()", "claimed_at": "now()",
                "claimed_from": "'queued'", "first_posted_at": "now()"},
    "sent": {"sent_at": "now()", "first_posted_at": "now()"},
    "failed": {"error_class": "'timeout'", "first_posted_at": "now()"},
    "dead": {"error_class": "'rejected'", "first_posted_at": "now()"},
    "held": {"held_for": "'learner_number'", "held_at": "now()"},
    "cancelled": {"cancelled_by": "'ann'"},
}  # fmt: skip


class Proved:
    """Writes rows of staging."""

    def __init__(self, staging: Engine) -> None:
        """A site, and courses on the route and off it."""
        self.staging = staging
        self.sql("INSERT INTO bridge.site VALUES ('sbx', 'totara_sandbox', 1, now())")
        for number, name in ((1, "SAFE-1"), (2, "SAFE-2"), (9, "OFF-9")):
            self.course(number, name)

    def sql(self, statement: str, **values: object) -> Sequence[Any]:
        """Do it; what it gives."""
        with self.staging.begin() as transaction:
            done = transaction.execute(text(statement), values)
            return done.all() if done.returns_rows else []

    def course(self, number: int, name: str, *, site: str = "sbx") -> None:
        """A course."""
        self.sql(
            """
            INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible,
                                       changed_at)
            VALUES (:site, :number, 5, :name, '', 'A course', true, now())
            """,
            site=site, number=number, name=name,
        )  # fmt: skip

    def instances(
        self, count: int, *, course: int = 1, at: datetime | None = JANUARY, seen: datetime = FEBRUARY,
        site: str = "sbx", columns: Mapping[str, str] | None = None,
    ) -> list[int]:  # fmt: skip
        """That many instances, each of another learner.

        :param columns: SQL, for columns that are to be otherwise.
        """
        special = {"after_deletion": "false"} | dict(columns or {})
        rows = self.sql(
            f"""
            INSERT INTO bridge.completion_instance (
                site, user_id, course_id, row_id, status, time_completed, first_time_completed, ordinal, revision,
                record_key, first_seen_at, {", ".join(special)})
            SELECT :site, n, :course, n, 'complete', :at, :at, 0, 1, 'TB' || lpad(n::text, 26, '0'), :seen,
                   {", ".join(special.values())}
            FROM (SELECT n + (SELECT coalesce(max(id), 0) FROM bridge.completion_instance) AS n
                  FROM generate_series(1, :count) n) numbers ORDER BY n
            RETURNING id
            """,
            site=site, course=course, at=at, seen=seen, count=count,
        )  # fmt: skip
        return [row.id for row in rows]

    def items(self, instances: Sequence[int], state: str, *, kind: str = "completion", **columns: str) -> None:
        """Their items, in this state; what is sent, the ledger has.

        :param columns: SQL, for columns that are to be otherwise.
        """
        special = {"revision": "1"} | _STATE[state] | columns
        self.sql(
            f"""
            INSERT INTO bridge.export_queue (destination, instance_id, kind, idempotency_key, state, lane,
                                             next_attempt_at, payload, staged_at, queued_at, {", ".join(special)})
            SELECT 'oracle', id, '{kind}', record_key, '{state}', 'fresh', now(), '{{}}', now(), now(),
                   {", ".join(special.values())}
            FROM bridge.completion_instance WHERE id = ANY(:instances)
            """,
            instances=instances,
        )
        if state == "sent":
            self.deliver(instances, kind=kind)

    def deliver(self, instances: Sequence[int], *, kind: str = "completion") -> None:
        """The ledger has them."""
        self.sql(
            "INSERT INTO bridge.delivery SELECT 'oracle', unnest(cast(:them AS bigint[])), :kind, 1, now(), NULL",
            them=instances, kind=kind,
        )  # fmt: skip

    def compared(self, counts: Counts | None = None, *, at: datetime = MARCH, **special: Any) -> None:
        """The site was compared with Totara, which has that much; none: what `of_every_part` makes."""
        write_comparison(self.staging, IN_TOTARA if counts is None else counts, at=at, **special)

    def of_every_part(self) -> dict[Part, list[int]]:
        """`COUNTS` completions in each part; their instances."""
        made: dict[Part, list[int]] = {}
        made[Part.BASELINE] = self._instances(Part.BASELINE)
        self.sql("INSERT INTO bridge.baseline VALUES ('oracle', 'sbx', :last, now())", last=made[Part.BASELINE][-1])
        for part, state in ((Part.DELIVERED, "sent"), *((each, str(each)) for each in _BY_STATE)):
            made[part] = self._instances(part)
            self.items(made[part], state)
        made[Part.ERASED] = self._instances(Part.ERASED, columns={"ended_at": _IN_APRIL})
        self.items(made[Part.ERASED], "cancelled", cancelled_by="'erase'")
        self.sql(
            """
            INSERT INTO bridge.erased_learner (site, user_id, erased_at, erased_by)
            SELECT site, user_id, :april, 'ann' FROM bridge.completion_instance WHERE id = ANY(:them)
            """,
            them=made[Part.ERASED], april=APRIL,
        )  # fmt: skip
        made[Part.LOST] = self._instances(Part.LOST, columns={"ended_at": _IN_APRIL})
        made[Part.LEARNER_DELETED] = self._instances(Part.LEARNER_DELETED, columns={"after_deletion": "true"})
        made[Part.NOT_ROUTED] = self._instances(Part.NOT_ROUTED, course=9)
        return made

    def _instances(self, part: Part, *, course: int = 1, columns: Mapping[str, str] | None = None) -> list[int]:
        at = JANUARY if part in IN_JANUARY else FEBRUARY
        return self.instances(COUNTS[part], course=course, at=at, columns=columns)


_IN_APRIL = f"timestamptz '{APRIL.isoformat()}'"

_BY_STATE = (Part.QUEUED, Part.SENDING, Part.FAILED, Part.HELD, Part.DEAD, Part.CANCELLED)
