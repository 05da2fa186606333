"""Whether the promises of delivery are kept: looking, and raising what is broken as an alert."""

from totara_bridge.watch.promises import FEWEST, DestinationWatched, Promises, broken, look
from totara_bridge.watch.run import Watched, watch

__all__ = ["FEWEST", "DestinationWatched", "Promises", "Watched", "broken", "look", "watch"]
