"""The sandbox's Totara: its recorded and generated rows are like a real site's, and so is what its acts write."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Engine, RowMapping, create_engine, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import IntegrityError

from totara_bridge.sandbox.totara import change_log
from totara_bridge.sandbox.totara.actions import CRON, TotaraActs
from totara_bridge.sandbox.totara.generate import generate
from totara_bridge.sandbox.totara.schema import create, drop, tables
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.sandbox.totara.site_reads import ADMIN

DAY = 86_400
NOW = 1_800_000_000
_COUNTED = (
    "course_completions",
    "course_completion_history",
    "course_completion_log",
    "course_completion_crit_compl",
)


@contextmanager
def _engine(address: str) -> Iterator[Engine]:
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://", 1))
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def recorded(new_database: Callable[[str], str]) -> Iterator[TotaraActs]:
    """The recorded site, for tests that only read it."""
    with _engine(new_database("totara_recorded")) as engine:
        create(engine)
        seed(engine)
        yield TotaraActs(engine)


@pytest.fixture(scope="module")
def _template(new_database: Callable[[str], str]) -> Iterator[TotaraActs]:
    with _engine(new_database("totara_acts")) as engine:
        yield TotaraActs(engine, clock=lambda: NOW + 0.9)


@pytest.fixture
def acts(_template: TotaraActs) -> TotaraActs:
    """The recorded site anew, at a standing clock."""
    drop(_template.engine)
    create(_template.engine)
    seed(_template.engine)
    return _template


def _counts(acts: TotaraActs) -> dict[str, int]:
    with acts.engine.connect() as connection:
        return {
            name: connection.execute(text(f"SELECT count(*) FROM ttr_{name}")).scalar_one() for name in _COUNTED
        }


@contextmanager
def _changes(acts: TotaraActs, **expected: int) -> Iterator[list[RowMapping]]:
    """The block adds exactly so many rows to each table named and none to the others; gives the log lines."""
    before, last, lines = _counts(acts), acts.last_log_id(), list[RowMapping]()
    yield lines
    after = _counts(acts)
    changed = {name: after[name] - before[name] for name in _COUNTED if after[name] != before[name]}
    assert changed == expected
    lines.extend(acts.log_since(last))
    assert all(line["timemodified"] == NOW for line in lines)


def _completion(acts: TotaraActs, user: int, course: int) -> RowMapping:
    row = acts.completion(user, course)
    assert row is not None
    return row


def _rows(engine: Engine, sql: str) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]
