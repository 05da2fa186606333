"""What the page needs before any of its tabs: who looks, what they may, and what there is."""

from typing import Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter

from totara_bridge.staging import setting
from totara_bridge.web.panel.access import manages
from totara_bridge.web.panel.asked import Config, Staging

router = APIRouter()


@router.get("/frame")
def frame(user: GetUserDep, staging: Staging, config: Config) -> dict[str, Any]:
    """Who looks and whether they may manage; the sites and destinations; whether the integration is enabled."""
    with staging.look() as connection:
        # nothing else is read: what cannot be in another setting is mended on this very page
        enabled = setting.read(connection, only="enabled").enabled
        pull = setting.read(connection, only="pull").pull
    return {
        "person": user.get_name(),
        "manages": manages(user),
        "sites": [{"code": each.code, "connection": each.connection} for each in config.sites],
        "destinations": [{"code": each.code, "connection": each.connection} for each in config.destinations],
        "enabled": enabled,
        "pull": pull,
    }
