"""A site is read by the source that its Airflow Connection names, and its Test says what that one gives."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.asked_totara import as_19_1
from totara_bridge.config import Site
from totara_bridge.errors import BridgeError
from totara_bridge.orchestration.site_source import source_of_site
from totara_bridge.orchestration.totara_hook import TotaraHook
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.report_file import ReportFileSource
from totara_bridge.totara.report_query import ReportQuerySource
from totara_bridge.totara.source import SourceKind
from totara_bridge.totara.web_services import WebServicesSource

SITE = Site(code="sbx", connection="lms")
Store = Callable[..., None]


@pytest.fixture
def sandbox(totara: Engine) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara) as running:
        as_19_1(running)
        yield running


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, sandbox: SandboxTotara, totara: Engine, tmp_path: Path) -> Store:
    """Keep the Connection in the environment, as one that could be read in every way."""
    everything: dict[str, Any] = {
        "database_url": totara.url.render_as_string(hide_password=False),
        "api_client": CLIENT_ID,
        "api_secret": CLIENT_SECRET,
        "report": json.dumps({"id": 1, "place": f"{tmp_path}/*.csv"}),
    }

    def keep(**extra: Any) -> None:
        connection = {
            "conn_type": "totara",
            "host": sandbox.url,
            "password": sandbox.token,
            "extra": everything | extra,
        }
        monkeypatch.setenv("AIRFLOW_CONN_LMS", json.dumps(connection))

    return keep


@pytest.mark.parametrize(
    ("kind", "source", "found"),
    [
        (SourceKind.DATABASE, DatabaseSource, "Totara 17.3"),
        (SourceKind.WEB_SERVICES, WebServicesSource, "20 courses are read as the user"),
        (SourceKind.REPORT_QUERY, ReportQuerySource, "Totara's report"),
        (SourceKind.REPORT_FILE, ReportFileSource, "There is no report file at"),
    ],
)
def test_the_connection_names_its_source(
    staging: Engine, store: Store, kind: SourceKind, source: type, found: str
) -> None:
    store(source=kind.value)
    assert isinstance(source_of_site(staging, SITE), source)
    passed, said = TotaraHook("lms").test_connection()
    assert (passed, found in said) == (True, True), said
    assert said.endswith(".")


def test_what_a_source_needs_and_has_not_is_said_before_anything_is_asked(
    staging: Engine, store: Store, sandbox: SandboxTotara
) -> None:
    store(source="report_query", api_client="", api_secret="")
    with pytest.raises(BridgeError, match="report_query needs"):
        source_of_site(staging, SITE)
    assert TotaraHook("lms").test_connection()[0] is False
    assert not sandbox.site.counted.requests
