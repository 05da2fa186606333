"""What a destination was not told and should have been: completions that nothing explains, edits and losses.

A destination without a baseline of the site knows nothing of it, and is owed nothing.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.route import Route
from totara_bridge.staging.deliverable import FIELDS, JOINS, LACKING
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erased import NOT_ERASED
from totara_bridge.staging.proof_part import CONDITIONS, UNACCOUNTED, Asked, found
from totara_bridge.staging.proof_part import values as proof_values
from totara_bridge.staging.route import condition, values
from totara_bridge.staging.states import Kind
from totara_bridge.staging.stretch import next_slice

# the last thing that the destination was told of the instance; a withdrawal has the revision that it withdraws
_TOLD = """
    CROSS JOIN LATERAL (
        SELECT d.kind, d.revision FROM bridge.delivery d WHERE d.destination = :destination AND d.instance_id = i.id
        ORDER BY d.revision DESC, d.kind = 'withdrawal' DESC LIMIT 1) told
"""


def _not_queued(which: str) -> str:
    # what a person cancelled is explained; what was sent is in the ledger, or was not sent
    return f"""
        NOT EXISTS (SELECT FROM bridge.export_queue q
                    WHERE q.destination = :destination AND q.instance_id = i.id AND {which}
                      AND q.revision >= i.revision AND q.state <> 'sent')
    """


#: SQL, by the kind of item that would tell it: it was delivered, and is not so any more.
_OUTDATED = {
    # most have but one revision: what was told of those is not looked up
    Kind.CORRECTION: "i.ended_at IS NULL AND i.revision > 1 AND told.revision < i.revision AND "
    + _not_queued("q.kind <> 'withdrawal'"),
    Kind.WITHDRAWAL: "i.ended_at IS NOT NULL AND told.kind <> 'withdrawal' AND " + _not_queued("q.kind = 'withdrawal'"),
}

#: SQL: the past of the destination is not meant.
_NEWS = "i.id > (SELECT b.instance_id FROM bridge.baseline b WHERE b.destination = :destination AND b.site = i.site)"


def note_lacking(transaction: Transaction, *, destination: str, route: Route, site: str) -> None:
    """Note in the table ``difference`` what the destination lacks, and no part of the proof says why."""
    asked = Asked(destination, route, [site])
    statement = text(
        f"""
        INSERT INTO difference
        SELECT 'missing', :destination, 'delivery', user_id, course_id, record_key, id, NULL, false
        FROM ({found(asked, ledger_too=True)}) f WHERE {CONDITIONS[UNACCOUNTED]}
        """
    )
    # all of a site is looked at. Where it is new and small beside another, PostgreSQL takes it for one row, and would
    # walk through what waits of the other once for each
    transaction.execute(text("SET LOCAL enable_nestloop = off"))
    transaction.execute(statement, proof_values(asked))
    transaction.execute(text("SET LOCAL enable_nestloop = on"))


def note_outdated(transaction: Transaction, kind: Kind, *, destination: str, site: str) -> None:
    """Note in the table ``difference`` what the destination has otherwise, or has and Totara does not."""
    difference = "extra" if kind is Kind.WITHDRAWAL else "different"
    statement = text(
        f"""
        INSERT INTO difference
        SELECT '{difference}', :destination, 'delivery', i.user_id, i.course_id, i.record_key, i.id, NULL, false
        FROM bridge.completion_instance i {_TOLD}
        WHERE i.site = :site AND {NOT_ERASED} AND {_OUTDATED[kind]}
        """
    )
    transaction.execute(statement, {"destination": destination, "site": site})


def lacking(
    transaction: Transaction, *, destination: str, route: Route, site: str, after: int, slice_size: int
) -> Sequence[Row[Any]]:
    """The next slice of instances that the destination lacks and that can be queued, with `FIELDS`; none: no more.

    What the queue says was sent and the ledger does not have is not among them: it may be there.
    """
    statement = f"SELECT {FIELDS} FROM {JOINS} WHERE i.site = :site AND {LACKING} AND {_NEWS}{condition(route)}"
    given = {"destination": destination, "site": site} | values(route)
    return next_slice(transaction, statement, given, after=after, slice_size=slice_size)


def outdated(
    transaction: Transaction, kind: Kind, *, destination: str, site: str, after: int, slice_size: int
) -> Sequence[Row[Any]]:
    """The next slice of instances of which the destination is to be told by an item of that kind, with `FIELDS`."""
    statement = f"SELECT {FIELDS} FROM {JOINS} {_TOLD} WHERE i.site = :site AND {NOT_ERASED} AND {_OUTDATED[kind]}"
    given: dict[str, object] = {"destination": destination, "site": site}
    return next_slice(transaction, statement, given, after=after, slice_size=slice_size)
