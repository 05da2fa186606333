"""The fields of a Totara connection are accepted as Airflow stores them, and refused in one sentence each."""

from datetime import timedelta
from typing import Any

import pytest

from totara_bridge.completion import Status
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.source import SourceKind

_URL = "postgresql://reader@db.example.com/totara"


def _connection(**extra: object) -> TotaraConnection:
    return TotaraConnection.from_fields("The connection lms", extra={"database_url": _URL, **extra})


def _refused(**extra: object) -> str:
    with pytest.raises(ConfigurationInvalid) as caught:
        _connection(**extra)
    return str(caught.value)


def test_defaults() -> None:
    connection = _connection()
    assert (connection.table_prefix, connection.timeout) == ("ttr_", 30.0)
    assert (connection.is_active, connection.is_source, connection.is_target) == (True, True, False)
    assert connection.query.reads_everything


def test_text_is_accepted_where_airflow_stores_text() -> None:
    connection = _connection(
        timeout_ms="1500", is_active="true", is_source="false", is_target="", query='{"course_ids": ["7"]}'
    )
    assert connection.timeout == 1.5
    assert (connection.is_active, connection.is_source) == (True, False)
    assert connection.query == ReadQuery(course_ids=(7,))


def test_values_are_accepted_where_airflow_stores_json() -> None:
    connection = _connection(
        timeout_ms=1500, is_source=False, query={"category_ids": [3], "learner_idnumbers": [1001, "u2"]}
    )
    assert connection.timeout == 1.5
    assert connection.query == ReadQuery(category_ids=(3,), learner_idnumbers=("1001", "u2"))


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_field_has_its_default_but_an_empty_prefix_is_none(empty: str | None) -> None:
    connection = _connection(table_prefix=empty, timeout_ms=empty, query=empty, is_active=empty)
    assert connection.table_prefix == ""
    assert connection.timeout == 30.0
    assert connection.is_active
    assert connection.query.reads_everything


@pytest.mark.parametrize(
    ("written", "driver"),
    [
        ("postgresql", "postgresql+psycopg"),
        ("postgres", "postgresql+psycopg"),
        ("postgresql+psycopg", "postgresql+psycopg"),
        ("mysql", "mysql+pymysql"),
        ("mariadb", "mysql+pymysql"),
    ],
)
def test_the_driver_and_the_password_join_the_address(written: str, driver: str) -> None:
    connection = _connection(database_url=f"{written}://reader@db/totara", database_password="p@ss/w:rd")
    assert connection.database_url.drivername == driver
    assert connection.database_url.password == "p@ss/w:rd"
    assert connection.database_url.host == "db"


def test_an_engine_is_made_for_each_driver() -> None:
    for scheme in ("postgresql", "mariadb"):
        engine = _connection(database_url=f"{scheme}://reader@db/totara").engine()
        assert engine.url.database == "totara"
        engine.dispose()


def test_no_secret_in_a_repr() -> None:
    connection = TotaraConnection.from_fields(
        "lms", api_token="t0ken", extra={"database_url": _URL, "database_password": "s3cret"}
    )
    assert "t0ken" not in repr(connection)
    assert "s3cret" not in repr(connection)


@pytest.mark.parametrize(
    "address",
    ["postgresql://reader:s3cret@db/totara", "postgresql://reader@db/totara?password=s3cret",
     "mysql://reader@db/totara?passwd=s3cret", "postgresql://reader@db/totara?sslpassword=s3cret"],
)  # fmt: skip
def test_a_password_in_the_address(address: str) -> None:
    assert _refused(database_url=address) == (
        'The connection lms has a password in "Database URL", a field that Airflow shows to whoever may look '
        'at Connections: take it out there and put it in "Database password".'
    )


def test_no_database_url() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        TotaraConnection.from_fields("The connection lms", server_url="https://lms", api_token="t", extra={})
    assert str(caught.value) == (
        'The connection lms has no database URL: fill in "Database URL", as postgresql://user@host/database or '
        'mysql://user@host/database, and the password in "Database password"; or, where the database may not be '
        'read, choose another "Source".'
    )


@pytest.mark.parametrize("address", ["db.example.com", "postgresql://reader:s3cret@db:port/totara"])
def test_no_address(address: str) -> None:
    said = _refused(database_url=address)
    assert said.startswith('The connection lms has a "Database URL" that is no address: write it as postgresql://')
    assert "s3cret" not in said


@pytest.mark.parametrize("scheme", ["oracle", "mssql+pyodbc", "sqlite", "postgresql+psycopg2"])
def test_another_kind_of_database(scheme: str) -> None:
    assert f"begins with '{scheme}', but Totara is read from PostgreSQL, MySQL or MariaDB" in _refused(
        database_url=f"{scheme}://reader@db/totara"
    )


def test_no_database_in_the_address() -> None:
    assert '"Database URL" that names no database' in _refused(database_url="postgresql://reader@db")


