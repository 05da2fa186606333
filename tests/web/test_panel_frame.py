"""What the control panel's page asks for before any of its tabs, and how whoever may not have it is refused."""

import httpx
from sqlalchemy import Engine, text

from tests.web.panel_client import Login
from totara_bridge.web.panel.static import FOLDER, VERSION


def test_who_looks_and_what_there_is(panel: httpx.Client, looking: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        transaction.execute(text("INSERT INTO bridge.setting VALUES ('bridge', 'enabled', 'false', now(), 'ada')"))
    everything = {
        "sites": [{"code": "sbx", "connection": "totara_sandbox"}],
        "destinations": [{"code": "oracle", "connection": "oracle_sandbox"}],
        "enabled": False,
        "pull": True,
    }
    assert panel.get("/api/frame").json() == everything | {"person": "uma", "manages": True}
    assert looking.get("/api/frame").json() == everything | {"person": "vera", "manages": False}


def test_without_a_login_there_is_nothing(login: Login, staging: Engine) -> None:
    app = login.panel(staging)
    with login.browser(app, None) as browser:
        assert browser.get("/api/frame").status_code == 401
        garbage = browser.get("/api/frame", headers={"Authorization": "Bearer nothing"})
    assert (garbage.status_code, garbage.json()["detail"]) == (403, "Invalid JWT token")


def test_without_a_database_there_is_a_sentence(login: Login) -> None:
    with login.browser(login.panel(None), "admin") as browser:
        refused = browser.get("/api/frame")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"].endswith("tell whoever runs the bridge, its log says what it is.")


def test_browsers_keep_the_files_of_this_version_and_ask_again_for_those_of_another(panel: httpx.Client) -> None:
    kept = panel.get(f"/static/{VERSION}/nav.js")
    assert kept.text == (FOLDER / "nav.js").read_text()
    assert kept.headers["content-type"].startswith("text/javascript")
    assert kept.headers["cache-control"] == "public, max-age=31536000, immutable"
    other = panel.get("/static/0123456789ab/nav.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")
    assert panel.get(f"/static/{VERSION}/../panel/app.py").status_code == 404
