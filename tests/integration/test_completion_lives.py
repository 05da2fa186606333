"""Whatever happens to completions in Totara, whenever it is read: staging has what Totara has, under lasting keys."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import Bridge
from totara_bridge.extract.run import Extracted

Pair = tuple[int, int]
DATES = (1_600_000_000, 1_600_086_400, 1_700_000_000)
"""So few that dates meet again."""


class Life:
    """What may happen to one learner in one course, at random; only what Totara lets happen."""

    def __init__(self, bridge: Bridge, pair: Pair, dice: random.Random) -> None:
        self._totara = bridge.totara
        self._dice = dice
        self.pair = pair
        self.completed = 0  #: how often the row became complete

    def go_on(self) -> None:
        """One thing happens."""
        row = self._totara.completion(*self.pair)
        past = self._totara.history(*self.pair)
        if past and self._dice.random() < 0.3:
            self._forget(self._dice.choice(past)["id"])
        elif row is None:
            self._totara.recreate(*self.pair)
        elif row["status"] in (50, 75):
            self._dice.choice((self._date, self._undate, self._archive, self._archive, self._regress, self._delete))()
        else:
            self.completed += 1
            self._dice.choice((self._complete, self._undate))()

    def in_totara(self) -> Counter[tuple[int | None, bool]]:
        """The times of the completions that Totara has, and whether archived."""
        row = self._totara.completion(*self.pair)
        found = Counter((each["timecompleted"], True) for each in self._totara.history(*self.pair))
        if row is not None and row["status"] in (50, 75):
            found[row["timecompleted"], False] += 1
        return found

    def _complete(self) -> None:
        self._totara.complete(*self.pair, at=self._dice.choice(DATES))

    def _date(self) -> None:
        self._totara.edit_date(*self.pair, at=self._dice.choice(DATES))

    def _undate(self) -> None:
        self._totara.complete_without_date(*self.pair, self._dice.choice((None, "Prior certificate")))

    def _archive(self) -> None:
        self._totara.archive(*self.pair)

    def _forget(self, history: int) -> None:
        """Somebody deletes an archived completion; the log's words for it were not recorded."""
        user, course = self.pair
        with self._totara.engine.begin() as connection:
            connection.execute(text("DELETE FROM ttr_course_completion_history WHERE id = :id"), {"id": history})
            connection.execute(
                text(
                    "INSERT INTO ttr_course_completion_log (courseid, userid, changeuserid, description, timemodified) "
                    "VALUES (:course, :user, 2, 'deleted', extract(epoch FROM now()))"
                ),
                {"user": user, "course": course},
            )

    def _regress(self) -> None:
        self._totara.regress(*self.pair)

    def _delete(self) -> None:
        self._totara.delete_completion(*self.pair)


def staged(instances: Sequence[dict[str, Any]]) -> Counter[tuple[int | None, bool]]:
    """The times of the instances that are alive, and whether archived."""
    return Counter(
        (each["time_completed"] and int(each["time_completed"].timestamp()), each["archived_at"] is not None)
        for each in instances
        if each["ended_at"] is None
    )


def assert_nothing_changed(extracted: Extracted) -> None:
    assert not extracted.changed, extracted.counts()


@pytest.mark.parametrize("seed", range(3))
def test_staging_has_what_totara_has(bridge: Bridge, seed: int) -> None:
    bridge.extract()
    dice = random.Random(seed)
    lives = [Life(bridge, bridge.totara.pair_with(status=25, nth=nth), dice) for nth in range(0, 300, 15)]
    keys: dict[int, str] = {}
    for _ in range(8):
        for life in lives:
            for _ in range(dice.randint(0, 3)):
                life.go_on()
        bridge.later(minutes=1)
        bridge.extract()
        for life in lives:
            found = bridge.instances(life.pair)
            assert staged(found) == life.in_totara()
            assert len(found) <= life.completed
            assert all(keys.setdefault(each["id"], each["record_key"]) == each["record_key"] for each in found)
        assert_nothing_changed(bridge.extract())
    assert_nothing_changed(bridge.full_compare())
    kinds = "time_completed IS NULL, archived_at IS NULL, ended_at IS NULL"
    assert len(bridge.rows(f"SELECT FROM bridge.completion_instance GROUP BY {kinds}")) == 8, "each kind was met"
