"""A preview shows real completions in the template as it is configured now; a template that was used is kept to."""

import argparse
import json
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.bridge import DESTINATION, SITE, Bridge
from totara_bridge.command import preview as command
from totara_bridge.config import BridgeConfig, read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.preview import preview
from totara_bridge.staging import mapping, payload_template
from totara_bridge.staging.mapping import Mapping
from totara_bridge.template import DEFAULT, Template

pytestmark = pytest.mark.staging("has_read")

NOW = datetime(2026, 3, 1, tzinfo=UTC)
BRIDGE_TOML = """
[[sites]]
code = "sbx"
connection = "totara"
[[destinations]]
code = "oracle"
connection = "oracle"
{destination}
[templates.fusion]
version = 2
[templates.fusion.fields]
"key" = "item_key"
"learner" = {{ source = "learner_number", required = true }}
"course" = "course.short_name"
"""


@pytest.fixture
def staged(bridge: Bridge) -> Bridge:
    """A bridge that has extracted the captured site, and queued nothing of its past."""
    return bridge


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write bridge.toml with these lines of the destination, and read it."""

    def write(destination: str = "") -> BridgeConfig:
        file = tmp_path / "bridge.toml"
        file.write_text(BRIDGE_TOML.format(destination=destination))
        monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
        return read_config()

    return write


def contents(bridge: Bridge) -> dict[str, Any]:
    """All that staging holds."""
    tables = [row["name"] for row in bridge.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'bridge'")]
    return {table: bridge.rows(f"SELECT said::text FROM bridge.{table} said ORDER BY 1") for table in sorted(tables)}


def test_a_preview_is_what_the_queue_gets(staged: Bridge, configure: Any) -> None:
    found = preview(staged.staging, configure(), DESTINATION, limit=1000)
    assert len(found) > 5
    staged.backfill()
    queued = staged.rows("SELECT payload, template, held_for FROM bridge.export_queue ORDER BY instance_id DESC")
    assert queued == [
        {"payload": each.payload, "template": each.template, "held_for": ", ".join(each.missing) or None}
        for each in found
    ]


def test_the_newest_are_shown_first_and_no_more_than_asked_for(staged: Bridge, configure: Any) -> None:
    config = configure()
    assert len(preview(staged.staging, config, DESTINATION)) == 5
    [newest] = preview(staged.staging, config, DESTINATION, limit=1)
    [expected] = staged.rows(
        """SELECT site, user_id, course_id, record_key FROM bridge.completion_instance
           WHERE ended_at IS NULL AND NOT after_deletion ORDER BY id DESC LIMIT 1"""
    )
    assert (newest.site, newest.user_id, newest.course_id) == tuple(expected.values())[:3]
    assert json.loads(newest.payload)["idempotencyKey"] == expected["record_key"]


def test_the_destinations_template_and_its_numbers_are_used(staged: Bridge, configure: Any) -> None:
    config = configure('template = "fusion"')
    [before] = preview(staged.staging, config, DESTINATION, limit=1)
    assert (before.template, before.missing) == ("fusion/2", ("learner_number",))
    with staged.staging.begin() as transaction:
        number = Mapping(SITE, before.user_id, "300")
        mapping.put(transaction, number, destination=DESTINATION, kind="learner", by="ann", now=NOW)
    [after] = preview(staged.staging, config, DESTINATION, limit=1)
    assert (json.loads(after.payload)["learner"], after.missing) == ("300", ())


def test_the_route_is_kept_to(staged: Bridge, configure: Any) -> None:
    everything = preview(staged.staging, configure(), DESTINATION, limit=1000)
    [user] = staged.rows("SELECT username FROM bridge.learner WHERE user_id = :id", id=everything[0].user_id)
    config = configure(f'route.not_learners = ["{user["username"]}"]')
    routed = preview(staged.staging, config, DESTINATION, limit=1000)
    assert routed == [each for each in everything if each.user_id != everything[0].user_id]


def test_a_completion_that_is_never_sent_is_not_shown(staged: Bridge, configure: Any) -> None:
    [never] = staged.rows(
        "SELECT count(*) AS ended, count(*) FILTER (WHERE after_deletion) AS after_deletion "
        "FROM bridge.completion_instance WHERE ended_at IS NOT NULL OR after_deletion"
    )
    assert never["after_deletion"] > 0
    [instances] = staged.rows("SELECT count(*) AS found FROM bridge.completion_instance")
    shown = preview(staged.staging, configure(), DESTINATION, limit=1000)
    assert len(shown) == instances["found"] - never["ended"]


def test_a_preview_changes_nothing(staged: Bridge, configure: Any) -> None:
    before = contents(staged)
    preview(staged.staging, configure('template = "fusion"'), DESTINATION, limit=1000)
    assert contents(staged) == before


def test_an_unknown_destination_is_refused(staged: Bridge, configure: Any) -> None:
    with pytest.raises(ConfigurationInvalid, match=r"There is no destination orakel in bridge\.toml"):
        preview(staged.staging, configure(), "orakel")


# the command


def run(bridge: Bridge, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command as the shell would."""
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", bridge.staging.url.render_as_string(hide_password=False))
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    given = parser.parse_args(["preview", "--destination", DESTINATION, *arguments])
    code: int = given.run(given)
    return code


