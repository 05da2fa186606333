"""The control panel's app over HTTP, behind Airflow's own auth manager, whose tokens are real."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from sqlalchemy import Engine
from starlette.applications import Starlette

from tests.staging_roles import PANEL, as_role
from tests.web.serving import serving
from totara_bridge.web.service import Service

#: Who there is, by role, under Airflow's SimpleAuthManager.
PEOPLE = {"viewer": "vera", "user": "uma", "op": "olaf", "admin": "ada"}


class Login:
    """Airflow's auth manager as the API server has it, in this process; its metadata database must be there."""

    def __init__(self) -> None:
        """As it starts."""
        from airflow.api_fastapi.app import init_auth_manager  # noqa: PLC0415  imports half of Airflow

        self._manager: Any = init_auth_manager()

    def token(self, role: str) -> str:
        """What the browser keeps of the one who has this role."""
        from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser  # noqa: PLC0415

        return str(self._manager.generate_jwt(SimpleAuthManagerUser(username=PEOPLE[role], role=role)))

    @staticmethod
    def panel(staging: Engine | None) -> Starlette:
        """The control panel's app over a staging database; none: the bridge's settings name none."""
        from totara_bridge.web.panel.app import panel_app  # noqa: PLC0415  imports half of Airflow

        return panel_app(None if staging is None else Service(as_role(staging, PANEL), threads=8))

    @contextmanager
    def browser(self, app: Starlette, role: str | None) -> Iterator[httpx.Client]:
        """The browser of the one who has this role; none: nobody has logged in."""
        headers = {"Sec-Fetch-Site": "same-origin"}
        if role is not None:
            headers["Authorization"] = f"Bearer {self.token(role)}"
        with (
            serving(app) as address,
            httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as client,
        ):
            yield client
