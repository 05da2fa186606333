"""A manager's switches: the destination's own over those for all over the defaults, and never out of bounds."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from pydantic import ValidationError

from tests.items import NOW, Items, items_in
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.push.flow import wait_before_retry
from totara_bridge.settings import ONLY_FOR_ALL, Channel, Settings
from totara_bridge.staging import setting
from totara_bridge.staging.setting import EVERYWHERE


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("settings")) as opened:
        yield opened


@pytest.fixture
def table(database: Items) -> Items:
    """A setting table without a row."""
    return database.emptied()


def write(table: Items, scope: str, name: str, value: object) -> None:
    """Set one switch, and commit."""
    with table.staging.begin() as transaction:
        setting.write(transaction, scope=scope, name=name, value=value, by="ann", now=NOW)


def read(table: Items, scope: str = EVERYWHERE) -> Settings:
    """The switches as they are."""
    with table.staging.connect() as transaction:
        return setting.read(transaction, scope)


def test_an_empty_table_says_the_defaults(table: Items) -> None:
    assert read(table) == read(table, "oracle") == Settings()


def test_the_destination_goes_over_all_and_all_over_the_default(table: Items) -> None:
    write(table, "oracle", "batch_size", 7)
    write(table, EVERYWHERE, "batch_size", 50)
    write(table, EVERYWHERE, "max_attempts", 3)
    write(table, "other", "max_attempts", 99)
    assert read(table, "oracle") == Settings(batch_size=7, max_attempts=3)
    assert read(table, "third") == Settings(batch_size=50, max_attempts=3)
    assert read(table) == Settings(batch_size=50, max_attempts=3)


@pytest.mark.parametrize(
    ("name", "value", "means"),
    [
        ("enabled", False, False),
        ("requests_in_flight", 32, 32),
        ("retry_first", 5, timedelta(seconds=5)),
        ("retry_longest", "PT2H", timedelta(hours=2)),
        ("shadow", True, True),
        ("keep_bodies", "failures", "failures"),
        ("body_retention", "P3D", timedelta(days=3)),
    ],
)
def test_a_switch_is_read_as_it_was_written(table: Items, name: str, value: object, means: object) -> None:
    write(table, "oracle", name, value)
    assert getattr(read(table, "oracle"), name) == means


@pytest.mark.parametrize(
    ("name", "value", "stored"),
    [
        ("pull_per_minute", "1_000", 1000),
        ("pull_per_minute", "+600", 600),
        ("pull_per_minute", 5.0, 5),
        ("pull", "off", False),
        ("promised_share", "0.5", 0.5),
        ("retry_first", "PT30S", "PT30S"),
        ("retry_first", 30, "PT30S"),
        ("pull_since", "P30D", "P30D"),
        ("silence", "PT1.5S", "PT1.5S"),
        ("keep_bodies", "always", "always"),
        (
            "alert_channels",
            [{"connection": " ops_mail ", "to": ["a@example.com"]}, {"connection": "hook", "form": "slack"}],
            [
                {"connection": "ops_mail", "to": ["a@example.com"], "form": "json"},
                {"connection": "hook", "to": [], "form": "slack"},
            ],
        ),
    ],
)
def test_a_switch_is_stored_and_audited_as_it_was_understood(
    table: Items, name: str, value: object, stored: object
) -> None:
    write(table, EVERYWHERE, name, value)
    [row] = table.sql("SELECT value, jsonb_typeof(value) AS type FROM bridge.setting")
    assert row["value"] == stored
    assert type(row["value"]) is type(stored)
    assert read(table) == Settings.model_validate({name: value}) == Settings.model_validate({name: stored})
    write(table, EVERYWHERE, name, stored)
    audited = table.sql("SELECT details FROM bridge.audit_log ORDER BY id")
    assert len(audited) == 1, "nothing has changed"
    if name != "alert_channels":
        assert audited[0]["details"]["to"] == stored


def test_a_switch_that_is_set_again_has_its_last_value_and_author(table: Items) -> None:
    write(table, EVERYWHERE, "batch_size", 50)
    with table.staging.begin() as transaction:
        later = NOW + timedelta(hours=1)
        setting.write(transaction, name="batch_size", value=60, by="bob", now=later)
    [row] = table.sql("SELECT * FROM bridge.setting")
    assert dict(row) == {
        "scope": "bridge",
        "name": "batch_size",
        "value": 60,
        "changed_at": later,
        "changed_by": "bob",
    }


def test_an_unknown_switch_is_refused_with_those_there_are(table: Items) -> None:
    with pytest.raises(
        ConfigurationInvalid, match=r"no setting 'batchsize': choose one of .*batch_size, .*, silence\.$"
    ):
        write(table, EVERYWHERE, "batchsize", 5)
    assert table.sql("SELECT FROM bridge.setting") == []


YEAR = timedelta(days=365)


@pytest.mark.parametrize("name", ["retry_first", "retry_longest", "body_retention"])
def test_a_length_is_more_than_nothing_and_a_year_at_most(table: Items, name: str) -> None:
    write(table, "oracle", name, "P365D")
    assert getattr(read(table, "oracle"), name) == YEAR
    for value in ("P366D", "PT0S", "-PT1S", "P999999999D"):
        with pytest.raises(ConfigurationInvalid, match=f"The setting {name} of oracle is not valid: "):
            write(table, "oracle", name, value)
    assert getattr(read(table, "oracle"), name) == YEAR


def test_the_longest_waits_can_be_waited() -> None:
    settings = Settings(retry_first=YEAR, retry_longest=YEAR)
    assert wait_before_retry(settings, failures=100, retry_after=None) <= YEAR


BOUNDS = {
    "batch_size": (1, 1000),
    "request_bytes": (10_000, 50_000_000),
    "requests_in_flight": (1, 32),
    "max_attempts": (1, 100),
    "promised_share": (0, 1),
    "dead_per_hour": (0, 1_000_000),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_belong_to_the_switch(table: Items, name: str) -> None:
    lowest, highest = BOUNDS[name]
    for value in (lowest, highest):
        write(table, "oracle", name, value)
        assert getattr(read(table, "oracle"), name) == value
    for value in (lowest - 1, highest + 1):
        with pytest.raises(
            ConfigurationInvalid, match=f"The setting {name} of oracle is not valid: .* {lowest}|{highest}"
        ):
            write(table, "oracle", name, value)
        with pytest.raises(ValidationError):
            Settings.model_validate({name: value})
    assert getattr(read(table, "oracle"), name) == highest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("enabled", "perhaps"),
        ("batch_size", None),
        ("retry_first", "soon"),
        ("keep_bodies", "sometimes"),
        ("body_retention", "PT0S"),
        ("sent_retention", "PT23H"),
        ("log_retention", "P3651D"),
        ("alert_channels", "ops_mail"),
        ("alert_channels", [{"connection": " "}]),
        ("alert_channels", [{"connection": "x" * 201}]),
        ("alert_channels", [{"connection": "ops_mail", "to": ["nobody"]}]),
        ("alert_channels", [{"connection": "chat", "form": "morse"}]),
    ],
)
def test_a_value_of_another_kind_is_refused(table: Items, name: str, value: object) -> None:
    with pytest.raises(ConfigurationInvalid, match=rf"The setting {name}\S* of bridge is not valid: "):
        write(table, EVERYWHERE, name, value)


def test_an_alert_channel_is_given_once(table: Items) -> None:
    channel = {"connection": "ops_mail", "to": ["ops@example.com"]}
    write(table, EVERYWHERE, "alert_channels", [channel])
    assert read(table).alert_channels == (Channel(connection="ops_mail", to=("ops@example.com",)),)
    with pytest.raises(ConfigurationInvalid, match="the alert channel ops_mail is given twice"):
        write(table, EVERYWHERE, "alert_channels", [channel, channel])


def test_an_alert_channel_is_named_and_never_an_address(table: Items) -> None:
    address = "slack://TokenA/TokenB/very-secret"
    with pytest.raises(ConfigurationInvalid, match="the name of an Airflow Connection, no address") as refused:
        write(table, EVERYWHERE, "alert_channels", [{"connection": address}])
    assert "very-secret" not in f"{refused.value} {refused.value.__cause__}"
    assert table.sql("SELECT details FROM bridge.audit_log") == []


def test_the_audit_log_counts_the_addresses_of_an_alert_channel(table: Items) -> None:
    mail = {"connection": "ops_mail", "to": ["zoe@example.com", "bud@example.com"]}
    older = """'[{"connection": "x://secret"}]'"""
    table.sql(f"INSERT INTO bridge.setting VALUES ('bridge', 'alert_channels', {older}, now(), 'ann')")
    write(table, EVERYWHERE, "alert_channels", [mail, {"connection": "hook"}])
    write(table, EVERYWHERE, "alert_channels", [mail | {"to": ["li@example.com"]}])
    hook = {"connection": "hook", "to": 0, "form": "json"}
    counted = [{"connection": "ops_mail", "to": 2, "form": "json"}, hook]
    audited = table.sql("SELECT details FROM bridge.audit_log ORDER BY id")
    assert [(row["details"]["from"], row["details"]["to"]) for row in audited] == [
        ("not valid", counted),
        (counted, [{"connection": "ops_mail", "to": 1, "form": "json"}]),
    ]


def test_a_change_that_waits_for_another_is_audited_with_what_that_left(
    table: Items, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    write(table, EVERYWHERE, "batch_size", 10)
    waiting = "SELECT 1 AS one FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:
        with table.staging.begin() as transaction:
            setting.write(transaction, name="batch_size", value=20, by="ann", now=NOW)
            back = pool.submit(write, table, EVERYWHERE, "batch_size", 10)
            wait_until(lambda: bool(table.sql(waiting)))
        back.result()
    audited = table.sql("SELECT details FROM bridge.audit_log ORDER BY id")
    assert [(row["details"]["from"], row["details"]["to"]) for row in audited] == [(None, 10), (10, 20), (20, 10)]


def test_every_change_is_audited_with_the_old_and_the_new_value(table: Items) -> None:
    for value in (5, 5, 7):
        write(table, "oracle", "batch_size", value)
    with table.staging.begin() as transaction:
        setting.forget(transaction, scope="oracle", name="batch_size", by="ada", now=NOW)
    audited = table.sql("SELECT actor, action, subject, details FROM bridge.audit_log ORDER BY id")
    assert [(row["details"]["from"], row["details"]["to"]) for row in audited] == [(None, 5), (5, 7), (7, None)]
    assert {(row["action"], row["subject"], row["details"]["scope"]) for row in audited} == {
        ("setting", "batch_size", "oracle")
    }
    assert audited[-1]["actor"] == "ada"
    assert read(table, "oracle") == Settings()


def test_a_bad_value_in_the_table_is_named_in_a_sentence(table: Items) -> None:
    table.sql("INSERT INTO bridge.setting VALUES ('oracle', 'batch_size', '100000', :now, 'psql')", now=NOW)
    with pytest.raises(ConfigurationInvalid, match=r"The setting batch_size of oracle is not valid: .*1000") as refused:
        read(table, "oracle")
    assert "\n" not in str(refused.value)
    assert read(table, "other") == Settings()


def test_a_switch_of_a_later_version_is_passed_over(table: Items) -> None:
    table.sql("INSERT INTO bridge.setting VALUES ('bridge', 'not_yet', '1', :now, 'psql')", now=NOW)
    assert read(table) == Settings()


def test_settings_do_not_change_while_they_are_used() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().batch_size = 1  # type: ignore[misc]


@pytest.mark.parametrize("name", sorted(ONLY_FOR_ALL))
def test_what_counts_for_all_only_is_refused_for_a_destination(table: Items, name: str) -> None:
    value = Settings().model_dump(mode="json")[name]
    with pytest.raises(ConfigurationInvalid, match=f"The setting {name} counts for all only: set it without a dest"):
        write(table, "oracle", name, value)
    write(table, EVERYWHERE, name, value)


def test_one_switch_is_read_whatever_the_others_say(table: Items) -> None:
    write(table, EVERYWHERE, "max_attempts", 3)
    table.sql("INSERT INTO bridge.setting VALUES ('bridge', 'batch_size', '5000', now(), 'ann')")
    with table.staging.connect() as transaction:
        assert setting.read(transaction, only="max_attempts") == Settings(max_attempts=3)
