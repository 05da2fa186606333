"""A page of the export queue, newest first, at the same cost however many items there are and however deep it lies.

A word that few learners or keys fit is looked up first, and leads to their items. Else the items are walked by their
numbers: what is not sent by the partial indexes, a walk for each destination and state; what was sent by the primary
key. One page walks `EXAMINED` items at most, and says where to go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging import item_count, sought
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.item_row import COLUMNS, JOINED
from totara_bridge.staging.selection import LEARNER_NAMES, Selection, conditions, values
from totara_bridge.staging.states import State

#: Items that one page walks at most, where no index finds those that are wanted.
EXAMINED = 50_000

#: As far as items are counted one by one.
COUNTED = 10_000

#: Instances that a word leads to at most; where more fit, the items are walked.
_FEW = 2_000

#: Before the newest item.
NEWEST = 2**63 - 1


@dataclass(frozen=True)
class Page:
    """Some items, and where to go on."""

    items: Sequence[Row[Any]]
    after: int | None  #: nothing that is wanted and was not shown has this number or a higher one; none: that was all

    @property
    def more(self) -> bool:
        """Whether there can be more."""
        return self.after is not None


@dataclass(frozen=True)
class Counted:
    """How many items there are."""

    items: int
    more: bool  #: there are, or can be, more than that


def page(
    transaction: Transaction,
    asked: Selection,
    *,
    after: int = NEWEST,
    limit: int,
    columns: str = COLUMNS,
    examined: int = EXAMINED,
) -> Page:
    """The next items, newest first, that are all that is asked for but its ids, which are not looked at.

    :param after: only items with lower numbers than this.
    :param columns: SQL, as `totara_bridge.staging.item_row` has them; one is ``id``.
    """
    walk = _walk(transaction, asked, enough=limit + 1, examined=examined)
    # numbers are written out: not knowing them, PostgreSQL would plan for a tenth of the table once it keeps the plan
    statement = text(
        f"""
        WITH {walk.sql},
        found AS MATERIALIZED ({_found(asked, columns)} ORDER BY w.id DESC LIMIT {limit + 1})
        SELECT found.*, (SELECT id FROM walked_to) AS walked_to
        FROM (SELECT) nothing LEFT JOIN found ON true ORDER BY found.id DESC
        """
    )
    rows = transaction.execute(statement, walk.values | values(asked) | {"after": after}).all()
    items = [row for row in rows if row.id is not None]
    if len(items) > limit:
        return Page(items[:limit], items[limit - 1].id)
    return Page(items, rows[0].walked_to)


def count(transaction: Transaction, asked: Selection, *, examined: int = EXAMINED) -> Counted:
    """How many items there are of what `page` shows: exact where it is a matter of destination, state and lane.

    Else they are counted one by one, up to `COUNTED`.
    """
    if not conditions(replace(asked, destinations=(), lanes=())):
        return Counted(_present(transaction, asked), more=False)
    walk = _walk(transaction, asked, enough=COUNTED + 1, examined=examined)
    statement = text(
        f"""
        WITH {walk.sql},
        counted AS (SELECT count(*) AS items FROM ({_found(asked, "q.id")} LIMIT {COUNTED + 1}) found)
        SELECT items, items > {COUNTED} OR (SELECT id FROM walked_to) IS NOT NULL AS more FROM counted
        """
    )
    row = transaction.execute(statement, walk.values | values(asked) | {"after": NEWEST}).one()
    return Counted(min(row.items, COUNTED), row.more)


@dataclass(frozen=True)
class _Walk:
    """Items from below the value ``after`` on, more of them than are wanted.

    As SQL: ``walk`` has all their numbers down to ``walked_to``, which has none where the walk came to its end.
    """

    sql: str
    values: dict[str, object] = field(default_factory=dict)


def _found(asked: Selection, columns: str) -> str:
    """SQL: what of the walk is wanted."""
    states = ", ".join(f"'{state}'" for state in asked.states) or "NULL"
    return f"""
        SELECT {columns} FROM (SELECT id FROM walk ORDER BY id DESC OFFSET 0) w
        CROSS JOIN LATERAL (SELECT q.* FROM bridge.export_queue q WHERE q.id = w.id OFFSET 0) q {JOINED}
        WHERE q.state IN ({states}){conditions(asked)}
    """


def _walk(transaction: Transaction, asked: Selection, *, enough: int, examined: int) -> _Walk:
    """The shortest that there is.

    :param enough: so many are walked where each of them is wanted.
    """
    destinations = [each for each in _destinations(transaction) if not asked.destinations or each in asked.destinations]
    instances = _few_instances(transaction, asked)
    if instances is not None:
        return _straight(_OF_INSTANCES, examined, {"instances": instances, "of_destinations": destinations})
    if State.SENT in asked.states:
        all_wanted = set(asked.states) == set(State) and not conditions(asked)
        return _straight(_ALL, enough if all_wanted else examined, {})
    arms = [(state, destination) for state in sorted(set(asked.states)) for destination in destinations]
    if not arms:
        return _straight(f"SELECT id FROM ({_ALL}) nothing WHERE false", 1, {})
    all_wanted = not conditions(replace(asked, destinations=()))
    return _side_by_side(arms, enough if all_wanted else examined // len(arms))


def _straight(numbers: str, limit: int, values: dict[str, object]) -> _Walk:
    return _Walk(
        f"""
        walk AS MATERIALIZED ({numbers} LIMIT {limit}),
        walked_to AS (SELECT min(id) AS id FROM walk HAVING count(*) = {limit})
        """,
        values,
    )


def _side_by_side(arms: Sequence[tuple[State, str]], limit: int) -> _Walk:
    """A walk for each state and destination, as far as none of them has stopped.

    Bounds and order are of whole rows, as the partial index of each has them: by the number alone, PostgreSQL may walk
    the primary key, which has what was sent too. Both bounds include their destination: below the first of all
    destinations PostgreSQL would expect nothing, and sort all that it finds.
    """
    walks = []
    for number, (state, _) in enumerate(arms):
        # that of what is held has no state
        row, same = ("destination", "") if state is State.HELD else ("destination, q.state", f"'{state}', ")
        walks.append(
            f"""
            (SELECT {number} AS arm, q.id FROM bridge.export_queue q
             WHERE q.state = '{state}' AND (q.{row}, q.id) >= (:of_{number}, {same}0)
               AND (q.{row}, q.id) <= (:of_{number}, {same}:after - 1)
             ORDER BY q.destination DESC, q.state DESC, q.id DESC LIMIT {limit})
            """
        )
    return _Walk(
        f"""
        arms AS MATERIALIZED ({" UNION ALL ".join(walks)}),
        walked_to AS MATERIALIZED (
            SELECT max(last) AS id
            FROM (SELECT min(id) AS last FROM arms GROUP BY arm HAVING count(*) = {limit}) stopped
        ),
        walk AS (SELECT id FROM arms WHERE id >= coalesce((SELECT id FROM walked_to), 0))
        """,
        {f"of_{number}": destination for number, (_, destination) in enumerate(arms)},
    )


def _few_instances(transaction: Transaction, asked: Selection) -> Sequence[int] | None:
    """The instances that a key or a learner leads to; none: nothing is asked that leads to few."""
    for lookup, word in ((_by_key, asked.key), (_by_learner, asked.learner)):
        if word is not None:
            row = transaction.execute(text(lookup(word)), values(asked)).one()
            if row.passed_by <= _FEW and len(row.instances) <= _FEW:
                return [*row.instances]
    return None


def _by_key(word: str) -> str:
    record_key = sought.fits("i.record_key", ":key", word, in_order=True)
    own_key = sought.fits("q.idempotency_key", ":key", word)
    return f"""
        SELECT 0 AS passed_by, ARRAY(
            SELECT id FROM (SELECT i.id FROM bridge.completion_instance i WHERE {record_key} LIMIT {_FEW + 1}) i
            UNION
            SELECT instance_id FROM (SELECT q.instance_id FROM bridge.export_queue q
                                     WHERE q.kind <> 'completion' AND {own_key} LIMIT {_FEW + 1}) q) AS instances
    """


def _by_learner(word: str) -> str:
    arms = (
        f"(SELECT l.site, l.user_id FROM bridge.learner l WHERE {sought.fits(place, given, word)} LIMIT {_FEW + 1})"
        for place, given in LEARNER_NAMES
    )
    return f"""
        WITH learner AS MATERIALIZED ({" UNION ".join(arms)})
        SELECT (SELECT count(*) FROM learner) AS passed_by, ARRAY(
            SELECT i.id FROM learner l CROSS JOIN LATERAL (
                SELECT i.id FROM bridge.completion_instance i
                WHERE i.site = l.site AND i.user_id = l.user_id OFFSET 0) i LIMIT {_FEW + 1}) AS instances
    """


def _destinations(transaction: Transaction) -> Sequence[str]:
    """All that ever had an item: to find them among the items themselves would cost more with each."""
    found = transaction.execute(text("SELECT DISTINCT destination FROM bridge.item_count ORDER BY destination"))
    return found.scalars().all()


def _present(transaction: Transaction, asked: Selection) -> int:
    return sum(
        each.items
        for each in item_count.present(transaction)
        if each.state in asked.states
        and (not asked.destinations or each.destination in asked.destinations)
        and (not asked.lanes or each.lane in asked.lanes)
    )


# what is not wanted is walked too: only so the walk has an end
_ALL = "SELECT q.id FROM bridge.export_queue q WHERE q.id < :after ORDER BY q.id DESC"

_OF_INSTANCES = """
    SELECT q.id FROM unnest(cast(:instances AS bigint[])) AS i (id)
    CROSS JOIN unnest(cast(:of_destinations AS text[])) AS d (code)
    CROSS JOIN LATERAL (SELECT q.id FROM bridge.export_queue q
                        WHERE q.destination = d.code AND q.instance_id = i.id OFFSET 0) q
    WHERE q.id < :after ORDER BY q.id DESC
"""
