"""The newest instances that a destination's route lets through, whether or not it has them already."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.route import Route
from totara_bridge.staging.deliverable import FIELDS, JOINS
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.route import condition, values


def newest(transaction: Transaction, *, destination: str, route: Route, limit: int) -> Sequence[Row[Any]]:
    """At most so many rows of what a payload is made of, the newest first."""
    statement = text(
        f"""
        SELECT {FIELDS} FROM {JOINS}
        WHERE i.ended_at IS NULL AND NOT i.after_deletion{condition(route)}
        ORDER BY i.id DESC LIMIT :limit
        """
    )
    return transaction.execute(statement, {"destination": destination, "limit": limit} | values(route)).all()
