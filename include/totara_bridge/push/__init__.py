"""Queue → Oracle: what a drain task does."""

from totara_bridge.push.drain import Drained, DrainPlan, drain

__all__ = ["DrainPlan", "Drained", "drain"]
