"""What handlers of the panel ask for: the staging database, bridge.toml, and the time."""

from typing import Annotated

from fastapi import Depends, Request

from totara_bridge.config import BridgeConfig, read_config
from totara_bridge.web.problem import misconfigured
from totara_bridge.web.service import Service


def _service(request: Request) -> Service:
    service = request.app.state.service
    if not isinstance(service, Service):
        raise misconfigured()
    return service


#: The staging database and the clock.
Staging = Annotated[Service, Depends(_service)]

#: What exists, as bridge.toml says.
Config = Annotated[BridgeConfig, Depends(read_config)]
