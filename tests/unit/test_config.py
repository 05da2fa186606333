"""bridge.toml and the environment over it: what is wrong in them is said in one sentence, without a secret."""

import re
from collections.abc import Callable
from datetime import time, timedelta
from pathlib import Path

import pytest

from totara_bridge.config import (
    Destination,
    Extract,
    Purge,
    Push,
    Site,
    Watch,
    config_file,
    database_url,
    read_config,
)
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.route import Route

REPOSITORY = Path(__file__).parents[2]
SITE = '[[sites]]\ncode = "{}"\nconnection = "totara"\n'
DESTINATION = '[[destinations]]\ncode = "{}"\nconnection = "oracle"\n'

Write = Callable[[str], Path]

pytestmark = pytest.mark.usefixtures("clean_environment")


def refusal() -> str:
    """The sentence with which the configuration is refused."""
    with pytest.raises(ConfigurationInvalid) as refused:
        read_config()
    return str(refused.value)


# bridge.toml


def test_the_repositorys_own_file_reads_and_says_the_defaults() -> None:
    assert config_file() == REPOSITORY / "bridge.toml"
    config = read_config()
    assert config.sites == (Site(code="sbx", connection="totara_sandbox"),)
    assert config.destinations == (Destination(code="oracle", connection="oracle_sandbox"),)
    assert (config.extract, config.push, config.purge, config.watch) == (Extract(), Push(), Purge(), Watch())
    assert config.timezone.key == "UTC"


@pytest.mark.parametrize("left_off", ["every", "schedule"])  # a site has one of them
def test_every_commented_out_key_of_the_repositorys_file_can_be_switched_on(write: Write, left_off: str) -> None:
    words = (REPOSITORY / "bridge.toml").read_text().replace(f"# {left_off} = ", "# ")
    on = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and (" = " in line or line.startswith("# [")) else line
        for line in words.splitlines()
    )
    write(on)
    config = read_config()
    [site], [destination] = config.sites, config.destinations
    rhythm = (None, "0 6 * * mon-fri") if left_off == "every" else (timedelta(hours=6), None)
    assert (site.every, site.schedule) == rhythm
    assert (site.queue, site.executor) == ("company_network", "CeleryExecutor")
    assert (destination.route.sites, destination.drain_tasks) == (("sbx",), 1)
    assert destination.route.model_fields_set == set(Route.model_fields)
    assert (destination.queue, destination.executor) == ("default", "LocalExecutor")
    assert config.template(destination.template).label == "fusion/1"


def test_an_empty_file_is_a_bridge_with_nothing_to_do(write: Write) -> None:
    write("")
    assert (read_config().sites, read_config().destinations) == ((), ())