@pytest.mark.parametrize("prefix", ["TTR_", "1ttr", "ttr-", "a" * 17, "ttr_; DROP TABLE x"])
def test_a_table_prefix_that_cannot_be(prefix: str) -> None:
    assert _refused(table_prefix=prefix) == (
        "The connection lms has fields that cannot be: table_prefix: at most 16 of a–z, 0–9 and _, a letter "
        "first, as in ttr_."
    )


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"timeout_ms": "soon"}, "timeout_ms: Input should be a valid integer"),
        ({"timeout_ms": 0}, "timeout_ms: Input should be greater than or equal to 1"),
        ({"is_active": "perhaps"}, "is_active: Input should be a valid boolean"),
        (
            {"tabel_prefix": "ttr_"},
            "tabel_prefix is unknown (known: source, database_url, database_password, table_prefix",
        ),
        (
            {"query": {"sql": "DELETE"}},
            "query.sql is unknown (known: course_ids, category_ids, audience_idnumbers",
        ),
        ({"query": {"course_ids": [0]}}, "query.course_ids.0: Input should be greater than or equal to 1"),
        ({"query": {"learner_idnumbers": [""]}}, "query.learner_idnumbers.0: String should have at least 1"),
        ({"query": "course 7"}, "query: is not JSON"),
        ({"query": [7]}, "query: Input should be a valid dictionary"),
        ({"source": "soap"}, "source: Input should be 'database', 'web_services', 'report_query' or 'report_file'"),
        ({"requests_in_flight": 65}, "requests_in_flight: Input should be less than or equal to 64"),
        ({"recheck_days": -1}, "recheck_days: Input should be greater than or equal to 0"),
        ({"time_zone": "Middle/Earth"}, "time_zone: "),
        ({"report": {"sql": 1}}, "report.sql is unknown (known: id, saved_search, place, columns, words, months"),
        ({"report": {"months": ["Jan"]}}, "report.months: there are twelve months"),
        ({"report": {"words": {"Fertig": "done"}}}, "report.words.Fertig: Input should be 'not_started'"),
        ({"report": {"columns": {"sql": "x"}}}, "report.columns.sql"),
        ({"api_client": "c"}, '"API client ID" and "API client secret" belong together'),
        ({"source": "report_file"}, 'report_file needs the place of the files in "Report"'),
        ({"source": "report_query"}, 'report_query needs "API client ID", "API client secret" and the report'),
    ],
)
def test_a_field_that_cannot_be(extra: dict[str, object], words: str) -> None:
    said = _refused(**extra)
    assert said.startswith(f"The connection lms has fields that cannot be: {words}")


REPORT = '{"id": 7, "whole": true, "words": {"Abgeschlossen": "complete"}, "columns": {"user_id": "Nummer"}}'


def test_the_fields_of_the_other_sources() -> None:
    connection = TotaraConnection.from_fields(
        "lms",
        server_url="https://lms.example.com/",
        api_token="t0ken",
        extra={
            "source": "report_query", "requests_in_flight": "8", "recheck_days": "7", "api_client": "client",
            "api_secret": "s3cret", "report": REPORT, "time_zone": "Pacific/Auckland", "days_of": "learner",
        },
    )  # fmt: skip
    assert connection.source is SourceKind.REPORT_QUERY
    assert connection.server_url == "https://lms.example.com"
    assert (connection.requests_in_flight, connection.recheck) == (8, timedelta(days=7))
    assert (connection.report.id, connection.report.whole) == (7, True)
    assert connection.report.words == {"Abgeschlossen": Status.COMPLETE}
    assert (connection.zone.key, connection.days_of) == ("Pacific/Auckland", "learner")
    assert "s3cret" not in repr(connection)
    assert connection.url is None


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"extra": {"source": "web_services"}, "api_token": "t"}, 'has no "Server URL"'),
        ({"extra": {"source": "web_services"}, "server_url": "https://lms"}, 'has no "API token"'),
        ({"extra": {"database_url": _URL, "api_client": "c", "api_secret": "s"}}, 'has no "Server URL"'),
    ],
)
def test_what_a_source_is_reached_by(given: dict[str, Any], missing: str) -> None:
    with pytest.raises(ConfigurationInvalid, match=missing):
        TotaraConnection.from_fields("The connection lms", **given)


def test_a_target() -> None:
    assert _refused(is_target=True) == (
        'The connection lms has "Is target" on, but nothing can be written to a Totara yet: turn it off.'
    )


def test_a_server_url_without_a_protocol() -> None:
    with pytest.raises(ConfigurationInvalid, match=r"'lms\.example\.com', which names no protocol"):
        TotaraConnection.from_fields("lms", server_url="lms.example.com", extra={"database_url": _URL})


@pytest.mark.parametrize(
    "address",
    ["https://ann:s3cret@lms", "https://lms?key=s3cret", "https://lms#s3cret", "https://", "https://lms:port",
     "https://lms:99999", "https://[::1", "https://lms/ s3cret", "https://lms\n"],
)  # fmt: skip
def test_a_server_url_that_is_more_than_an_address_or_none(address: str) -> None:
    with pytest.raises(ConfigurationInvalid, match="not just the address of a Totara") as caught:
        TotaraConnection.from_fields("lms", server_url=address, extra={"database_url": _URL})
    assert "s3cret" not in str(caught.value)


def test_a_place_that_cannot_be_stored() -> None:
    report = '{"place": "/exports/\\u0000.csv"}'
    with pytest.raises(ConfigurationInvalid, match=r"report\.place: it holds a character"):
        TotaraConnection.from_fields("lms", extra={"source": "report_file", "report": report})


def test_a_task_stops_when_the_connection_is_not_active() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        _connection(is_active=False).refuse_unless_source("The connection lms")
    assert str(caught.value) == (
        'The connection lms is not active, so nothing is read from this Totara: turn "Is active" on, or take '
        "the site out of bridge.toml."
    )


def test_a_task_stops_when_the_connection_is_no_source() -> None:
    with pytest.raises(ConfigurationInvalid) as caught:
        _connection(is_source=False).refuse_unless_source("The connection lms")
    assert str(caught.value) == (
        'The connection lms is not a source, so nothing is read from this Totara: turn "Is source" on, or '
        "take the site out of bridge.toml."
    )


def test_a_task_goes_on_with_an_active_source() -> None:
    _connection().refuse_unless_source("The connection lms")
