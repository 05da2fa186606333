"""What is held of one learner is removed, or blanked where the bridge must go on knowing that it was.

Kept are the keys: an instance's record key and the delivery ledger, so that nothing is ever sent twice, and the
place of each completion, so that pullers are told that it is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from totara_bridge.staging import alert, by_hand, erased, lease
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erasure_work import DELIVERED, ITEMS, OWN, WORK, Fate
from totara_bridge.staging.record_key import item_key
from totara_bridge.staging.states import Kind

#: Who cancelled what was still to be sent, and the words of that event.
ERASE = "erase"
CANCELLED = "its learner was erased"

#: What the bridge writes where a learner was erased.
WORDS = (CANCELLED, erased.WORDS_REMOVED, *(f"{work.table} {work.fate}" for work in WORK), "kept")


@dataclass(frozen=True)
class Learner:
    """Whose data it is."""

    site: str
    user_id: int

    @property
    def subject(self) -> str:
        """How the audit log calls the learner."""
        return f"{self.site}/{self.user_id}"


@dataclass(frozen=True)
class Step:
    """What happened to the learner's rows of one table, or in a dry run would."""

    table: str
    fate: Fate
    why: str
    rows: int


@dataclass(frozen=True)
class Held:
    """What there is of a learner that is not found by the learner's number."""

    items: Sequence[int]
    bodies: Sequence[int]  #: kept requests that carried one of them, by the number in the log
    requests: Sequence[int]  #: all that are known to have


def identity(transaction: Transaction, learner: Learner) -> dict[str, str]:
    """The learner's names as last known, by the column; empty where the bridge has none."""
    statement = text(
        """
        SELECT username, email, id_number, first_name, last_name FROM bridge.learner
        WHERE site = :site AND user_id = :user_id
        """
    )
    row = transaction.execute(statement, vars(learner)).one_or_none()
    return {} if row is None else dict(row._mapping)


def keys(transaction: Transaction, learner: Learner) -> list[str]:
    """By what the learner's completions are known to destinations: record keys, and idempotency keys of items.

    Also of items that were purged: the ledger knows what they were.
    """
    found = set(transaction.execute(_KEYS, vars(learner)).scalars())
    delivered = transaction.execute(_DELIVERED, vars(learner))
    return sorted(found | {item_key(row.record_key, Kind(row.kind), row.revision) for row in delivered})


def codes(transaction: Transaction, learner: Learner) -> list[str]:
    """What stays in the learner's rows and people have chosen for other things: destinations, templates, errors."""
    return list(transaction.execute(_CODES, vars(learner)).scalars())


def items(transaction: Transaction, learner: Learner) -> list[int]:
    """The learner's items, whatever happens to them now."""
    return [row.id for row in transaction.execute(_ITEMS, vars(learner))]


def lock_items(transaction: Transaction, learner: Learner, *, now: datetime) -> tuple[list[int], int]:
    """The learner's items, which nobody else can change before the transaction ends; and how many others can.

    Those are being sent, and are not waited for: a batch is settled in an order of its own. One that was left behind
    by a sender that went silent is put back, as the next drain would do.
    """
    locked = transaction.execute(_LOCK, vars(learner)).scalars().all()
    silent = transaction.execute(_SILENT, vars(learner) | {"now": now}).scalars().all()
    for destination in silent:
        lease.release_expired(transaction, destination=destination, now=now)
    if silent:  # what was just put back is ours; for anything else it is too late to wait
        locked = transaction.execute(_LOCK_WITHOUT_WAITING, vars(learner)).scalars().all()
    ours = set(locked)
    return sorted(ours), sum(item not in ours for item in items(transaction, learner))


def requests(transaction: Transaction, *, items: Sequence[int], bodies: Sequence[int]) -> list[int]:
    """The requests that are known to have carried one of these items, by their numbers in the log."""
    return list(transaction.execute(_REQUESTS, {"items": list(items), "bodies": list(bodies)}).scalars())


def count(transaction: Transaction, learner: Learner, held: Held, *, names: str | None, now: datetime) -> list[Step]:
    """What `erase` would do; nothing is changed, and nothing waited for."""
    values = _values(learner, held, names, now)
    steps = [
        Step(work.table, work.fate, work.why, transaction.execute(work.count, values).scalar_one()) for work in WORK
    ]
    waiting = transaction.execute(_COUNT_WAITING, values).scalar_one()
    return [*steps, *_rest(transaction, learner, cancelled=waiting)]


