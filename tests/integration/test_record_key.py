"""PostgreSQL mints the same record keys as any other reader of the recipe would."""

import base64
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from totara_bridge.staging.record_key import mint

COLUMNS = ("site", "user", "course", "time", "ordinal")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "record_keys.json").read_text())


@pytest.fixture(scope="module")
def address(new_database: Callable[[str], str]) -> str:
    """An empty database: minting needs no table."""
    return new_database("keys")


def minted(address: str, rows: list[dict[str, Any]]) -> list[str]:
    """The keys that PostgreSQL gives to these rows, in their order."""
    statement = mint(
        site="site", user="user_id", course="course_id", time="time_completed", ordinal="ordinal", rows="wanted"
    )
    with psycopg.connect(address) as connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE wanted (place int, site text, user_id bigint, course_id bigint, "
            "time_completed timestamptz, ordinal bigint)"
        )
        cursor.executemany(
            "INSERT INTO wanted VALUES (%s, %s, %s, %s, to_timestamp(%s), %s)",
            [(place, *(row[column] for column in COLUMNS)) for place, row in enumerate(rows)],
        )
        # a session's time zone is no part of a key
        cursor.execute("SET TIME ZONE 'Asia/Kolkata'")
        return [key for (key,) in cursor.execute(f"SELECT record_key FROM ({statement}) m ORDER BY place".encode())]


def written_by_hand(row: dict[str, Any]) -> str:
    """The recipe in the standard library's words; no time is nothing between the colons."""
    seconds = "" if row["time"] is None else row["time"]
    name = f"{row['site']}:{row['user']}:{row['course']}:{seconds}:{row['ordinal']}"
    return "TB" + base64.b32encode(hashlib.sha256(name.encode()).digest()).decode()[:26]


def random_rows(count: int) -> list[dict[str, Any]]:
    """Rows of all sizes, always the same ones."""
    dice = random.Random(20260301)
    return [
        {
            "site": "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 8))),
            "user": dice.randrange(1, 10 ** dice.randint(1, 18)),
            "course": dice.randrange(1, 10 ** dice.randint(1, 9)),
            "time": dice.choice((None, dice.randrange(-(10**9), 4 * 10**9))),
            "ordinal": dice.randrange(0, 12),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda vector: vector["key"])
def test_a_vector_that_was_written_down_once_never_changes(address: str, vector: dict[str, Any]) -> None:
    assert minted(address, [vector]) == [vector["key"]]


def test_equals_the_standard_library_for_all_sizes(address: str) -> None:
    rows = random_rows(500)
    assert minted(address, rows) == [written_by_hand(row) for row in rows]


def test_the_vectors_are_apart(address: str) -> None:
    assert len(GOLDEN) >= 8
    assert len({vector["key"] for vector in GOLDEN}) == len(GOLDEN)


def test_every_key_fits_oracles_record_number(address: str) -> None:
    keys = minted(address, GOLDEN + random_rows(500))
    assert {len(key) for key in keys} == {28}
    assert {key[:2] for key in keys} == {"TB"}
    assert {letter for key in keys for letter in key} <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")
