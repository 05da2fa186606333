"""Where a site's or destination's tasks run, as bridge.toml says."""

from typing import Any

from totara_bridge.config import Destination, Site


def placement(entry: Site | Destination) -> dict[str, Any]:
    """The operator arguments ``queue`` and ``executor``; those not given are left to Airflow's own defaults."""
    return {name: value for name in ("queue", "executor") if (value := getattr(entry, name)) is not None}
