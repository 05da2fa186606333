"""What a site's or destination's tasks are called and where they run, as bridge.toml says."""

from typing import Any

from totara_bridge.config import Destination, Site


def extract_task(site: Site) -> str:
    """The task of ``extract_completions`` that reads a site."""
    return f"extract_{site.code}"


def reconcile_task(site: Site) -> str:
    """The task of ``reconcile_completions`` that compares a site."""
    return f"reconcile_{site.code}"


def push_tasks(destination: Destination) -> list[str]:
    """The tasks of ``push_completions`` that drain a destination's queue."""
    first = f"push_{destination.code}"
    return [first, *(f"{first}_{number}" for number in range(2, destination.drain_tasks + 1))]


def placement(entry: Site | Destination) -> dict[str, Any]:
    """The operator arguments ``queue`` and ``executor``; those not given are left to Airflow's own defaults."""
    return {name: value for name in ("queue", "executor") if (value := getattr(entry, name)) is not None}
