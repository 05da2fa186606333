"""The Connections that bridge.toml names: where each leads and as whom, never what opens it; and testing one."""

from collections.abc import Iterator
from time import monotonic
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from totara_bridge.config import BridgeConfig
from totara_bridge.orchestration.described import described, tried
from totara_bridge.web.panel.access import FROM_OUR_PAGE, MAY_MANAGE
from totara_bridge.web.panel.asked import Config
from totara_bridge.web.panel.patience import within
from totara_bridge.web.problem import Problem

router = APIRouter()

#: Seconds that a person waits for a test; the page itself gives up a little later.
PATIENCE = 25.0

_ROLES = {"site": "totara", "destination": "oracle_completions"}


class Tested(BaseModel):
    """Nothing is asked for but the test."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


@router.get("/connections")
def listed(config: Config) -> dict[str, Any]:
    """Every site and destination with its Connection; what is wrong with one is a sentence beside it."""
    return {"connections": [_shown(*each) for each in _named(config)]}


@router.post("/connections/{connection_id}/test", dependencies=[MAY_MANAGE, FROM_OUR_PAGE])
def test(connection_id: str, _: Tested, config: Config) -> dict[str, Any]:
    """Try a Connection from the API server's machine, as Airflow's own "Test" would.

    :raises Problem: 404: bridge.toml does not name it, so it is none of the bridge's.
    """
    if all(connection_id != connection for _, _, connection, _ in _named(config)):
        raise Problem(404, "not-found", "bridge.toml names no Connection of that name: reload the page.")
    began = monotonic()
    ok, sentence = within(PATIENCE, connection_id, lambda: tried(connection_id))
    return {"ok": ok, "sentence": sentence, "took_ms": round((monotonic() - began) * 1000)}


def _named(config: BridgeConfig) -> Iterator[tuple[str, str, str, str | None]]:
    """Role, code, Connection and Airflow queue of everything in bridge.toml."""
    for site in config.sites:
        yield "site", site.code, site.connection, site.queue
    for destination in config.destinations:
        yield "destination", destination.code, destination.connection, destination.queue


def _shown(role: str, code: str, connection: str, queue: str | None) -> dict[str, Any]:
    seen = described(connection)
    if seen["type"] is not None and seen["type"] != _ROLES[role]:
        seen["wrong"] = (
            f"The {role} {code} needs a Connection of type {_ROLES[role]}, but {connection} is of type "
            f"{seen['type']}: change its type, or name another in bridge.toml."
        )
    return {"role": role, "code": code, "queue": queue, **seen}