def erase(transaction: Transaction, learner: Learner, held: Held, *, names: str | None, now: datetime) -> list[Step]:
    """Remove and blank; what happened, table by table.

    :param held: the items locked.
    :param names: what finds the learner's names in a text, a regular expression; none: no name is known.
    :param now: the `completion.merge_time`.
    """
    values = _values(learner, held, names, now)
    # what loads mappings holds this lock until it has committed: what it wrote is seen by what follows
    transaction.execute(text("LOCK TABLE bridge.mapping IN ROW EXCLUSIVE MODE"))
    alert.reserve(transaction)
    steps = [
        Step(work.table, work.fate, work.why, transaction.execute(work.statement, values).rowcount) for work in WORK
    ]
    cancelled = by_hand.cancel(transaction, held.items, by=ERASE, words=CANCELLED, now=now).done
    return [*steps, *_rest(transaction, learner, cancelled=cancelled)]


def _values(learner: Learner, held: Held, names: str | None, now: datetime) -> dict[str, object]:
    given = {name: list(numbers) for name, numbers in vars(held).items()}
    said = {"names": names, "now": now, "removed": erased.WORDS_REMOVED, "cancelled": CANCELLED}
    return vars(learner) | given | said


def _rest(transaction: Transaction, learner: Learner, *, cancelled: int) -> list[Step]:
    delivered = transaction.execute(_COUNT_DELIVERED, vars(learner)).scalar_one()
    kept = "what a destination has is known by a key alone, so that it is never sent again"
    return [
        Step("export_queue", "cancelled", "what waited to be sent is not sent any more", cancelled),
        Step("delivery", "kept", kept, delivered),
    ]


_ITEMS = text(f"SELECT t.id FROM bridge.export_queue t WHERE {ITEMS}")

_SILENT = text(
    f"""
    SELECT DISTINCT t.destination FROM bridge.export_queue t
    WHERE {ITEMS} AND t.state = 'sending' AND t.lease_until < :now ORDER BY 1
    """
)

# in the order of ids, as a person's verbs do
_NOT_SENDING = f"""
    SELECT t.id FROM bridge.export_queue t WHERE {ITEMS} AND t.state <> 'sending' ORDER BY t.id FOR UPDATE OF t
"""
_LOCK, _LOCK_WITHOUT_WAITING = text(_NOT_SENDING), text(f"{_NOT_SENDING} SKIP LOCKED")

_COUNT_WAITING = text(
    f"""
    SELECT count(*) FROM bridge.export_queue q
    WHERE q.id = ANY(cast(:items AS bigint[]))
      AND ({by_hand.CANCEL_FITS} OR q.state = 'sending' AND q.lease_until < :now)
    """
)

_KEYS = text(
    f"""
    SELECT t.record_key FROM bridge.completion_instance t WHERE {OWN}
    UNION SELECT t.idempotency_key FROM bridge.export_queue t WHERE {ITEMS}
    """
)

_DELIVERED = text(
    f"""
    SELECT i.record_key, t.kind, t.revision
    FROM bridge.delivery t JOIN bridge.completion_instance i ON i.id = t.instance_id WHERE {DELIVERED}
    """
)

_COUNT_DELIVERED = text(f"SELECT count(*) FROM bridge.delivery t WHERE {DELIVERED}")

_CODES = text(
    f"""
    SELECT t.destination FROM bridge.delivery t WHERE {DELIVERED}
    UNION SELECT unnest(ARRAY[t.destination, t.template, t.error_class]) FROM bridge.export_queue t WHERE {ITEMS}
    """
)

_REQUESTS = text(
    """
    SELECT export_log_id FROM bridge.export_queue
    WHERE id = ANY(cast(:items AS bigint[])) AND export_log_id IS NOT NULL
    UNION SELECT export_log_id FROM bridge.item_event
    WHERE item_id = ANY(cast(:items AS bigint[])) AND export_log_id IS NOT NULL
    UNION SELECT unnest(cast(:bodies AS bigint[]))
    """
)
