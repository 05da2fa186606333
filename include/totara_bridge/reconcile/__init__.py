"""Totara, staging and what was delivered, laid beside each other: a check, which repairs only where it is asked to."""

from totara_bridge.reconcile.afresh import afresh
from totara_bridge.reconcile.run import Reconciled, ReconcilePlan, reconcile_site

__all__ = ["ReconcilePlan", "Reconciled", "afresh", "reconcile_site"]
