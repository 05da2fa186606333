"""A learner's name is found in a text however the destination wrote it, and nothing else is lost."""

import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totara_bridge.oracle.redaction import CUT, REDACTED, redact, storable

NAMES = ["Zoë", "Łukasz-Öztürk", 'O\'Neil "Bud"', "王小明", "zoe@example.com", "a/b\\c", "<Ann & Co>"]


def text(**fields: object) -> str:
    return json.dumps({"id": 7, "user": fields}, ensure_ascii=False)


def test_only_the_personal_paths_of_an_item_are_replaced() -> None:
    item = text(name="Zoë", email=None, nick="", tags={"deep": "x"})
    redacted = redact([item, item], ["user.name", "user.email", "user.nick", "user.tags.deep", "user.none.of", "id.x"])
    expected = {"id": 7, "user": {"name": REDACTED, "email": None, "nick": "", "tags": {"deep": REDACTED}}}
    assert [json.loads(each) for each in redacted.payload_texts] == [expected] * 2
    assert redacted.values == {"Zoë", "x"}


ECHOES: dict[str, Callable[[str], str]] = {
    "as it is": lambda value: f"no learner {value}.",
    "upper case": lambda value: f"no learner {value.upper()}.",
    "JSON": lambda value: json.dumps({"who": value}),
    "JSON, not escaped": lambda value: json.dumps({value: [value]}, ensure_ascii=False),
    "JSON in JSON": lambda value: json.dumps({"message": "bad item " + json.dumps({"who": value})}),
    "JSON in a text": lambda value: "Error at " + json.dumps({"who": value}) + " there",
    "JSON in JSON in a text": lambda value: "Error " + json.dumps({"m": json.dumps({"who": value})}) + " there",
    "HTML": lambda value: f"<p>{html.escape(value)}</p>",
    "JSON in HTML": lambda value: f"<title>{html.escape(json.dumps({'who': value}, ensure_ascii=False))}</title>",
    "URL": lambda value: f"/learners/{quote(value)}/records",
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("value", NAMES)
def test_an_echo_is_found_in_every_common_writing(value: str, echo: Callable[[str], str]) -> None:
    hidden = redact([text(name=value)], ["user.name"]).hide(echo(value))
    assert REDACTED in hidden
    for form in (value, json.dumps(value)[1:-1], html.escape(value), quote(value)):
        assert form.lower() not in hidden.lower()


def test_a_short_name_is_hidden_as_a_word_only() -> None:
    redacted = redact([text(name="An")], ["user.name"])
    assert redacted.hide("An answer for AN and an.") == f"{REDACTED} answer for {REDACTED} and {REDACTED}."


def test_a_longer_value_is_not_left_over_from_a_shorter_one_in_it() -> None:
    redacted = redact([text(name="zoe", email="zoe@example.com")], ["user.name", "user.email"])
    assert redacted.hide("zoe@example.com") == REDACTED


@given(cut=st.integers(1, 40))
def test_what_was_cut_in_the_middle_of_a_name_shows_no_part_of_it(cut: int) -> None:
    name = "Maximiliana-Theodora"
    echo = f"There is no learner {name} at all"[:cut]
    hidden = redact([text(name=name)], ["user.name"]).hide(echo + CUT)
    assert "Max" not in hidden
    assert hidden.endswith(CUT)


def test_what_names_nobody_stays_as_it_is() -> None:
    redacted = redact([text(name="Zoë")], ["user.name"])
    assert redacted.hide("The course is not known.") == "The course is not known."
    assert json.loads(redacted.hide('{"a": [1, null, "ä"]}')) == {"a": [1, None, "ä"]}


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\0b\ud800c") == "a\N{REPLACEMENT CHARACTER}b?c"
    assert "\ud800" not in redact([text(name="Zoë")], ["user.name"]).hide('{"a": "\\ud800"}')


def test_nothing_taken_out_is_in_its_repr() -> None:
    assert "Zoë" not in repr(redact([text(name="Zoë")], ["user.name"]))
