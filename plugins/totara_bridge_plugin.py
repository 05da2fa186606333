"""What Airflow's API server serves of the bridge: the Pull API, at ``/bridge/api/v1``. Wiring only.

Every Airflow process reads this file and only the API server serves anything, so no other imports more than this.
"""

import sys
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin


def _apps() -> list[dict[str, Any]]:
    # the command of the API server and of its workers; or the module that any other server serves as an app
    if sys.argv[1:2] != ["api-server"] and "airflow.api_fastapi.main" not in sys.modules:
        return []
    from totara_bridge.web.app import PREFIX, bridge_app  # noqa: PLC0415

    return [{"app": bridge_app(), "url_prefix": PREFIX, "name": "Totara Bridge"}]


class TotaraBridgePlugin(AirflowPlugin):
    """The bridge in Airflow's API server."""

    name = "totara_bridge"
    fastapi_apps = _apps()
