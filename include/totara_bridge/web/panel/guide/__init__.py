"""``GET /guide``: how other systems fetch from this bridge, and what Oracle must provide; with this site's address."""

import json
from typing import Any
from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import APIRouter, Request
from sqlalchemy import Connection

from totara_bridge.config import BridgeConfig
from totara_bridge.network import leads_here
from totara_bridge.staging import pull, pull_filter, setting
from totara_bridge.staging.pull_filter import COMPLETIONS, CompletionFilter
from totara_bridge.staging.pull_form import Form
from totara_bridge.web.panel.access import MAY_MANAGE
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.guide.pulling import sections as pull_sections
from totara_bridge.web.panel.guide.pushing import sections as push_sections

router = APIRouter(dependencies=[MAY_MANAGE])

_PANEL, _PULL = "/panel", "/api/v1"


@router.get("/guide")
def guide(request: Request, staging: Staging, config: Config) -> dict[str, Any]:
    """The two halves, each with its parts."""
    address = _address(conf.get("api", "base_url", fallback=""), request)
    with staging.look() as connection:
        settings = setting.read(connection)
        of_each = {each.code: setting.read(connection, each.code) for each in config.destinations}
        examples = _examples(connection, config)
    return {
        "address": address,
        "halves": [
            {"title": "Fetch from the bridge", "sections": [*pull_sections(address, settings, examples)]},
            {"title": "Be pushed to", "sections": [*push_sections(config, of_each)]},
        ],
    }


def _address(base_url: str, request: Request) -> str:
    """Of the Pull API, as others have it.

    :param base_url: Airflow's own; where it names this machine only, what the browser asked for is better.
    """
    mounted = str(request.scope.get("root_path", "")).removesuffix(_PANEL) or "/bridge"
    if leads_here(base_url) or not urlsplit(base_url).hostname:
        return f"{request.url.scheme}://{request.url.netloc}{mounted}{_PULL}"
    return f"{base_url.rstrip('/')}/bridge{_PULL}"


def _examples(connection: Connection, config: BridgeConfig) -> dict[str, str]:
    """A site and a completion that there are, so that what is pasted finds something."""
    anything = pull_filter.wanted(CompletionFilter(caller="", deletions=False))
    page = pull.page(connection, COMPLETIONS, Form.JSON, anything, after=0, limit=1)
    completion = {"id": str(json.loads(page.text)["id"])} if page.count else {}
    return {"site": config.sites[0].code} | completion if config.sites else completion
