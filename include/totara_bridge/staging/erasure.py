"""What is held of one learner is removed, or blanked where the bridge must go on knowing that it was.

Kept are the keys: an instance's record key and the delivery ledger, so that nothing is ever sent twice, and the
place of each completion, so that pullers are told that it is gone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Row, TextClause, text

from totara_bridge.staging import by_hand, lease
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import State

#: Who cancelled what was still to be sent, and the words of that event.
ERASE = "erase"
CANCELLED = "its learner was erased"


@dataclass(frozen=True)
class Learner:
    """Whose data it is."""

    site: str
    user_id: int


@dataclass(frozen=True)
class Step:
    """What happened to the learner's rows of one table."""

    table: str
    fate: Literal["removed", "blanked", "cancelled", "kept"]
    why: str
    rows: int


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
    """By what the learner's completions are known to destinations: record keys, and idempotency keys of items."""
    return list(transaction.execute(_KEYS, vars(learner)).scalars())


def codes(transaction: Transaction, learner: Learner) -> list[str]:
    """What stays in the learner's rows and people have chosen for other things: destinations, templates, errors."""
    return list(transaction.execute(_CODES, vars(learner)).scalars())


def lock_items(transaction: Transaction, learner: Learner, *, now: datetime) -> Sequence[Row[int, str]]:
    """The id and state of each of the learner's items, which nobody else can change before the transaction ends.

    One that was left behind by a sender that went silent is put back first, as the next drain would do.
    """
    locked = transaction.execute(_LOCK, vars(learner)).all()
    silent = {row.destination for row in locked if row.state == State.SENDING and row.lease_until < now}
    for destination in sorted(silent):
        lease.release_expired(transaction, destination=destination, now=now)
    return transaction.execute(_LOCK, vars(learner)).all() if silent else locked


def erase(
    transaction: Transaction,
    learner: Learner,
    *,
    items: Sequence[int],
    keys: Sequence[str],
    names: str | None,
    now: datetime,
) -> list[Step]:
    """Remove and blank; what happened, table by table.

    :param items: the learner's, locked.
    :param keys: as `keys` gives them.
    :param names: what finds the learner's names in a text, a regular expression; none: no name is known.
    """
    values = vars(learner) | {
        "items": list(items),
        "keys": list(keys),
        "names": names,
        "now": now,
        "cancelled": CANCELLED,
    }
    # what loads mappings holds this lock until it has committed: what it wrote is seen by what follows
    transaction.execute(text("LOCK TABLE bridge.mapping IN ROW EXCLUSIVE MODE"))
    steps = [
        Step(table, fate, why, transaction.execute(statement, values).rowcount)
        for table, fate, why, statement in (*_REMOVE, *_BLANK)
    ]
    cancelled = by_hand.cancel(transaction, items, by=ERASE, words=CANCELLED, now=now).done
    kept = transaction.execute(_COUNT_DELIVERED, values).scalar_one()
    return [
        *steps,
        Step("export_queue", "cancelled", "what waited to be sent is not sent any more", cancelled),
        Step(
            "delivery", "kept", "what a destination has is known by a key alone, so that it is never sent again", kept
        ),
    ]


def _distinct(table: str, column: str) -> str:
    """SQL: any of the few different values of a column that an index begins with, each found by one look into it."""
    least = f"SELECT min({column}) FROM bridge.{table}"
    return f"""
        ANY(ARRAY(
            WITH RECURSIVE found (value) AS (
                ({least}) UNION ALL SELECT ({least} WHERE {column} > value) FROM found WHERE value IS NOT NULL)
            SELECT value FROM found WHERE value IS NOT NULL))
    """


_INSTANCES = "SELECT id FROM bridge.completion_instance WHERE site = :site AND user_id = :user_id"
_OWN = "site = :site AND user_id = :user_id"
_ITEMS = f"q.destination = {_distinct('export_queue', 'destination')} AND q.instance_id IN ({_INSTANCES})"
_DELIVERED = f"destination = {_distinct('delivery', 'destination')} AND instance_id IN ({_INSTANCES})"

