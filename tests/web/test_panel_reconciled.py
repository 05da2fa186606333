"""What a comparison with Totara found, as the Problems tab shows it."""

from datetime import UTC, datetime

import httpx
import pytest
from sqlalchemy import Engine, text

AT = datetime(2026, 3, 1, 4, 0, tzinfo=UTC)


def sql(staging: Engine, statement: str, **values: object) -> None:
    with staging.begin() as transaction:
        transaction.execute(text(statement), values)


@pytest.fixture
def compared(staging: Engine) -> Engine:
    """A site that was compared twice, of which 25 differences are kept, and one that bridge.toml does not have."""
    for number, (site, missing) in enumerate((("sbx", 9), ("sbx", 40), ("uk", 7)), start=1):
        sql(
            staging,
            """
            INSERT INTO bridge.reconciliation (id, site, made_at, made_by, query, missing, extra, different, pending,
                                               repaired)
            VALUES (:number, :site, :at, 'ann', '{}', :missing, 2, 3, 4, :number = 2)
            """,
            number=number, site=site, missing=missing, at=AT,
        )  # fmt: skip
        sql(
            staging,
            """
            INSERT INTO bridge.reconciled_difference (reconciliation_id, number, kind, place, user_id, course_id,
                                                      record_key, totara, here)
            SELECT :number, n, 'missing', 'staging', n, 7, NULL, 'complete', 'nothing of ' || :number
            FROM generate_series(1, 25) n
            """,
            number=number,
        )
    sql(
        staging,
        """
        INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
        VALUES ('sbx', 7, 5, 'SAFE-7', '', 'A course', true, now())
        """,
    )
    return staging


def test_a_site_that_was_never_compared_says_so(looking: httpx.Client) -> None:
    assert looking.get("/api/reconciled").json() == {"sites": [{"site": "sbx", "compared": None}]}
    nothing = {"rows": [], "more": False, "cursor": None}
    assert looking.get("/api/reconciled/differences?site=sbx").json() == nothing


def test_the_last_comparison_of_each_site_of_bridge_toml(compared: Engine, looking: httpx.Client) -> None:
    assert looking.get("/api/reconciled").json() == {
        "sites": [
            {
                "site": "sbx",
                "compared": {
                    "at": "2026-03-01T04:00:00Z", "by": "ann", "repaired": True, "missing": 40, "extra": 2,
                    "different": 3, "pending": 4,
                },
            }
        ]
    }  # fmt: skip


def test_its_differences_page_by_page(compared: Engine, looking: httpx.Client) -> None:
    first = looking.get("/api/reconciled/differences?site=sbx").json()
    assert first["rows"][0] == {
        "number": 1, "kind": "missing", "place": "staging", "user_id": 1, "course_id": 7, "course": "SAFE-7",
        "record_key": None, "totara": "complete", "here": "nothing of 2",
    }  # fmt: skip
    assert ([row["number"] for row in first["rows"]], first["more"], first["cursor"]) == ([*range(1, 21)], True, 20)
    rest = looking.get("/api/reconciled/differences?site=sbx&after=20&limit=200").json()
    assert ([row["number"] for row in rest["rows"]], rest["more"]) == ([*range(21, 26)], False)


@pytest.mark.parametrize(
    "query", ["", "site=sbx&after=-1", "site=sbx&limit=0", "site=sbx&limit=201", "site=sbx&after=x", "site=sbx&page=2"]
)
def test_what_cannot_be_asked_is_refused(compared: Engine, looking: httpx.Client, query: str) -> None:
    answer = looking.get(f"/api/reconciled/differences?{query}")
    assert answer.status_code == 400
    assert answer.headers["Content-Type"] == "application/problem+json"
