"""What Airflow's API server serves of the bridge: the Pull API, and the control panel in its own pages. Wiring only.

Every Airflow process reads this file and only the API server serves anything, so no other imports more than this.
"""

import sys
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin

# the command of the API server and of its workers; or the module that any other server serves as an app
_SERVES = sys.argv[1:2] == ["api-server"] or "airflow.api_fastapi.main" in sys.modules


def _apps() -> list[dict[str, Any]]:
    if not _SERVES:
        return []
    from totara_bridge.web.app import PREFIX, bridge_app  # noqa: PLC0415

    return [{"app": bridge_app(), "url_prefix": PREFIX, "name": "Totara Bridge"}]


def _pages() -> list[dict[str, Any]]:
    if not _SERVES:
        return []
    from totara_bridge.web.panel.pages import pages  # noqa: PLC0415

    return pages()


class TotaraBridgePlugin(AirflowPlugin):
    """The bridge in Airflow's API server."""

    name = "totara_bridge"
    fastapi_apps = _apps()
    react_apps = _pages()
