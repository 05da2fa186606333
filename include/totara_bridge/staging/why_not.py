"""All that staging knows of one learner in one course, and of what each destination has of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.route import Route
from totara_bridge.staging.deliverable import ROUTED
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.route import Criterion, criteria, values


@dataclass(frozen=True)
class Pair:
    """Whose completion is asked about."""

    site: str
    user_id: int
    course_id: int


@dataclass(frozen=True)
class Present:
    """What the last extracts said of the pair."""

    query: str | None  #: the connection's query at the last full compare, as JSON; none: never extracted
    learner_known: bool
    course_known: bool
    status: str | None  #: of the completion; none: there never was one
    dated: bool  #: whether Totara says when it was completed
    deleted_at: datetime | None  #: when the bridge saw that Totara has the completion no more
    set_aside: str | None  #: why its row in Totara was not read
    current: bool  #: it is completed now, and staged as an instance


def present(transaction: Transaction, pair: Pair) -> Present:
    """What the last extracts said of the pair."""
    return Present(**transaction.execute(_PRESENT, vars(pair)).one()._mapping)


def instances(transaction: Transaction, pair: Pair, *, destination: str, route: Route) -> Sequence[Row[Any]]:
    """The pair's instances, oldest first, with the destination's baseline and ledger.

    For each criterion that the route sets there is a column of its `Criterion.parameter`: whether it is met.
    """
    met = "".join(f", {each.condition} AS {each.parameter}" for each in criteria(route))
    statement = text(
        f"""
        SELECT i.id, i.record_key, i.revision, i.time_completed, i.first_seen_at, i.ended_at, i.after_deletion,
               b.instance_id AS baseline, b.created_at AS baseline_at,
               d.sent_at, d.reference, d.has_revision, d.withdrawn_at, d.withdrawn_revision{met}
        FROM {ROUTED}
        LEFT JOIN bridge.baseline b ON b.destination = :destination AND b.site = i.site
        LEFT JOIN LATERAL (
            SELECT max(sent_at) FILTER (WHERE kind = 'completion') AS sent_at,
                   max(reference) FILTER (WHERE kind = 'completion') AS reference,
                   max(revision) FILTER (WHERE kind <> 'withdrawal') AS has_revision,
                   max(sent_at) FILTER (WHERE kind = 'withdrawal') AS withdrawn_at,
                   max(revision) FILTER (WHERE kind = 'withdrawal') AS withdrawn_revision
            FROM bridge.delivery WHERE destination = :destination AND instance_id = i.id
        ) d ON true
        WHERE i.site = :site AND i.user_id = :user_id AND i.course_id = :course_id
        ORDER BY i.id
        """
    )
    given = vars(pair) | {"destination": destination} | values(route)
    return transaction.execute(statement, given).all()


def not_met(instance: Row[Any], route: Route) -> Sequence[Criterion]:
    """The criteria that keep the instance off the route."""
    return [each for each in criteria(route) if not getattr(instance, each.parameter)]


def items(transaction: Transaction, *, destination: str, instance_id: int) -> Sequence[Row[Any]]:
    """The instance's items, oldest first, with what was said when each was cancelled."""
    return transaction.execute(_ITEMS, {"destination": destination, "instance_id": instance_id}).all()


_PRESENT = text(
    """
    SELECT w.query,
           EXISTS (SELECT FROM bridge.learner WHERE site = :site AND user_id = :user_id) AS learner_known,
           EXISTS (SELECT FROM bridge.course WHERE site = :site AND course_id = :course_id) AS course_known,
           c.status, c.time_completed IS NOT NULL AS dated, c.deleted_at,
           (SELECT a.reason FROM bridge.set_aside a
            WHERE a.site = :site AND a.user_id = :user_id AND a.course_id = :course_id AND a.feed = 'completion'
              -- the row is kept when Totara is corrected: a later read that did not see it again tells
              AND a.last_seen_at >= w.compared_at AND (c.user_id IS NULL OR a.last_seen_at > c.changed_at)
            ORDER BY a.last_seen_at DESC LIMIT 1) AS set_aside,
           EXISTS (SELECT FROM bridge.completion_instance i
                   WHERE i.site = :site AND i.user_id = :user_id AND i.course_id = :course_id
                     AND i.archived_at IS NULL AND i.ended_at IS NULL) AS current
    FROM (SELECT) nothing
    LEFT JOIN bridge.watermark w ON w.site = :site
    LEFT JOIN bridge.completion c ON c.site = :site AND c.user_id = :user_id AND c.course_id = :course_id
    """
)

_ITEMS = text(
    """
    SELECT q.id, q.kind, q.revision, q.state, q.lane, q.next_attempt_at, q.attempts, q.failures, q.lease_until,
           q.claimed_at, q.error_class, q.error_code, q.error_words, q.held_for, q.held_at, q.cancelled_by,
           q.reference, q.queued_at, q.first_posted_at, q.shadowed_at, q.sent_at,
           cancelled.at AS cancelled_at, cancelled.words AS cancelled_words
    FROM bridge.export_queue q
    LEFT JOIN LATERAL (SELECT e.at, e.words FROM bridge.item_event e
                       WHERE e.item_id = q.id AND e.verb = 'cancel' ORDER BY e.id DESC LIMIT 1) cancelled ON true
    WHERE q.destination = :destination AND q.instance_id = :instance_id
    ORDER BY q.id
    """
)
