"""Items of one destination in one state in the order of their numbers, read by the partial index that holds the state.

With an equality for each, PostgreSQL would think that any order by number will do, and where there are few such items
read all items there are. So bounds and order are of whole rows, as the index has them. The destinations are written
out: not knowing them, it would take an index that has all items of a destination.
"""

from collections.abc import Sequence

from sqlalchemy import BindParameter, String, bindparam

from totara_bridge.staging.states import State

#: Behind ORDER BY.
OLDEST_FIRST = "q.destination, q.state, q.id"
NEWEST_FIRST = "q.destination DESC, q.state DESC, q.id DESC"


def is_in(state: State, number: int) -> str:
    """SQL: the item ``q`` is in the state, for the destination of this number among `parameters`."""
    row, bound = "(q.destination, q.state)", f"(:of_{number}, '{state}')"
    return f"q.state = '{state}' AND {row} >= {bound} AND {row} <= {bound}"


def parameters(destinations: Sequence[str]) -> list[BindParameter[str]]:
    """For the statement."""
    return [
        bindparam(f"of_{number}", destination, type_=String(), literal_execute=True)
        for number, destination in enumerate(destinations)
    ]
