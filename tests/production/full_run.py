"""A bridge in use with all that can go wrong with secrets: refused ones, replaced ones, some in alerts' addresses."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
import requests
from psycopg import sql

from tests.production.delivery import EXTRACT, PUSH, complete
from tests.production.person import Person, person
from tests.production.whole import Whole
from tests.receivers import Webhook
from totara_bridge.local.sandbox import TOTARA_DATABASE
from totara_bridge.sandbox.oracle.server import CLIENT_SECRET
from totara_bridge.sandbox.totara.http.tokens import REST_TOKEN

#: Characters that are written otherwise in a URL, in JSON, in a shell.
_AWKWARD = 'p@ss w/"ö:rd%+'

WATCH = "watch_delivery"


@dataclass
class FullRun:
    """What is to stand nowhere, and a word that stands wherever somebody looks."""

    canary: str
    secrets: dict[str, str] = field(default_factory=dict, repr=False)  #: by name

    def new(self, name: str, before: str = "") -> str:
        """A secret of that name that nobody has used yet."""
        self.secrets[name] = before + secrets.token_urlsafe(24)
        return self.secrets[name]


def full_run(production: Whole) -> FullRun:
    """Use every secret, have each refused once, and be told of it; in the end all is well."""
    run = FullRun("canary-" + secrets.token_hex(8))
    run.secrets |= {name: value for name, value in production.stack.variables.items() if _is_secret(name)}
    run.secrets |= {"Oracle's client secret": CLIENT_SECRET, "Totara's token": REST_TOKEN}
    login = ("admin", production.stack.secret("AIRFLOW_ADMIN"))
    with person(production.airflow.address) as admin, Webhook() as webhook:
        run.secrets["login of admin"] = admin.log_in(*login)
        _pull(production, run, admin)
        _alerts_go_to(production, run, admin, webhook)
        _totara_refuses(production, run, admin)
        _oracle_refuses(production, run, admin, webhook)
        assert admin.ask("PUT", "/bridge/panel/api/settings/oracle/max_attempts", json={"value": 7, "was": None}).ok
    run.secrets |= {f"access token {n} of Oracle": token for n, token in enumerate(production.oracle.tokens(), 1)}
    return run


def _is_secret(name: str) -> bool:
    return name.endswith(("_PASSWORD", "_KEY", "_SECRET"))


def _pull(production: Whole, run: FullRun, admin: Person) -> None:
    """A token from the panel, used in both places; one that is none; one in an address, where it does not belong."""
    issued = admin.ask("POST", "/bridge/panel/api/tokens", json={"caller": run.canary})
    run.secrets["token of the Pull API"] = token = issued.json()["token"]
    run.secrets["wrong token of the Pull API"] = wrong = "tbk_" + secrets.token_hex(18)
    with requests.Session() as caller:
        caller.trust_env = False
        for address in (production.airflow.address, production.stack.pull_address):
            completions = f"{address}/bridge/api/v1/completions"
            for each, status in ((token, 200), (wrong, 401)):
                for headers in ({"X-Api-Key": each}, {"Authorization": f"Bearer {each}"}):
                    answer = caller.get(f"{completions}?limit=1", headers=headers, timeout=60)
                    assert answer.status_code == status, answer.text
            assert caller.get(f"{completions}/{run.canary}", timeout=60).status_code == 401


def _alerts_go_to(production: Whole, run: FullRun, admin: Person, webhook: Webhook) -> None:
    connection = {
        "connection_id": "alert_hook",
        "conn_type": "http",
        "host": f"{webhook.url}/hook",
        "password": run.new("secret part of a webhook's address", "T000/B000/"),
        # Airflow shows of `extra` whatever has no name of a secret
        "extra": json.dumps({"trust_env": False, "X-Monitor-Token": run.new("secret header of a webhook")}),
    }
    assert admin.ask("POST", "/api/v2/connections", json=connection).ok
    production.airflow.set("alert_channels", [{"connection": "alert_hook"}])


def _totara_refuses(production: Whole, run: FullRun, admin: Person) -> None:
    """A wrong token, then a wrong password of its database; at last a role of its own."""
    name = "totara_sandbox"
    _patch(admin, name, "totara", {"password": run.new("wrong token of Totara")}, {"source": "web_services"})
    _test(admin, name)
    assert production.end_of(EXTRACT, production.airflow.begin(EXTRACT)).state == "failed"
    password = run.new("password of Totara's database", _AWKWARD)
    server = production.stack.postgres.url(TOTARA_DATABASE).set(drivername="postgresql")
    with psycopg.connect(server.render_as_string(hide_password=False)) as connection:
        made = sql.SQL("CREATE ROLE totara_reader LOGIN PASSWORD {} IN ROLE pg_read_all_data")
        connection.execute(made.format(sql.Literal(password)))
    url = f"postgresql://totara_reader@127.0.0.1:{server.port}/{TOTARA_DATABASE}"
    for each in (run.new("wrong password of Totara's database", _AWKWARD), password):
        extra = {"source": "database", "database_url": url, "database_password": each}
        _patch(admin, name, "totara", {"password": REST_TOKEN}, extra)
        _test(admin, name)
        ended = production.end_of(EXTRACT, production.airflow.begin(EXTRACT))
        assert ended.state == ("success" if each == password else "failed")


def _oracle_refuses(production: Whole, run: FullRun, admin: Person, webhook: Webhook) -> None:
    """A wrong client secret: the push fails, an alert is raised, and told once the webhook does not refuse it."""
    name, port = "oracle_sandbox", production.stack.here.ports["oracle"]
    extra = {"oauth_url": f"http://127.0.0.1:{port}/oauth2/v1/token", "path": "/completions"}
    _patch(admin, name, "oracle_completions", {"password": run.new("wrong client secret", _AWKWARD)}, extra)
    _test(admin, name)
    complete(production, 1)
    known = production.runs(PUSH)
    asked = {"logical_date": None, "dag_run_id": run.canary, "note": run.canary}
    assert admin.ask("POST", f"/api/v2/dags/{EXTRACT}/dagRuns", json=asked).ok
    assert production.end_of(EXTRACT, run.canary).state == "success"
    assert production.end_of_next(PUSH, known).state == "failed"
    webhook.status = 500
    assert production.end_of(WATCH, production.airflow.begin(WATCH)).state == "failed"
    webhook.status = 200
    production.airflow.run(WATCH)
    assert any(run.secrets["secret part of a webhook's address"] in path for path in webhook.paths)
    _patch(admin, name, "oracle_completions", {"password": CLIENT_SECRET}, extra)
    _test(admin, name)
    production.airflow.run(PUSH)


def _patch(admin: Person, name: str, kind: str, fields: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    body = {"connection_id": name, "conn_type": kind, "extra": json.dumps(extra), **fields}
    answer = admin.ask("PATCH", f"/api/v2/connections/{name}?update_mask=extra&update_mask=password", json=body)
    assert answer.ok, answer.text


def _test(admin: Person, name: str) -> None:
    assert admin.ask("POST", f"/bridge/panel/api/connections/{name}/test", json={}).ok