def test_a_route_names_the_sites_whose_completions_are_wanted(write: Write) -> None:
    write(
        SITE.format("aa")
        + SITE.format("bb")
        + DESTINATION.format("all")
        + DESTINATION.format("one")
        + 'route.sites = ["bb"]'
    )
    everything, one = read_config().destinations
    assert [everything.wants(site) for site in ("aa", "bb")] == [True, True]
    assert [one.wants(site) for site in ("aa", "bb")] == [False, True]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ('[extract]\nscedule = "0 * * * *"', "extract.scedule"),
        ("[pusch]\n", "pusch"),
        (SITE.format("sbx") + "colour = 1", "sites.0.colour"),
        (DESTINATION.format("oracle") + "drain_tasks = 0", "destinations.0.drain_tasks"),
        (DESTINATION.format("oracle") + "drain_tasks = 17", "destinations.0.drain_tasks"),
        (SITE.format("x"), "sites.0.code"),
        (SITE.format("ninechars"), "sites.0.code"),
        (SITE.format("SBX"), "sites.0.code"),
        (SITE.format("a1"), "sites.0.code"),
        (DESTINATION.format("Oracle"), "destinations.0.code"),
        ('[[sites]]\ncode = "sbx"', "sites.0.connection"),
        ('[extract]\nfull_compare = "half past two"', "extract.full_compare"),
        ('[extract]\nfull_compare = "02:30:00+02:00"', "extract.full_compare"),
        ('[extract]\noverlap = "-PT1S"', "extract.overlap"),
        ('[extract]\ndeadline = "PT0S"', "extract.deadline"),
        ('[push]\ntime_box = "PT0S"', "push.time_box"),
        ('[push]\ndeadline = "-PT1M"', "push.deadline"),
        (SITE.format("sbx") + 'every = "PT0S"', "sites.0.every"),
        (SITE.format("sbx") + 'every = "PT6H"\nschedule = "daily"', "sites.0"),
    ],
)
def test_what_cannot_be_is_named_with_its_place(write: Write, words: str, named: str) -> None:
    write(words)
    said = refusal()
    assert said.startswith("bridge.toml (or the environment over it) is not valid: ")
    assert f" {named}: " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ('[extract]\nschedule = "{}"', "extract.schedule"),
        ('[push]\nschedule = "{}"', "push.schedule"),
        ('[purge]\nschedule = "{}"', "purge.schedule"),
        ('[watch]\nschedule = "{}"', "watch.schedule"),
        (SITE.format("sbx") + 'schedule = "{}"', "sites.0.schedule"),
    ],
)
@pytest.mark.parametrize(
    "schedule",
    ["", "hourli", "@daily", "0 0 * *", "0 0 * * * *", "60 * * * *", "0 0 * * someday", "R R * * *", "1,h 0 * * *"],
)
def test_a_schedule_that_is_none_is_refused_with_its_place(write: Write, words: str, place: str, schedule: str) -> None:
    write(words.format(schedule))
    assert f" {place}: {schedule!r} is no schedule: write hourly, daily, weekly, or a cron line of " in refusal()


def test_a_schedule_that_never_comes_is_refused(write: Write) -> None:
    write('[purge]\nschedule = "0 0 30 2 *"')
    assert " purge.schedule: '0 0 30 2 *' names a time that never comes: " in refusal()


def test_a_site_with_two_rhythms_is_refused(write: Write) -> None:
    write(SITE.format("sbx") + 'every = "PT6H"\nschedule = "daily"')
    assert " sites.0: the site sbx has both every and schedule: keep one of them." in refusal()


def test_schedules_are_words_or_cron_lines(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(
        'timezone = "Pacific/Auckland"\n[extract]\nschedule = "hourly"\n' + SITE.format("sbx") + 'schedule = "weekly"'
    )
    monkeypatch.setenv("TOTARA_BRIDGE_PURGE__SCHEDULE", "daily")
    config = read_config()
    assert (config.timezone.key, config.extract.schedule) == ("Pacific/Auckland", "0 * * * *")
    assert (config.sites[0].schedule, config.purge.schedule) == ("0 0 * * 0", "0 0 * * *")
    monkeypatch.setenv("TOTARA_BRIDGE_TIMEZONE", "Europe/Berlin")
    assert read_config().timezone.key == "Europe/Berlin"


@pytest.mark.parametrize("zone", ["", "Auckland", "Pacific", "+12:00", "../etc/passwd", "/etc/localtime", " UTC"])
def test_an_unknown_time_zone_is_refused(write: Write, zone: str) -> None:
    write(f'timezone = "{zone}"')
    assert f" timezone: there is no time zone {zone!r}: write a name such as UTC or Pacific/Auckland." in refusal()


def test_an_unknown_template_is_refused(write: Write) -> None:
    write(DESTINATION.format("oracle") + 'template = "mine"')
    assert "is not valid: destination oracle names the template mine, which [templates] does not have: " in refusal()


def test_all_that_is_wrong_is_said_at_once(write: Write) -> None:
    write(SITE.format("X") + DESTINATION.format("Y"))
    assert "sites.0.code" in refusal()
    assert "destinations.0.code" in refusal()


@pytest.mark.parametrize(("kind", "section"), [("site", SITE), ("destination", DESTINATION)])
def test_a_code_that_is_given_twice_is_refused(write: Write, kind: str, section: str) -> None:
    write(section.format("twin") + section.format("other") + section.format("twin"))
    assert f"{kind} code twin is given twice" in refusal()


def test_a_code_of_a_site_and_of_a_destination_is_refused(write: Write) -> None:
    write(SITE.format("hr") + DESTINATION.format("hr"))
    assert "the code hr is given to a site and to a destination" in refusal()


def test_a_route_to_an_unknown_site_is_refused(write: Write) -> None:
    write(SITE.format("sbx") + DESTINATION.format("oracle") + 'route.sites = ["sbx", "nowhere"]')
    assert "the route of destination oracle names the site nowhere, which [[sites]] does not have" in refusal()


def test_a_file_that_cannot_be_read_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", "/proc/self/mem")  # whoever runs this may be root, and may read the rest
    assert refusal() == ("/proc/self/mem cannot be read (Input/output error): let the user that runs this read it.")


@pytest.mark.parametrize("words", ["[extract\n", "code = ", 'a = "1"\na = "2"'])
def test_a_file_that_is_no_toml_is_refused_with_the_place(write: Write, words: str) -> None:
    write(words)
    assert re.match(r"bridge\.toml is not valid TOML: .* \(at (line \d+, column \d+|end of document)\)\.$", refusal())


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(tmp_path / "other.toml"))
    assert f"There is no configuration file {tmp_path / 'other.toml'}: create it" in refusal()
    assert "TOTARA_BRIDGE_CONFIG" in refusal()


