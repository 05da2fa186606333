"""A small export queue as a test drives it: one staging database, one destination, a clock that stands still."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self
from uuid import UUID, uuid4

from sqlalchemy import Engine, create_engine, text

from totara_bridge.staging import delivery, lease, queue
from totara_bridge.staging.delivery import Failure
from totara_bridge.staging.migrate import migrate
from totara_bridge.staging.queue import NewItem
from totara_bridge.staging.schema import Table
from totara_bridge.staging.states import Kind, Lane

DESTINATION = "oracle"
NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
LEASE = timedelta(seconds=90)


@dataclass(frozen=True)
class Claim:
    """What a claim gave."""

    ids: Sequence[int]
    token: UUID = field(default_factory=uuid4)


class Items:
    """The verbs of the queue, each in a transaction of its own."""

    def __init__(self, staging: Engine) -> None:
        self.staging = staging

    def emptied(self) -> Self:
        """The same database without a row: cheaper than another one."""
        tables = ", ".join(table.fullname for table in Table.metadata.sorted_tables)
        self.sql(f"TRUNCATE {tables} RESTART IDENTITY")
        return self

    def instances(self, count: int) -> list[int]:
        """That many new instances, each of another learner."""
        return [
            row["id"]
            for row in self.sql(
                """
                INSERT INTO bridge.completion_instance (
                    site, user_id, course_id, row_id, status, time_completed, first_time_completed, ordinal, revision,
                    record_key, after_deletion, first_seen_at)
                SELECT 'sbx', n, 1, n, 'complete', :now, :now, 0, 1, 'TB' || upper(left(md5(n::text), 26)), false, :now
                FROM (SELECT n + (SELECT count(*) FROM bridge.completion_instance) AS n
                      FROM generate_series(1, :count) n) AS numbers
                RETURNING id
                """,
                now=NOW,
                count=count,
            )
        ]

    def queued(
        self,
        count: int = 1,
        *,
        lane: Lane = Lane.FRESH,
        destination: str = DESTINATION,
        now: datetime = NOW,
        delay: timedelta = timedelta(0),
    ) -> list[int]:
        """That many new items of new instances, due from ``now``, first staged ``delay`` before `NOW`."""
        instances = self.instances(count)
        items = [a_new_item(instance, staged_at=NOW - delay) for instance in instances]
        with self.staging.begin() as transaction:
            assert queue.enqueue(transaction, items, destination=destination, lane=lane, now=now).queued == count
        return self.of_instances(instances)

    def of_instances(self, instances: Sequence[int]) -> list[int]:
        """The items of these instances."""
        found = self.sql(
            "SELECT id FROM bridge.export_queue WHERE instance_id = ANY(:them) ORDER BY id", them=instances
        )
        return [row["id"] for row in found]

    def claim(self, limit: int = 100, *, destination: str = DESTINATION, now: datetime = NOW) -> Claim:
        """Claim what is due, and commit."""
        token = uuid4()
        with self.staging.begin() as transaction:
            rows = lease.claim(
                transaction, destination=destination, token=token, limit=limit, now=now, lease_until=now + LEASE
            )
        return Claim([row.id for row in rows], token)

    def release(self, claim: Claim, *, posted: bool = True) -> int:
        """Put the claim back."""
        with self.staging.begin() as transaction:
            return lease.release(transaction, claim.token, ids=claim.ids, posted=posted)

    def acknowledge(self, claim: Claim, *, now: datetime = NOW, reference: str | None = None) -> int:
        """The destination has these."""
        references = dict.fromkeys(claim.ids, reference)
        with self.staging.begin() as transaction:
            return delivery.acknowledge(transaction, claim.token, references, log_id=1, now=now)

    def retry(self, claim: Claim, *, now: datetime = NOW, **changes: Any) -> int:
        """These failed, and are tried again."""
        failures = [a_failure(each, **changes) for each in claim.ids]
        with self.staging.begin() as transaction:
            return delivery.retry(transaction, claim.token, failures, log_id=2, now=now)

    def reject(self, claim: Claim, *, now: datetime = NOW, **changes: Any) -> int:
        """These were refused for good."""
        failures = [a_failure(each, **changes) for each in claim.ids]
        with self.staging.begin() as transaction:
            return delivery.reject(transaction, claim.token, failures, log_id=3, now=now)

    def row(self, item: int) -> Mapping[str, Any]:
        """All that staging says of an item."""
        [row] = self.sql("SELECT * FROM bridge.export_queue WHERE id = :item", item=item)
        return row

    def column(self, name: str, ids: Sequence[int]) -> list[Any]:
        """One column of these items, in their order."""
        return [self.row(each)[name] for each in ids]

    def sql(self, statement: str, **values: object) -> Sequence[Mapping[str, Any]]:
        """Run any statement, and commit; its rows, if it has any."""
        with self.staging.begin() as transaction:
            result = transaction.execute(text(statement), values)
            return [*result.mappings()] if result.returns_rows else []


@contextmanager
def items_in(database: str) -> Iterator[Items]:
    """Migrate an empty database and use it, from as many as twenty threads."""
    url = database.replace("postgresql://", "postgresql+psycopg://", 1)
    migrate(url)
    engine = create_engine(url, pool_size=20)
    yield Items(engine)
    engine.dispose()


def a_new_item(instance: int, **changes: Any) -> NewItem:
    """What enqueue takes."""
    values: dict[str, Any] = {
        "kind": Kind.COMPLETION,
        "revision": 1,
        "idempotency_key": f"key-{instance}",
        "payload": "{}",
        "template": "default/1",
        "held_for": None,
        "staged_at": NOW,
    }
    return NewItem(instance_id=instance, **values | changes)


def a_failure(item: int, **changes: Any) -> Failure:
    """What retry and reject take."""
    values: dict[str, Any] = {
        "error_class": "ItemRefused",
        "error_code": "E1",
        "error_words": "no such course",
        "attempts": 1,
        "next_attempt_at": NOW,
    }
    return Failure(item_id=item, **values | changes)
