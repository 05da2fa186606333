"""Queue → Oracle: what a drain task does."""

from totara_bridge.push.drain import drain
from totara_bridge.push.plan import Drained, DrainPlan

__all__ = ["DrainPlan", "Drained", "drain"]
