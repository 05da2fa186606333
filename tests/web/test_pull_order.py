"""Whenever runs begin and whatever their clocks say: what was merged later has the later time and the higher number."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.web import merging
from tests.web.merging import merge
from tests.web.puller import Puller
from totara_bridge.completion import Status

SITES = ("north", "south")
STARTED = (Status.IN_PROGRESS, None)
NOW = datetime.now(UTC)

Change = tuple[int, datetime]


def changes(staging: Engine) -> list[Change]:
    """All completions by the number of their last change, with its time."""
    with staging.connect() as connection:
        rows = connection.execute(text("SELECT change_seq, changed_at FROM bridge.completion ORDER BY change_seq"))
        return [(row[0], row[1]) for row in rows]


def found(puller: Puller, **asked: Any) -> list[Change]:
    """What a first question finds."""
    page = puller.fetch(limit=5000, **asked)
    assert not page["more"]
    return [(item["version"], datetime.fromisoformat(item["changedAt"])) for item in page["items"]]


@pytest.mark.parametrize("clock", [-3600, 0, 3600], ids=["an hour behind", "as late", "an hour ahead"])
def test_a_run_that_began_first_and_merges_last_is_the_later_one(staging: Engine, clock: int) -> None:
    with staging.begin() as first, staging.begin() as second:
        merging.read(first, {(1, 1): STARTED})
        merging.read(second, {(1, 1): STARTED})
        merging.write(second, site="south", now=NOW + timedelta(seconds=clock))
        second.commit()
        merging.write(first, site="north", now=NOW)
    (low, earlier), (high, later) = changes(staging)
    assert low < high
    assert earlier < later


@pytest.fixture
def merged(staging: Engine) -> list[Change]:
    """What many runs have merged, whose clocks were early and late by turns."""
    dice = random.Random(6)
    for user in range(40):
        now = NOW + timedelta(seconds=dice.choice([-3600, -1, 0, 0, 1, 3600]))
        said = {(user, course): STARTED for course in range(dice.randint(1, 3))}
        merge(staging, site=dice.choice(SITES), said=said, now=now)
    return changes(staging)


def test_times_grow_with_numbers(merged: list[Change]) -> None:
    times = [time for _, time in merged]
    assert times == sorted(times)
    assert len(set(times)) == 40, "each merge has a time of its own"


def test_since_and_until_agree_with_what_items_say(merged: list[Change], puller: Puller) -> None:
    assert found(puller, since="1970-01-01") == merged
    instant = timedelta(microseconds=1)
    for moment in sorted({time for _, time in merged}):
        for at in (moment - instant, moment, moment + instant):
            said = at.isoformat()
            assert found(puller, since=said) == [each for each in merged if each[1] >= at]
            assert found(puller, since="1970-01-01", until=said) == [each for each in merged if each[1] < at]
        after = (moment + instant).isoformat()
        assert found(puller, since=moment.isoformat(), until=after) == [each for each in merged if each[1] == moment]
