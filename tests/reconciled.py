"""Reconciling as a test does it, and all that is in staging but what a reconcile writes."""

from typing import Any

from tests.bridge import Bridge
from tests.life import Rows, everything
from totara_bridge.reconcile import Reconciled, ReconcilePlan, reconcile_site
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.source import Source

RESULTS = ("reconciliation", "reconciled_count", "reconciled_difference")


def reconcile(bridge: Bridge, *, repair: bool = False, source: Source | None = None, zone: str = "UTC") -> Reconciled:
    """Compare the site now."""
    plan = ReconcilePlan(bridge.plan, zone, "ann", repair)
    return reconcile_site(bridge.staging, source or DatabaseSource(bridge.connection), plan, clock=lambda: bridge.now)


def numbers(found: Reconciled) -> tuple[int, int, int, int]:
    """Missing, extra, different and pending."""
    return found.found.missing, found.found.extra, found.found.different, found.found.pending


def differences(bridge: Bridge) -> list[dict[str, Any]]:
    """The last comparison's, in their order."""
    return bridge.rows(
        """SELECT kind, place, user_id, course_id, record_key, totara, here FROM bridge.reconciled_difference
           WHERE reconciliation_id = (SELECT max(id) FROM bridge.reconciliation) ORDER BY number"""
    )


def all_else(bridge: Bridge) -> Rows:
    """Every row of every table but the results."""
    return {name: rows for name, rows in everything(bridge).items() if name not in RESULTS}
