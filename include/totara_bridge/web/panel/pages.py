"""Where the panel is in Airflow: a page of its own, a box on the home page, a tab of each run of our DAGs."""

from typing import Any

from totara_bridge.web.panel.static import VERSION

# relative to Airflow's own address, wherever a proxy puts it
_FILES = f"bridge/panel/static/{VERSION}"
_ICONS = {"icon": f"{_FILES}/icon.svg", "icon_dark_mode": f"{_FILES}/icon-dark.svg"}


def pages() -> list[dict[str, Any]]:
    """What Airflow is told of them; each file registers a component under its name."""
    return [
        {
            "name": "Oracle",  # longer labels are cut off
            "bundle_url": f"{_FILES}/nav.js",
            "destination": "nav",
            "url_route": "oracle-integration",
            "nav_top_level": True,
            **_ICONS,
        },
        {
            "name": "Oracle delivery",
            "bundle_url": f"{_FILES}/widget.js",
            "destination": "dashboard",
        },
        {
            "name": "Oracle Integration",  # the tab's label
            "bundle_url": f"{_FILES}/run.js",
            "destination": "dag_run",
            "url_route": "oracle-integration-run",  # looked up among all plugins' pages
            **_ICONS,
        },
    ]
