"""Items that cannot be sent yet: which of them may be ready now.

That is read from what there is, not from when it changed: of two transactions the one with the earlier time may be
committed later, and a look in between would miss what it changed for ever.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.staging.deliverable import FIELDS, JOINS
from totara_bridge.staging.engine import Transaction

#: What a requeued item that was never posted waits for: its payload is made anew before it may go.
ANOTHER_LOOK = "another look"

#: What an item can lack, as the templates name it, and where it is found.
_SOURCES = {
    "time_completed": "time_completed::text",
    "learner_number": "learner_number",
    "course_number": "course_number",
    "user.username": "username",
    "user.id_number": "id_number",
    "user.email": "email",
    "user.first_name": "first_name",
    "user.last_name": "last_name",
    "course.short_name": "course_short_name",
    "course.id_number": "course_id_number",
    "course.full_name": "course_full_name",
}


def perhaps_ready(
    transaction: Transaction, destination: str, template: str, *, after: int, limit: int
) -> Sequence[Row[Any]]:
    """The next, by ``item_id``, of the held items to look at again, with all that a payload is made of.

    These are the ones of which something that was missing is there now, or whose payload was made with another
    template; ``kind`` and ``item_revision`` are the item's own.

    :param template: name/version of the destination's template now.
    """
    values = {"destination": destination, "template": template, "after": after, "limit": limit}
    return transaction.execute(_PERHAPS_READY, values).all()


# The value is looked at before the name: most rows have none, and the rest is then not computed.
_IS_THERE_NOW = " OR ".join(
    f"({field} <> '' AND '{name}' = ANY(string_to_array(held_for, ', ')))" for name, field in _SOURCES.items()
)

_PERHAPS_READY = text(
    f"""
    SELECT * FROM (
        SELECT q.id AS item_id, q.kind, q.revision AS item_revision, q.template, q.held_for, {FIELDS}
        FROM {JOINS}
        JOIN bridge.export_queue q ON q.instance_id = i.id
        WHERE q.destination = :destination AND q.state = 'held' AND q.id > :after
    ) held
    WHERE template <> :template OR {_IS_THERE_NOW}
          -- what only a new payload can tell
       OR NOT string_to_array(held_for, ', ') <@ ARRAY[{", ".join(f"'{name}'" for name in _SOURCES)}]
    ORDER BY item_id LIMIT :limit
    """
)
