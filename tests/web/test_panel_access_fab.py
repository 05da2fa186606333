"""Who is let in where, at every address of the control panel, by the FAB auth manager of a real API server."""

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from sqlalchemy import Engine

from tests.web.fab_server import fab_server
from tests.web.panel_routes import LOOKS, REQUESTS

PANEL = "/bridge/panel"


@pytest.mark.timeout(600)
def test_each_is_answered_by_who_they_are(new_database: Callable[[str], str], staging: Engine, tmp_path: Path) -> None:
    metadata = new_database("fab").replace("postgresql://", "postgresql+psycopg://", 1)
    url = staging.url.render_as_string(hide_password=False)
    with fab_server(tmp_path, metadata=metadata, staging=url, roles=LOOKS) as address:
        tokens = {role: _token(address, role) for role in LOOKS}
        for request in REQUESTS:
            answered = {
                who: _status(f"{address}{PANEL}{request.address}", request.method, request.body, token)
                for who, token in {**tokens, "nobody": None, "garbage": "nothing"}.items()
            }
            expected = {role: request.status if role in request.who else 403 for role in LOOKS}
            assert answered == expected | {"nobody": 401, "garbage": 403}, request.name


def _token(address: str, person: str) -> str:
    answer = _asked(f"{address}/auth/token", "POST", {"username": person, "password": person}, {})
    return str(answer.json()["access_token"])


def _status(address: str, method: str, body: object, token: str | None) -> int:
    headers = {"Sec-Fetch-Site": "same-origin"} | ({"Authorization": f"Bearer {token}"} if token else {})
    answer = _asked(address, method, body, headers)
    assert "html" not in answer.headers["content-type"]  # Airflow's own page, which answers where nothing else is
    return answer.status_code


def _asked(address: str, method: str, body: object, headers: dict[str, str]) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(method, address, json=body, headers=headers, timeout=60)