def test_the_command_prints_the_items_and_what_would_become_of_them(
    staged: Bridge, configure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = preview(staged.staging, configure('template = "fusion"'), DESTINATION, limit=2)
    assert run(staged, monkeypatch, "--limit", "2") == 0
    heading = (
        "site {0.site}, user {0.user_id}, course {0.course_id}, template fusion/2: would be held for learner_number"
    )
    assert capsys.readouterr().out == "\n\n".join(f"{heading.format(each)}\n{each.payload}" for each in found) + "\n"
    configure()
    assert run(staged, monkeypatch) == 0
    assert capsys.readouterr().out.count("template default/2: would be queued\n{") == 5


@pytest.mark.staging("empty")
def test_the_command_says_when_there_is_nothing_to_show(
    bridge: Bridge, configure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    configure()
    assert run(bridge, monkeypatch) == 1
    assert "There is no completion on the route of oracle" in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1001"])
def test_a_limit_is_a_number_that_can_be_read(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], limit: str
) -> None:
    with pytest.raises(SystemExit):
        run(bridge, monkeypatch, "--limit", limit)
    assert "give a number from 1 to 1000" in capsys.readouterr().err


# what was used


def fusion(version: int = 1, **fields: str) -> Template:
    """A template with these fields beside the key."""
    return Template.model_validate({"name": "fusion", "version": version, "fields": {"key": "item_key", **fields}})


def in_another_order(template: Template) -> Template:
    """The same template with its last field first."""
    return template.model_copy(update={"fields": dict(reversed(template.fields.items()))})


def register(staging: Engine, template: Template) -> None:
    """Use the template, and commit."""
    with staging.begin() as transaction:
        payload_template.register(transaction, template, NOW)


def used(staging: Engine) -> Sequence[tuple[Any, ...]]:
    """Which templates were used."""
    with staging.connect() as transaction:
        rows = transaction.execute(text("SELECT name, version FROM bridge.payload_template ORDER BY name, version"))
        return [tuple(row) for row in rows]


def test_a_version_means_one_definition_for_ever(staging: Engine) -> None:
    for template in (DEFAULT, fusion(a="kind"), fusion(a="kind"), DEFAULT):
        register(staging, template)
    said = "The template fusion is still version 1 but its fields changed: raise its version in bridge.toml."
    others = (fusion(a="status"), fusion(b="kind"), fusion(a="kind", b="kind"), fusion())
    for other in (*others, in_another_order(fusion(a="kind"))):
        with pytest.raises(ConfigurationInvalid) as refused:
            register(staging, other)
        assert str(refused.value) == said
    register(staging, fusion(2, a="status"))
    register(staging, fusion(a="kind"))  # a run that began before the change
    assert used(staging) == [("default", 2), ("fusion", 1), ("fusion", 2)]


def test_every_part_of_a_definition_survives_the_database(staging: Engine) -> None:
    fields = {
        "key": "item_key",
        "a": {"constant": 1e22},
        "b": {"constant": False},
        "c": {"constant": ""},
        "d": {"constant": 'Zoë "Ł"'},
        "e": {"source": "site", "map": {"sbx": 10**15, "b": True}, "default": 0},
        "f": {"source": "time_completed", "format": "day", "zone": "Pacific/Auckland", "required": True},
        "g": {"source": "user.email", "omit_empty": True},
    }
    whole = Template.model_validate({"name": "whole", "version": 1, "items": "rows", "fields": fields})
    register(staging, whole)
    register(staging, whole)
    for path in fields.keys() - {"key"}:
        with pytest.raises(ConfigurationInvalid):
            register(staging, whole.model_copy(update={"fields": {**whole.fields, path: fusion().fields["key"]}}))
    with pytest.raises(ConfigurationInvalid):
        register(staging, whole.model_copy(update={"items": "items"}))


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), ("1", 1), ("", " "), (1, 1.0)])
def test_constants_that_are_written_otherwise_are_another_definition(staging: Engine, one: Any, other: Any) -> None:
    given = {"name": "constants", "version": 1}
    first, second = (
        Template.model_validate({**given, "fields": {"key": "item_key", "c": {"constant": each}}})
        for each in (one, other)
    )
    register(staging, first)
    with pytest.raises(ConfigurationInvalid):
        register(staging, second)


@pytest.mark.staging("empty")
def test_two_processes_that_use_it_first_agree(staging: Engine) -> None:
    waiting = threading.Barrier(8)
    refused: list[ConfigurationInvalid] = []

    def use(template: Template) -> None:
        waiting.wait()
        try:
            register(staging, template)
        except ConfigurationInvalid as error:
            refused.append(error)

    same, other = fusion(a="kind"), fusion(a="status")
    threads = [threading.Thread(target=use, args=(each,)) for each in (same, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert used(staging) == [("fusion", 1)]
    assert len(refused) == 4
