"""A payload template shows what it says it shows, and one that cannot be is refused with its place."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_payload import ITEM, changed
from totara_bridge.config import read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.oracle.payload import Rendered, body, render
from totara_bridge.template import DEFAULT, Template
from totara_bridge.template_field import SOURCES, Field

Write = Callable[[str], Path]


@pytest.fixture
def refusal(write: Write) -> Callable[[str], str]:
    """What is said of the table of a template called fusion, without the words before it."""

    def refuse(table: str) -> str:
        write(f"[templates.fusion]\n{table}")
        with pytest.raises(ConfigurationInvalid) as refused:
            read_config()
        return str(refused.value).removeprefix("bridge.toml (or the environment over it) is not valid: ")

    return refuse


def template(fields: dict[str, Any]) -> Template:
    """A template with these fields beside the key."""
    return Template.model_validate({"name": "mine", "version": 1, "fields": {"key": "item_key", **fields}})


def shown(field: Any, **item: Any) -> Any:
    """What a field shows of an item."""
    return json.loads(render(changed(**item), template({"it": field})).payload)["it"]


def held_for(field: Any, **item: Any) -> tuple[str, ...]:
    """What an item lacks for a field."""
    return render(changed(**item), template({"it": field})).missing


# what it shows

FUSION = """
[templates.fusion]
version = 3
items = "learningRecords"
[templates.fusion.fields]
"key" = "item_key"
"learner.number" = { source = "learner_number", required = true }
"learner.name.last" = "user.last_name"
"status" = { source = "status", map = { complete = "ORA_DONE", complete_rpl = "ORA_RPL" } }
"date" = { source = "time_completed", format = "day", zone = "Pacific/Auckland", required = true }
"from" = { constant = "TOTARA" }
"learner.grade" = { constant = 1.5 }
"test" = { constant = false }
"""


def test_a_template_of_bridge_toml_is_rendered_as_it_stands_there(write: Write) -> None:
    write(FUSION)
    fusion = read_config().template("fusion")
    assert (fusion.label, fusion.items) == ("fusion/3", "learningRecords")
    assert render(changed(learner_number="300"), fusion) == Rendered(
        '{"key":"TBABCDEFGHIJKLMNOPQRSTUVWXYZ","learner":{"number":"300","name":{"last":"Łuk\\n"},"grade":1.5},'
        '"status":"ORA_DONE","date":"2026-03-01","from":"TOTARA","test":false}',
        missing=(),
    )


def test_the_list_of_the_body_is_named_by_the_template() -> None:
    assert body(["{}"], 'learning "records"') == b'{"learning \\"records\\"":[{}]}'


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_is_the_items_own(source: str) -> None:
    values: dict[str, Any] = {name: f"the {name}" for name in SOURCES.values()}
    values |= {"revision": 11, "user_id": 12, "course_id": 13, "progress": 14, "time_completed": ITEM.time_completed}
    expected = "2026-03-01T09:30:05Z" if source == "time_completed" else values[SOURCES[source]]
    assert shown(source, **values) == expected


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, "2026-03-01T11:30:05Z"),
        ({"format": "iso"}, "2026-03-01T11:30:05Z"),
        ({"format": "epoch"}, 1772364605),
        ({"format": "epoch_millis"}, 1772364605000),
        ({"format": "day", "zone": "UTC"}, "2026-03-01"),
        ({"format": "day", "zone": "Pacific/Auckland"}, "2026-03-02"),
        ({"format": "day", "zone": "America/Los_Angeles"}, "2026-03-01"),
    ],
)
def test_a_time_is_written_as_asked_for(how: dict[str, str], expected: str | int) -> None:
    time = datetime(2026, 3, 1, 12, 30, 5, 999_999, tzinfo=timezone(timedelta(hours=1)))
    assert shown({"source": "time_completed", **how}, time_completed=time) == expected


@pytest.mark.parametrize("month", [1, 7])  # summer and winter there
def test_the_day_follows_the_zones_summer_time(month: int) -> None:
    time = datetime(2026, month, 1, 11, 30, tzinfo=UTC)  # half past midnight in summer, half past eleven in winter
    day = {"source": "time_completed", "format": "day", "zone": "Pacific/Auckland"}
    assert shown(day, time_completed=time) == {1: "2026-01-02", 7: "2026-07-01"}[month]


@pytest.mark.parametrize("zone", ["Pacific/Auckland", "America/Los_Angeles"])
def test_the_last_moment_that_there_is_has_a_day_everywhere(zone: str) -> None:
    time = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert shown({"source": "time_completed", "format": "day", "zone": zone}, time_completed=time) == "9999-12-31"


@pytest.mark.parametrize("how", ["iso", "epoch", "epoch_millis"])
def test_the_beginning_of_time_is_written_as_json(how: str) -> None:
    time = datetime(1970, 1, 1, tzinfo=UTC)
    expected = {"iso": "1970-01-01T00:00:00Z", "epoch": 0, "epoch_millis": 0}[how]
    assert shown({"source": "time_completed", "format": how}, time_completed=time) == expected


@pytest.mark.parametrize("field", [{"format": "epoch"}, {"format": "day", "zone": "UTC"}])
def test_a_time_without_a_zone_is_refused_in_every_format(field: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="time zone"):
        shown({"source": "time_completed", **field}, time_completed=datetime(2026, 3, 1))  # noqa: DTZ001


def test_a_map_translates_and_gives_its_default_for_the_rest() -> None:
    kinds = {"source": "kind", "map": {"completion": "C", "correction": 2, "withdrawal": True}}
    assert [shown(kinds, kind=kind) for kind in ("completion", "correction", "withdrawal")] == ["C", 2, True]
    courses = {"source": "course_id", "map": {"12": "Fire"}, "default": "Other"}
    assert [shown(courses, course_id=each) for each in (12, 13)] == ["Fire", "Other"]
    assert shown({"source": "status", "map": {"complete": "yes"}, "default": ""}, status="complete_rpl") == ""


# what is missing


@pytest.mark.parametrize("nothing", [None, ""])
def test_what_a_required_field_lacks_holds_the_item(nothing: str | None) -> None:
    required = {"source": "user.id_number", "required": True}
    assert held_for(required, id_number=nothing) == ("user.id_number",)
    assert held_for(required, id_number="0") == ()
    assert held_for("user.id_number", id_number=nothing) == ()


def test_no_progress_is_missing_and_none_yet_is_not() -> None:
    required = {"source": "progress", "required": True}
    assert held_for(required, progress=None) == ("progress",)
    assert held_for(required, progress=0) == ()


def test_what_is_missing_twice_is_named_once_and_in_the_order_of_the_fields() -> None:
    required = {
        path: {"source": source, "required": True}
        for path, source in (("b", "course_number"), ("a", "learner_number"), ("c.d", "course_number"))
    }
    assert render(ITEM, template(required)).missing == ("course_number", "learner_number")


def test_what_is_missing_is_written_as_it_is_or_left_out() -> None:
    fields = {"there": "learner_number", "empty": "user.email"}
    left_out = {f"no_{path}": {"source": source, "omit_empty": True} for path, source in fields.items()}
    item = changed(learner_number=None, email="")
    rendered = json.loads(render(item, template({**fields, **left_out})).payload)
    assert rendered == {"key": ITEM.item_key, "there": None, "empty": ""}
    assert "no_there" in json.loads(render(changed(learner_number="7"), template(left_out)).payload)


def test_what_is_missing_is_neither_mapped_nor_dated() -> None:
    assert shown({"source": "user.email", "map": {"": "none"}, "default": "other"}, email="") == ""
    assert shown({"source": "time_completed", "format": "epoch"}, time_completed=None) is None


# the default and the versions


def test_the_default_needs_a_completion_time_and_nothing_else() -> None:
    assert DEFAULT.label == "default/2"
    assert render(changed(time_completed=None)).missing == ("time_completed",)
    assert render(changed(id_number=None, email="", course_short_name=None, progress=None)).missing == ()


def test_the_personal_paths_are_those_that_show_the_learner(write: Write) -> None:
    write(FUSION)
    assert read_config().template("fusion").personal_paths == ("learner.name.last",)
    assert DEFAULT.personal_paths == ("user.username", "user.idnumber", "user.email", "user.firstname", "user.lastname")


def test_a_template_says_the_same_however_it_is_written() -> None:
    short, long = template({"a": "status"}), template({"a": {"source": "status", "required": False}})
    assert short.definition == long.definition
    assert short.definition != template({"a": "kind"}).definition
    assert short.definition != short.model_copy(update={"items": "records"}).definition
    one, other = (
        template({"a": {"source": "site", "map": dict(each), "default": 0}})
        for each in ([("x", 1), ("y", 2)], [("y", 2), ("x", 1)])
    )
    assert one.definition == other.definition


def test_half_of_a_surrogate_pair_is_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(FUSION)
    fields = '{"k": "item_key", "c": {"constant": "\\ud800"}}'
    monkeypatch.setenv("TOTARA_BRIDGE_TEMPLATES", f'{{"other": {{"version": 1, "fields": {fields}}}}}')
    with pytest.raises(ConfigurationInvalid, match=r"other\.fields\.c\.constant: it holds a character that cannot be"):
        read_config()


@pytest.mark.parametrize("number", [-(2**63), 2**63 - 1])
def test_every_number_of_64_bits_is_shown(number: int) -> None:
    assert shown({"constant": number}) == number


def test_the_environment_gives_a_template_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(FUSION)
    monkeypatch.setenv("TOTARA_BRIDGE_TEMPLATES", '{"other": {"version": 1, "fields": {"k": "item_key"}}}')
    monkeypatch.setenv("TOTARA_BRIDGE_TEMPLATES__FUSION__VERSION", "4")
    config = read_config()
    assert (config.template("fusion").label, config.template("other").label) == ("fusion/4", "other/1")


# what is published


def test_the_published_example_gives_the_published_item(write: Write) -> None:
    write(toml_of(PAGE))
    item = changed(item_key="TB7QK3ZV5M2XWJ4T6RD3PYHNCE2A", learner_number="300100")
    assert render(item, read_config().template("fusion")).payload == PAGE.split("```json\n")[1].split("\n```")[0]


def test_every_source_and_every_key_of_a_field_is_published() -> None:
    for word in (*SOURCES, *Field.model_fields):
        assert f"`{word}`" in PAGE


PAGE = (Path(__file__).parents[2] / "docs/templates.md").read_text()


def toml_of(page: str) -> str:
    """The configuration that a page shows."""
    return page.split("```toml\n")[1].split("```", maxsplit=1)[0]


# what is refused

FIELDS = "[templates.fusion.fields]\n"
KEY = f'version = 1\n{FIELDS}"key" = "item_key"\n'
AT_FIELDS = "templates.fusion.fields: "


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[templates.fusion.fields]\n"key" = "item_key"', "templates.fusion.version: Field required"),
        (f'version = 0\n{FIELDS}"key" = "item_key"', "templates.fusion.version: Input should be greater than 0"),
        (KEY.replace("= 1", "= 2147483648"), "templates.fusion.version: Input should be less than 2147483648"),
        (KEY.replace("= 1", '= 1\nitems = "\\u0000"'), "templates.fusion.items: it holds a character that cannot be"),
        (KEY + '"a\\u0000" = "kind"', f"{AT_FIELDS}it holds a character that cannot be stored (NUL, or half of"),
        ("version = 1", "templates.fusion.fields: Field required"),
        (KEY.replace("= 1", "= 1\nitems = ''"), "templates.fusion.items: String should have at least 1 character"),
        (KEY.replace("= 1", "= 1\nitem = 'x'"), "templates.fusion.item: Extra inputs are not permitted"),
        (
            KEY.replace("= 1", "= 1\nname = 'x'"),
            "templates: a template is named by its table, as in [templates.fusion]",
        ),
        (f'version = 1\n{FIELDS}"key" = "record_key"', f"{AT_FIELDS}no field shows item_key, by which the destination"),
        (f"version = 1\n{FIELDS}", f"{AT_FIELDS}no field shows item_key"),
        (KEY + '"" = "kind"', f'{AT_FIELDS}the path "" has an empty part: name each part'),
        (KEY + '"a..b" = "kind"', f'{AT_FIELDS}the path "a..b" has an empty part: name each part'),
        (KEY + '"key.b" = "kind"', f"{AT_FIELDS}key is a value, so key.b cannot stand in it: rename one of the two"),
        (KEY + '"a.b" = "kind"\n"a" = "kind"', f"{AT_FIELDS}a is a value, so a.b cannot stand in it"),
    ],
)
def test_a_template_that_cannot_be_is_refused(refusal: Callable[[str], str], table: str, said: str) -> None:
    assert refusal(table).startswith(said)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ('"usr.email"', ".source: there is no source 'usr.email': use one of item_key, record_key, "),
        ("7", ': name a source, as in "key" = "item_key", or write a table with source or constant.'),
        ('{ sorce = "kind" }', ": a field has no sorce (it has source, constant, format, zone, "),
        ("{}", ": give either a source or a constant."),
        ('{ source = "kind", constant = 1 }', ": give either a source or a constant."),
        ("{ constant = 1, required = true }", ": a constant takes nothing beside it."),
        ("{ constant = 2026-03-01 }", ".constant: give a text, a number, true or false."),
        ("{ constant = nan }", ".constant: give a text, a number, true or false."),
        ("{ constant = [1] }", ".constant: give a text, a number, true or false."),
        ('{ source = "kind", format = "iso" }', ": format is for time_completed, and kind is no time: leave it out."),
        (
            '{ source = "time_completed", format = "week" }',
            ".format: Input should be 'iso', 'epoch', 'epoch_millis' or 'day'.",
        ),
        ('{ source = "time_completed", format = "day" }', ": the format day needs the zone that the day is in, as in "),
        ('{ source = "time_completed", zone = "UTC" }', ': a zone is for format = "day" only'),
        ('{ source = "time_completed", format = "day", zone = "Oz" }', ".zone: there is no time zone 'Oz': use a name"),
        ('{ source = "time_completed", format = "day", zone = "" }', ".zone: there is no time zone '': use a name"),
        ('{ source = "time_completed", format = "day", zone = "../UTC" }', ".zone: there is no time zone '../UTC'"),
        ('{ source = "time_completed", format = "day", zone = "Pacific" }', ".zone: there is no time zone 'Pacific'"),
        ('{ source = "time_completed", map = { a = 1 }, default = 1 }', ": time_completed cannot be mapped: leave"),
        ('{ source = "item_key", map = { a = 1 }, default = 1 }', ": item_key cannot be mapped: leave the map out."),
        ('{ source = "status", default = 1 }', ": default is what a map gives for any other value: add a map or "),
        (
            '{ source = "status", map = { complete = 1 } }',
            ": the map does not say what complete_rpl becomes: add it, or a default.",
        ),
        (
            '{ source = "kind", map = { completion = 1 } }',
            ": the map does not say what correction, withdrawal becomes: add it, or a default.",
        ),
        (
            '{ source = "status", map = { complet = 1 }, default = 2 }',
            ": status is never complet (it is not_started, in_progress, complete, complete_rpl): correct the map.",
        ),
        ('{ source = "site", map = { sbx = 1 } }', ": site can have values that the map does not name: add a default."),
        ('{ source = "site", map = { sbx = [1] }, default = 1 }', ".map.sbx: give a text, a number, true or false."),
        (
            '{ source = "site", map = { sbx = "" }, default = 1, required = true }',
            ": required and omit_empty look at the source's value, so the map would send an empty text all the same",
        ),
        ('{ source = "site", map = { sbx = 1 }, default = "", omit_empty = true }', ": required and omit_empty look"),
        ('{ constant = "a\\u0000" }', ".constant: it holds a character that cannot be stored (NUL, or half of a pair)"),
        ('{ source = "site", map = { s = "\\u0000" }, default = 1 }', ".map.s: it holds a character that cannot be"),
        ('{ source = "site", map = { "\\u0000" = 1 }, default = 1 }', ".map: it holds a character that cannot be"),
        ('{ source = "site", map = { s = 1 }, default = "\\u0000" }', ".default: it holds a character that cannot be"),
        ("{ constant = 9223372036854775808 }", ".constant: the whole number is too large (it is to fit 64 bits)"),
        ("{ constant = -9223372036854775809 }", ".constant: the whole number is too large (it is to fit 64 bits)"),
    ],
)
def test_a_field_that_cannot_be_is_refused_with_its_path(refusal: Callable[[str], str], field: str, said: str) -> None:
    words = refusal(f'{KEY}"learner.it" = {field}')
    assert words.startswith(f"templates.fusion.fields.learner.it{said}")
    assert "\n" not in words


def test_a_path_without_its_quotes_is_explained(refusal: Callable[[str], str]) -> None:
    words = refusal(f'{KEY}learner.number = "learner_number"')
    assert words.startswith("templates.fusion.fields.learner: a field has no number (it has source, ")
    assert words.endswith('; a path with dots stands in quotes, as in "learner.number".')


def test_the_default_is_not_redefined(write: Write) -> None:
    write(KEY.replace("fusion", "default").replace("version", "[templates.default]\nversion"))
    with pytest.raises(ConfigurationInvalid, match="templates: default is built in and cannot be changed: give your"):
        read_config()


def test_a_name_is_one_that_a_label_can_be_made_of(write: Write) -> None:
    write(KEY.replace("fusion", '"Fusion/2"').replace("version", '[templates."Fusion/2"]\nversion'))
    with pytest.raises(ConfigurationInvalid, match=r"templates\.Fusion/2\.name: String should match pattern"):
        read_config()


def test_an_unknown_template_is_asked_for_in_vain(write: Write) -> None:
    write(FUSION)
    with pytest.raises(ConfigurationInvalid, match=r"There is no template fission in bridge\.toml"):
        read_config().template("fission")
    assert read_config().template("default") is DEFAULT
