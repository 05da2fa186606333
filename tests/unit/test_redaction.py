"""A learner's name is found in a text however the destination wrote it, and nothing else is lost."""

import html
import json
import re
from collections.abc import Callable
from unicodedata import normalize
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totara_bridge.hidden import REDACTED, storable
from totara_bridge.oracle.redaction import redact
from totara_bridge.oracle.words import shorten
from totara_bridge.printable import CUT

NAMES = [
    "Zoë",
    "Łukasz-Öztürk",
    'O\'Neil "Bud"',
    "王小明",
    "zoe@example.com",
    "a/b\\c",
    "<Ann & Co>",
    "van der Großmann",
]


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
    "JSON, cut": lambda value: json.dumps({"who": value, "more": 1})[:-1],
    "JSON as PHP writes it": lambda value: json.dumps({"who": value}).replace("/", r"\/")[:-1],
    "JSON as Gson writes it": lambda value: json.dumps({"who": value}).replace("'", r"\u0027")[:-1],
    "HTML with decimals": lambda value: "".join(f"&#{ord(each)};" for each in value),
    "HTML as Java writes it": lambda value: f"<p>{html.escape(value).replace('&#x27;', '&#39;')}</p>",
    "HTML with names": lambda value: html.escape(value).replace("&#x27;", "&apos;").replace("ë", "&euml;"),
    "URL": lambda value: f"/learners/{quote(value)}/records",
    "URL as a browser writes it": lambda value: "/learners/" + quote(value, safe="!'()*~/") + "/records",
    "form": lambda value: f"learner={quote_plus(value)}&x=1",
    "URL in URL": lambda value: f"/sign-in?to={quote('/learners?name=' + quote_plus(value), safe='')}",
    "URL in HTML in JSON": lambda value: json.dumps({"page": f"<a href='/l?a=1&amp;n={quote(value)}'>"})[:-1],
    "decomposed": lambda value: normalize("NFD", value),
    "decomposed in a URL": lambda value: quote(normalize("NFD", value)),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("value", NAMES)
def test_an_echo_is_found_in_every_common_writing(value: str, echo: Callable[[str], str]) -> None:
    hidden = redact([text(name=value)], ["user.name"]).hide(echo(value))
    assert REDACTED in hidden
    assert all(part not in hidden.lower() for part in _parts(value))


def _parts(value: str) -> list[str]:
    """What nobody may read of a value, in whatever way the rest of it is written."""
    return [part for part in re.split(r"[^a-z\u4e00-\u9fff]+", value.lower()) if len(part) > 2 or not part.isascii()]


def test_a_short_name_is_hidden_as_a_word_only() -> None:
    redacted = redact([text(name="An")], ["user.name"])
    assert redacted.hide("An answer for AN and an.") == f"{REDACTED} answer for {REDACTED} and {REDACTED}."


@pytest.mark.parametrize("said", ["no learner 王小明.", "学员王小明不存在", "学员An不存在", "王…"])
def test_a_script_without_spaces_has_no_whole_words(said: str) -> None:
    hidden = redact([text(first="小明", last="王", nick="An")], ["user.first", "user.last", "user.nick"]).hide(said)
    assert hidden == re.sub("王小明|王|An", REDACTED, said)


@pytest.mark.parametrize("value", ["Maximiliana ", "\tMaximiliana", "Maxi\u200e miliana", "Maxi\r\n miliana"])
@pytest.mark.parametrize("write", [str, json.dumps, lambda value: shorten(value) or ""], ids=["str", "json", "words"])
def test_what_stands_for_a_space_makes_no_difference(value: str, write: Callable[[str], str]) -> None:
    hidden = redact([text(name=value)], ["user.name"]).hide(f"no learner {write(value)}!")
    assert REDACTED in hidden
    assert "miliana" not in hidden


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Großmann", "GROSSMANN"),
        ("GROSSMANN", "großmann"),
        ("Işık", "IŞIK"),
        ("Zoë", "ZOE\u0308"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
    ],
)
def test_case_makes_no_difference_in_any_script(value: str, said: str) -> None:
    assert redact([text(name=value)], ["user.name"]).hide(f"no learner {said}.") == f"no learner {REDACTED}."


@given(st.data())
def test_a_name_is_found_when_each_character_is_written_in_another_way(data: st.DataObject) -> None:
    ways: list[Callable[[str], str]] = [
        str, str.upper, quote, html.escape, lambda c: f"&#{ord(c)};", lambda c: f"&#x{ord(c):x};",
        lambda c: json.dumps(c)[1:-1], lambda c: quote(quote(c)), lambda c: html.escape(html.escape(c)),
    ]  # fmt: skip
    value = data.draw(st.sampled_from(NAMES))
    said = "".join(data.draw(st.sampled_from(ways))(character) for character in value)
    hidden = redact([text(name=value)], ["user.name"]).hide(f"no learner ({said}) here")
    assert hidden == f"no learner ({REDACTED}) here"


def test_what_looks_like_an_escape_may_be_part_of_a_value() -> None:
    redacted = redact([text(name="max%20o'neil")], ["user.name"])
    assert redacted.hide("no max%20o'neil, no max%20o&#39;neil, no max%2520o%27neil") == ", ".join(
        [f"no {REDACTED}"] * 3
    )


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


@given(cut=st.integers(1, 40))
@pytest.mark.parametrize("write", [str, quote, quote_plus, html.escape, json.dumps])
def test_a_cut_in_the_middle_of_a_sentence_shows_no_part_of_a_name(write: Callable[[str], str], cut: int) -> None:
    name = "Max-O'Neil Übermann"
    said = f"no learner {write(name)} at all"[:cut]
    hidden = redact([text(name=name)], ["user.name"]).hide(f"403 ({said}{CUT}): let it, or wait{CUT}.")
    assert "Max" not in hidden
    assert hidden.startswith("403 (n")
    assert hidden.endswith(f"{CUT}): let it, or wait{CUT}.")


def test_of_a_place_and_one_in_it_both_are_looked_for() -> None:
    redacted = redact([json.dumps({"who": {"mail": "zoe@example.com"}})], ["who", "who.mail"])
    assert json.loads(redacted.payload_texts[0]) == {"who": REDACTED}
    assert redacted.hide("no zoe@example.com") == f"no {REDACTED}"


def test_what_names_nobody_stays_as_it_is() -> None:
    redacted = redact([text(name="Zoë")], ["user.name"])
    for said in ("The course is not known.", "100% of R&D: a+b, C:\\new", "&lt;b&gt; %7E \\u00e4 &#39;Zo", "wait…"):
        assert redacted.hide(said) == said
    assert json.loads(redacted.hide('{"a": [1, null, "ä"]}')) == {"a": [1, None, "ä"]}


def test_what_cannot_be_stored_is_replaced() -> None:
    assert storable("a\0b\ud800c") == "a\N{REPLACEMENT CHARACTER}b?c"
    assert "\ud800" not in redact([text(name="Zoë")], ["user.name"]).hide('{"a": "\\ud800"}')


def test_nothing_taken_out_is_in_its_repr() -> None:
    assert "Zoë" not in repr(redact([text(name="Zoë")], ["user.name"]))


def test_a_number_inside_a_reference_of_the_destination_stays() -> None:
    redacted = redact(['{"user":{"idnumber":"1990"}}'], {"user.idnumber"})
    assert redacted.hide("SBX000001990 for 1990, 19901") == "SBX000001990 for [redacted], 19901"
