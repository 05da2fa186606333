"""The settings as the control panel's page asks for them, and what came of it in the tables."""

from typing import Any

import httpx
from sqlalchemy import Engine, text

MAIL = {"connection": "ops_mail", "to": ["zoe@example.com", "li@example.com"], "form": "json"}


def shown(browser: httpx.Client) -> dict[str, Any]:
    """Each setting as the page has it."""
    return {each["name"]: each for each in browser.get("/api/settings").json()["settings"]}


def put(browser: httpx.Client, name: str, value: Any, was: Any = None, scope: str = "bridge") -> httpx.Response:
    return browser.put(f"/api/settings/{scope}/{name}", json={"value": value, "was": was})


def back(browser: httpx.Client, name: str, was: Any, scope: str = "bridge") -> httpx.Response:
    return browser.request("DELETE", f"/api/settings/{scope}/{name}", json={"was": was})


def audited(staging: Engine) -> list[tuple[Any, ...]]:
    """Who, what, and from what to what, in order."""
    with staging.connect() as connection:
        rows = connection.execute(text("SELECT actor, action, subject, details FROM bridge.audit_log ORDER BY id"))
        return [tuple(row) for row in rows]


def stored(staging: Engine) -> list[tuple[Any, ...]]:
    with staging.connect() as connection:
        rows = connection.execute(text("SELECT scope, name, value FROM bridge.setting ORDER BY scope, name"))
        return [tuple(row) for row in rows]