_LOCK = text(
    f"""
    SELECT q.id, q.state, q.destination, q.lease_until FROM bridge.export_queue q WHERE {_ITEMS}
    ORDER BY q.id FOR UPDATE OF q
    """
)

_KEYS = text(
    f"""
    SELECT record_key FROM bridge.completion_instance WHERE {_OWN}
    UNION SELECT q.idempotency_key FROM bridge.export_queue q WHERE {_ITEMS}
    """
)

_CODES = text(
    f"""
    SELECT destination FROM bridge.delivery WHERE {_DELIVERED}
    UNION SELECT unnest(ARRAY[q.destination, q.template, q.error_class]) FROM bridge.export_queue q WHERE {_ITEMS}
    """
)

_COUNT_DELIVERED = text(f"SELECT count(*) FROM bridge.delivery WHERE {_DELIVERED}")

_Work = tuple[str, Literal["removed", "blanked"], str, TextClause]


def _remove(table: str, why: str, *, whose: str = _OWN) -> _Work:
    return table, "removed", why, text(f"DELETE FROM bridge.{table} WHERE {whose}")


_REMOVE: Sequence[_Work] = (
    _remove(
        "kept_body",
        "each request that carried one of the learner's items, whoever else was in it",
        whose="""
            EXISTS (SELECT FROM regexp_matches(request || ' ' || coalesce(answer, ''), 'TB[A-Z2-7]{26}', 'g') AS found
                    WHERE found[1] = ANY(:keys))
        """,
    ),
    _remove("learner", "names, addresses and numbers"),
    _remove("audience_member", "who is in which audience"),
    _remove(
        "mapping",
        "what a destination calls the learner",
        whose=f"""
            destination = {_distinct("mapping", "destination")}
            AND kind = 'learner' AND site = :site AND totara_id = :user_id
        """,
    ),
    _remove("set_aside", "rows of Totara's that cannot be true"),
    _remove(
        "acknowledgement",
        "what pullers said of completions that they fetched",
        whose=f"caller = {_distinct('acknowledgement', 'caller')} AND {_OWN}",
    ),
)

_BLANK: Sequence[_Work] = (
    (
        "completion",
        "blanked",
        "its place is kept, deleted and with a new change_seq: that is how pullers are told",
        text(
            f"""
            UPDATE bridge.completion
            SET row_id = 0, status = 'not_started', progress = NULL, grade = NULL, rpl = NULL, time_enrolled = NULL,
                time_started = NULL, time_completed = NULL, deleted_at = :now, changed_at = :now,
                change_seq = nextval('bridge.change_seq')
            WHERE {_OWN} AND row_id <> 0
            """
        ),
    ),
    (
        "completion_instance",
        "blanked",
        "its record key is kept, so that nothing is sent twice; dates, rows and status are not",
        text(
            f"""
            UPDATE bridge.completion_instance i
            -- numbers below 0 are nobody else's: no order of rows can violate what is unique
            SET ordinal = -place, first_time_completed = NULL, time_completed = NULL, status = 'complete',
                row_id = NULL, history_id = NULL, archived_at = NULL, revised_at = NULL,
                first_seen_at = :now, ended_at = :now
            FROM (SELECT id, row_number() OVER (PARTITION BY course_id ORDER BY id) AS place
                  FROM bridge.completion_instance WHERE {_OWN}) numbered
            WHERE i.id = numbered.id AND i.ordinal >= 0
            """
        ),
    ),
    (
        "export_queue",
        "blanked",
        "payloads and the destination's words are gone; state, key and times of the sending are kept",
        text(
            """
            UPDATE bridge.export_queue
            SET payload = '', reference = NULL, error_code = NULL, error_words = NULL
            WHERE id = ANY(:items) AND payload <> ''
            """
        ),
    ),
    (
        "item_event",
        "blanked",
        "words that could name somebody are gone; what was done when and by whom is kept",
        text(
            """
            UPDATE bridge.item_event SET words = NULL
            WHERE item_id = ANY(:items) AND words <> :cancelled
            """
        ),
    ),
    (
        "delivery",
        "blanked",
        "a destination's reference that names the learner",
        text(f"UPDATE bridge.delivery SET reference = NULL WHERE {_DELIVERED} AND reference ~* :names"),
    ),
)