# the environment over it


def test_the_environment_goes_over_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write('[extract]\nschedule = "1 * * * *"\nfull_compare = "03:00:00"\n[push]\ntime_box = "PT1M"\n')
    monkeypatch.setenv("TOTARA_BRIDGE_EXTRACT__SCHEDULE", "5 5 * * *")
    monkeypatch.setenv("TOTARA_BRIDGE_PUSH__TIME_BOX", "PT3M")
    config = read_config()
    assert (config.extract.schedule, config.extract.full_compare) == ("5 5 * * *", time(3))
    assert config.push.time_box == timedelta(minutes=3)


def test_a_list_is_given_as_json(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(SITE.format("sbx"))
    monkeypatch.setenv("TOTARA_BRIDGE_SITES", '[{"code": "prod", "connection": "totara_prod"}]')
    assert read_config().sites == (Site(code="prod", connection="totara_prod"),)


def test_an_unknown_key_of_a_section_is_refused_from_the_environment_too(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    monkeypatch.setenv("TOTARA_BRIDGE_EXTRACT__SCEDULE", "5 5 * * *")
    assert " extract.scedule: " in refusal()


def test_a_variable_that_is_no_json_is_named(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("")
    monkeypatch.setenv("TOTARA_BRIDGE_SITES", "sbx")
    said = refusal()
    assert "sites" in said
    assert "TOML" not in said


def test_other_variables_of_the_bridge_are_no_part_of_it(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("")
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", "postgresql://user:hunter2@host/staging")
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", "/somewhere")
    assert "hunter2" not in repr(read_config())


def test_the_configuration_does_not_change_while_it_is_used(write: Write) -> None:
    write("")
    with pytest.raises(ValueError, match="frozen"):
        read_config().sites = ()  # type: ignore[misc]


# TOTARA_BRIDGE_DATABASE_URL


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_staging_is_reached_with_psycopg(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", f"{scheme}://user:p%40ss@host:5433/staging?sslmode=require")
    assert database_url() == "postgresql+psycopg://user:p%40ss@host:5433/staging?sslmode=require"


@pytest.mark.parametrize("value", [None, ""])
def test_an_address_that_is_not_set_is_asked_for(monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", value)
    with pytest.raises(
        ConfigurationInvalid, match=r"TOTARA_BRIDGE_DATABASE_URL is not set: .*postgresql://user:password@"
    ):
        database_url()


@pytest.mark.parametrize(
    "address",
    [
        "mysql://user:hunter2@host/staging",
        "sqlite:///hunter2",
        "user:hunter2@host/staging",
        "postgresql:/user:hunter2@host/staging",
        " postgresql//user:hunter2@host/staging",
    ],
)
def test_another_address_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)
    with pytest.raises(ConfigurationInvalid, match=r"TOTARA_BRIDGE_DATABASE_URL.*PostgreSQL 15") as refused:
        database_url()
    assert "hunter2" not in str(refused.value)
