"""The proof of delivery against Totara's own numbers: page, documents and lists say the same, and what it is not of."""

import csv
import hashlib
import io
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.proved import APRIL, BRIDGE_TOML, COUNTS, IN_TOTARA, MARCH, Proved
from totara_bridge.web.panel.proof_words import WORDS

JANUARY_16, FEBRUARY_16 = date(2026, 1, 16), date(2026, 2, 16)

NUMBERS = [
    "in_totara", "staged", *COUNTS, "erased_in_totara", "set_aside", "unaccounted", "not_staged", "gap",
]  # fmt: skip


@pytest.fixture
def proved(staging: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Proved:
    """Completions of every part, and two sites of which the second has none and was compared in April."""
    file = tmp_path / "bridge.toml"
    file.write_text(BRIDGE_TOML)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(file))
    made = Proved(staging)
    made.of_every_part()
    made.compared({}, site="two", at=APRIL)
    return made


def asked(looking: httpx.Client, query: str = "") -> Any:
    """The proof; the page closes or says by how much it does not."""
    answer = looking.get(f"/api/proof?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def counted(looking: httpx.Client, part: str, query: str = "") -> int:
    """How many completions the pages of a list name."""
    found = 0
    cursor: int | None = 0
    while cursor is not None:
        page = looking.get(f"/api/proof/list?part={part}&after={cursor}&limit=7&{query}").json()
        found += sum(row["count"] for row in page["rows"]) if page["by_day"] else len(page["rows"])
        cursor = page["cursor"]
    return found


def test_it_closes_against_totara_once_all_was_compared(proved: Proved, looking: httpx.Client) -> None:
    said = asked(looking)
    assert (said["heading"]["against"], said["heading"]["not_compared"]) == ("staging", ["sbx"])
    assert "in_totara" not in said["sums"]
    proved.compared()
    said = asked(looking)
    assert (said["heading"]["against"], said["heading"]["not_compared"]) == ("totara", [])
    nothing_else = {"erased_in_totara": 0, "set_aside": 0, "unaccounted": 0, "not_staged": 0, "gap": 0}
    assert said["sums"] == {"in_totara": 90, "staged": 90} | {str(each): n for each, n in COUNTS.items()} | nothing_else
    assert (said["closes"], said["gap"], said["missing"], said["surplus"]) == (True, 0, 0, 0)
    assert said["verdict"] == "Everything is accounted for: 90 completions in Totara, each in one part."
    assert [(row["course"], row["in_totara"]) for row in said["rows"]] == [("OFF-9", 11), ("SAFE-1", 79)]
    assert {part["name"] for part in said["parts"]} == set(NUMBERS) - {"staged", "gap"}
    assert asked(looking, "against=staging")["sums"]["staged"] == 90


def test_what_makes_up_for_each_other_in_the_sums_does_not_close_it(proved: Proved, looking: httpx.Client) -> None:
    proved.compared(missing=1, extra=1)
    said = asked(looking)
    assert (said["gap"], said["missing"], said["surplus"], said["closes"]) == (0, 0, 0, False)
    assert said["verdict"] == (
        "It does not close: the sums do, but the comparison with Totara found what is missing here and what is missing "
        "there."
    )
    assert "It found 1 missing and 1 extra" in " ".join(said["heading"]["compared"][0]["words"])


def test_each_part_has_a_list_as_long_as_its_number(proved: Proved, looking: httpx.Client) -> None:
    gone = proved.sql("DELETE FROM bridge.export_queue WHERE state = 'queued' RETURNING instance_id")
    assert len(gone) == COUNTS[next(part for part in COUNTS if part == "queued")] == 2
    proved.compared({**IN_TOTARA, (1, JANUARY_16): (41, 3, 4), (2, FEBRUARY_16): (5, 0, 5)})
    said = asked(looking)
    assert (said["sums"]["erased_in_totara"], said["sums"]["set_aside"], said["sums"]["not_staged"]) == (3, 9, 3)
    assert (said["gap"], said["missing"], said["sums"]["unaccounted"], said["closes"]) == (5, 3, 2, False)
    assert said["verdict"] == (
        "It does not close: 3 completions that Totara had are not staged; 2 completions are not accounted for."
    )
    for part in said["parts"]:
        assert counted(looking, part["name"], "against=totara") == said["sums"][part["name"]], part["name"]
    for row in said["rows"]:
        of = f"site={row['site']}&course={row['course_id']}&against=totara"
        for part in said["parts"]:
            assert counted(looking, part["name"], of) == row[part["name"]], (part["name"], row["course"])
    [first, second] = looking.get("/api/proof/list?part=set_aside").json()["rows"]
    assert first == {"site": "sbx", "course_id": 1, "course": "SAFE-1", "day": "2026-01-16", "count": 4}
    assert (second["course"], second["day"], second["count"]) == ("SAFE-2", "2026-02-16", 5)


def test_a_row_that_totara_has_no_more_is_told_as_more_than_it_had(proved: Proved, looking: httpx.Client) -> None:
    proved.compared({**IN_TOTARA, (1, JANUARY_16): (30, 0, 0), (9, FEBRUARY_16): (12, 0, 0)})
    said = asked(looking)
    assert (said["gap"], said["missing"], said["surplus"], said["closes"]) == (0, 1, 1, False)
    assert said["verdict"] == (
        "It does not close: 1 completion that Totara had is not staged; 1 completion more is staged than Totara had."
    )


def test_by_month_and_of_a_period(proved: Proved, looking: httpx.Client) -> None:
    proved.compared()
    said = asked(looking, "by=month")
    assert [(row["month"], row["in_totara"], row["gap"]) for row in said["rows"]] == [
        ("2026-01", 31, 0),
        ("2026-02", 59, 0),
    ]
    for period, number in (("from=2026-01-16&to=2026-01-16", 31), ("to=2026-01-15", 0), ("from=2026-01-17", 59)):
        sums = asked(looking, f"{period}&site=sbx")["sums"]
        assert (sums["in_totara"], sums["staged"], sums["gap"]) == (number, number, 0), period


def test_the_heading_says_of_which_moment_it_is_and_what_is_not_in_it(proved: Proved, looking: httpx.Client) -> None:
    proved.instances(1, seen=MARCH + timedelta(days=1))
    proved.sql("INSERT INTO bridge.site VALUES ('old', 'totara_old', 2, now())")
    query = json.dumps({"course_ids": [1, 9], "category_ids": [], "learner_idnumbers": ["u-17", "u-18"]})
    proved.compared(query=query, pending=3)
    said = asked(looking)
    heading = said["heading"]
    assert said["notes"] == [
        "old: something of it is staged, and it is not in this proof, as bridge.toml does not name it."
    ]
    sbx, two = heading["compared"]
    words = sbx.pop("words")
    assert sbx == {
        "site": "sbx", "made_at": "2026-03-15T12:00:00Z", "made_by": "ann", "pending": 3, "found_since": 1,
        "missing": 0, "extra": 0,
        "query": {"course_ids": [1, 9], "learner_idnumbers": "2 learners"},
        "lost_before": 0, "revised_since": 0, "erased_since": 7,
    }  # fmt: skip
    assert words == [
        "Compared with Totara at 2026-03-15 12:00:00 UTC by ann.",
        "The connection's query lets only some through (course_ids: 1, 9; learner_idnumbers: 2 learners): the rest "
        "counts as it was read before.",
        "3 pairs of learner and course that Totara had changed since the last extract count as they were read before.",
        "1 completion was first seen since: it is not in this proof.",
        "7 completions are of learners who were erased since: they count by the day of that, until Totara is compared "
        "again.",
    ]
    assert two["words"][1:] == ["The connection's query limited nothing."]
    assert (heading["left_out"], asked(looking, "site=sbx")["heading"]["left_out"]) == (["old"], [])
    assert [each["site"] for each in asked(looking, "site=two")["heading"]["compared"]] == ["two"]


def test_the_documents_say_the_same(proved: Proved, looking: httpx.Client) -> None:
    proved.compared({**IN_TOTARA, (2, FEBRUARY_16): (5, 2, 1)}, by="=cmd|' /C calc'!A0", query='{"course_ids": [1]}')
    proved.sql("UPDATE bridge.course SET short_name = '@Safe ü' WHERE course_id = 1")
    for query in ("by=course", "by=month"):
        shown = asked(looking, query)
        document = looking.get(f"/api/proof.json?{query}").json()
        for each in (shown, document):
            each["heading"].pop("made_at")
        assert document == shown
        written = json.dumps(shown["rows"], sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        assert shown["digest"] == hashlib.sha256(written).hexdigest()
        table = list(csv.reader(io.StringIO(looking.get(f"/api/proof.csv?{query}").text)))
        heading = dict(row for row in table[: table.index([])])
        assert heading["SHA-256 of the lines"] == shown["digest"]
        assert (heading["Verdict"], heading["Everything accounted for"]) == (shown["verdict"], "no")
        assert heading["Against"] == "Totara's own numbers"
        assert heading["Site sbx"] == " ".join(shown["heading"]["compared"][0]["words"])
        columns, *lines = table[table.index([]) + 1 :]
        assert columns[-len(NUMBERS) :] == NUMBERS
        for line, row in zip(lines, [*shown["rows"], shown["sums"]], strict=True):
            assert line[-len(NUMBERS) :] == [str(row[name]) for name in NUMBERS]
        assert not [cell for row in table for cell in row if cell.startswith(("=", "+", "@"))]
        assert [cell for row in lines for cell in row if cell.startswith("-") and not cell[1:].isdigit()] == []


def test_equal_lines_have_an_equal_digest_and_others_another(proved: Proved, looking: httpx.Client) -> None:
    proved.compared()
    first = asked(looking)["digest"]
    assert asked(looking)["digest"] == first
    proved.compared({**IN_TOTARA, (9, FEBRUARY_16): (12, 0, 0)})
    assert asked(looking)["digest"] != first


@pytest.mark.parametrize("address", ["proof?against=totara", "proof.csv?against=totara", "proof/list?part=set_aside"])
def test_totara_that_was_not_asked_yet_is_told_with_what_to_do(
    proved: Proved, looking: httpx.Client, address: str
) -> None:
    proved.compared({}, site="nowhere")
    answer = looking.get(f"/api/{address}")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:totara-bridge:problem:not-compared")
    assert answer.json()["detail"] == (
        "Totara was not asked yet how many completions it has at sbx: run reconcile_completions, or ask against "
        "staging."
    )
    of_two = address.replace("?", "?site=two&")
    assert looking.get(f"/api/{of_two}").status_code == 200


def test_the_page_of_the_documentation_names_every_number() -> None:
    page = (Path(__file__).parents[2] / "docs/proof.md").read_text()
    cells = {cell.strip() for line in page.splitlines() if line.startswith("|") for cell in line.split("|")}
    named = {label for cell in cells for label in (cell, *cell.split(", "))} | {"In Totara" * ("In Totara =" in page)}
    assert {words.label for words in WORDS.values()} <= named
