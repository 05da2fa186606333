"""A life of a few learners that is read now by one source and now by another, and what must be so of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.bridge import Bridge
from tests.small_totara import BEGINNING, Clocked, Pair, completions, times
from tests.told_source import BY_DAY, BY_SECOND, YES_OR_NO, Said, ToldSource
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.totara.source import Gives, SourceKind

AUCKLAND = ZoneInfo("Pacific/Auckland")
SOURCES: dict[str, tuple[SourceKind, Gives]] = {
    "yes or no": (SourceKind.WEB_SERVICES, YES_OR_NO),
    "day": (SourceKind.REPORT_QUERY, BY_DAY),
    "second": (SourceKind.REPORT_QUERY, BY_SECOND),
}
#: The third began and completed nothing; see `make` for the others.
PAIRS: Sequence[Pair] = ((3, 2), (4, 2), (5, 2))
#: Long ago, two of them on one day in Auckland, and two that are one day there but not in UTC.
LONG_AGO = (1_500_000_000, 1_500_003_600, 1_500_040_000, 1_600_000_000)


@dataclass
class Life:
    """A Totara, the bridge that reads it, and what the tables do not say."""

    bridge: Bridge
    acts: TotaraActs
    now: int = BEGINNING
    tainted: set[Pair] = field(default_factory=set)  #: where something was edited or taken back
    keys: dict[int, str] = field(default_factory=dict)  #: by the ids of the instances
    archived: set[Pair] = field(default_factory=set)  #: where a second completion may look like the first
    news: set[Pair] = field(default_factory=set)  #: completed on the day that Totara says, after the first read

    def act(self, what: str, pair: Pair, long_ago: int) -> None:
        """Let it happen, where it can."""
        self.now += 1
        has = completions(self.acts.engine).get(pair)
        if what in ("complete", "recognise"):
            if has is None:
                self.acts.recreate(*pair)
            if has is None or not has.is_complete:
                self.complete(what, pair, long_ago)
        elif has is not None and has.is_complete:
            self.take_back(what, pair, long_ago)

    def complete(self, what: str, pair: Pair, long_ago: int) -> None:
        if what == "recognise":
            self.acts.complete_by_rpl(*pair, at=long_ago, note="A certificate")
        else:
            self.acts.complete(*pair, at=self.now)
            self.news.add(pair)

    def take_back(self, what: str, pair: Pair, long_ago: int) -> None:
        (self.archived if what == "archive" else self.tainted).add(pair)
        match what:
            case "archive":
                self.acts.archive(*pair)
                self.acts.recreate(*pair)
            case "edit":
                self.acts.edit_date(*pair, at=long_ago)
            case "regress":
                self.acts.regress(*pair)
            case "delete":
                self.acts.delete_completion(*pair)

    def read(self, name: str, whole: bool, after: int) -> bool:
        """Extract by this source, twice, and look; whether the second time still found something."""
        self.now += after
        changed = False
        for _ in range(2):
            source: Any
            if name in SOURCES:
                kind, gives = SOURCES[name]
                said = self.said(gives)
                source = ToldSource(said, gives, kind, whole=whole, zone=AUCKLAND, clock=self.now)
            else:
                source = Clocked(self.bridge.connection, self.now)
            plan = replace(self.bridge.plan, force_full_compare=name == "compare")
            moment = datetime.fromtimestamp(self.now, UTC)
            changed = extract_site(self.bridge.staging, source, plan, now=moment).changed
            self.look()
        return changed

    def said(self, gives: Gives) -> list[Said]:
        """What a source that knows no more than this says of Totara now."""
        found = []
        for pair, has in completions(self.acts.engine).items():
            status, at = has.status, has.time_completed
            if gives is YES_OR_NO:
                found.append(Said(*pair, "complete" if has.is_complete else "not_started"))
            elif gives is BY_DAY:
                day = f"{datetime.fromtimestamp(at, AUCKLAND):%Y-%m-%d}" if at else None
                found.append(Said(*pair, status, day))
            else:
                found.append(Said(*pair, status, at=at))
        return found

    def look(self) -> None:
        """What must be so after every read."""
        rows = self.bridge.rows("SELECT id, record_key FROM bridge.completion_instance")
        keys = {row["id"]: row["record_key"] for row in rows}
        assert len(set(keys.values())) == len(keys), "two instances have one key"
        assert self.keys.items() <= keys.items(), "a key changed"
        self.keys = keys
        assert not self.bridge.rows(
            """SELECT instance_id FROM bridge.export_queue WHERE state <> 'cancelled' AND kind = 'completion'
               GROUP BY instance_id HAVING count(*) > 1"""
        ), "an instance is queued twice"

    def end(self) -> None:
        """Read all by the database: what is staged is what Totara has, exactly."""
        assert not self.read("compare", True, 1)
        rows = self.bridge.rows("SELECT * FROM bridge.completion_instance")
        alive: dict[Pair, Counter[tuple[int | None, bool]]] = {}
        for row in rows:
            if row["ended_at"] is None:
                assert row["time_completed_until"] is None
                pair = row["user_id"], row["course_id"]
                at = int(row["time_completed"].timestamp())
                alive.setdefault(pair, Counter())[at, row["archived_at"] is not None] += 1
        assert alive == times(self.acts.engine)
        doubled = [row for row in rows if row["ended_at"] and (row["user_id"], row["course_id"]) not in self.tainted]
        assert not doubled, "a completion that was never taken back was an instance that is gone"
        queued = self.bridge.rows(
            """SELECT user_id, course_id FROM bridge.completion_instance i
               JOIN bridge.export_queue q ON q.instance_id = i.id AND q.state = 'queued' AND q.kind = 'completion'"""
        )
        there = {(row["user_id"], row["course_id"]) for row in queued}
        assert self.news - self.tainted - self.archived <= there, "a new completion is taken for past"
