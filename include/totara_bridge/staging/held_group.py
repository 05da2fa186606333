"""Items that cannot be sent yet, by what they wait for, each group with how many there are and since when."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging import state_arm
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.states import State

#: Names of courses that are given of a group.
_NAMED = 5


def held_groups(transaction: Transaction, destinations: Sequence[str], *, limit: int) -> Sequence[Row[Any]]:
    """The groups of the oldest items, the largest first; the cost grows with the limit, however many there are.

    The rows have destination, held_for (names with commas), items, how many different learners and courses these are
    of, the short names of some of the courses, and since when the oldest of them is in the queue.

    :param limit: of each destination's items, so many with the lowest numbers.
    """
    if not destinations:
        return ()
    arms = [
        f"""
        (SELECT * FROM bridge.export_queue q
         WHERE {state_arm.is_in(State.HELD, number)} ORDER BY {state_arm.OLDEST_FIRST} LIMIT {limit})
        """
        for number in range(len(destinations))
    ]
    statement = text(_groups(" UNION ALL ".join(arms))).bindparams(*state_arm.parameters(destinations))
    return transaction.execute(statement).all()


def _groups(items: str) -> str:
    return f"""
    WITH held AS MATERIALIZED (
        SELECT q.destination, q.held_for, q.queued_at, i.site, i.user_id, i.course_id
        FROM ({items}) q
        JOIN bridge.completion_instance i ON i.id = q.instance_id
    )
    SELECT g.*, ARRAY(SELECT coalesce(k.short_name, c.course_id::text)
                      FROM (SELECT site, course_id, count(*) AS items FROM held h
                            WHERE h.destination = g.destination AND h.held_for = g.held_for
                            GROUP BY site, course_id ORDER BY items DESC, site, course_id LIMIT {_NAMED}) c
                      LEFT JOIN bridge.course k ON k.site = c.site AND k.course_id = c.course_id
                      ORDER BY c.items DESC, c.site, c.course_id) AS course_names
    FROM (SELECT destination, held_for, count(*) AS items, count(DISTINCT (site, user_id)) AS learners,
                 count(DISTINCT (site, course_id)) AS courses, min(queued_at) AS since
          FROM held GROUP BY destination, held_for) g
    ORDER BY items DESC, destination, held_for
    """
