"""Each staged completion is in exactly one part of the proof, its list names it, and what is lost shows as a gap."""

from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import product

import pytest
from sqlalchemy import Engine, text

from tests.proved import COUNTS, FEBRUARY, IN_JANUARY, JANUARY, ROUTE, Proved
from totara_bridge.staging import proof
from totara_bridge.staging.proof import Line, total
from totara_bridge.staging.proof_part import CONDITIONS, UNACCOUNTED, Asked, By, Part

ASKED = Asked("oracle", ROUTE)


@pytest.fixture
def proved(staging: Engine) -> Proved:
    """An empty staging with a site."""
    return Proved(staging)


def lines(proved: Proved, asked: Asked = ASKED, by: By = By.COURSE) -> list[Line]:
    with proved.staging.connect() as transaction:
        return proof.prove(transaction, asked, by)


def the_part(proved: Proved, asked: Asked = ASKED) -> Part | None:
    """Of the one completion that there is; none: nothing explains it."""
    line = total(lines(proved, asked))
    assert line.staged == 1
    found = [each for each, count in line.parts.items() if count]
    assert (len(found), line.closes) in {(1, True), (0, False)}
    return found[0] if found else None


def listed(
    proved: Proved, part: Part | None, asked: Asked = ASKED, *, limit: int = 50, stretch: int = 50_000
) -> list[int]:
    """The instances that the pages of a part name, in their order."""
    found: list[int] = []
    after: int | None = 0
    with proved.staging.connect() as transaction:
        while after is not None:
            page = proof.page(transaction, asked, part, after=after, limit=limit, stretch=stretch)
            assert len(page.rows) <= limit
            found += [row.id for row in page.rows]
            after = page.after
    return found


def test_every_part_is_counted_and_the_parts_add_up(proved: Proved) -> None:
    proved.of_every_part()
    off, first = lines(proved)
    assert (off.key, off.course, off.staged, off.parts[Part.NOT_ROUTED]) == (("sbx", 9), "OFF-9", 11, 11)
    assert (first.key, first.course, first.staged) == (("sbx", 1), "SAFE-1", 79)
    everything = total([first, off])
    assert everything.parts == COUNTS
    assert (everything.staged, everything.unaccounted, everything.gap, everything.closes) == (90, 0, 0, True)


def test_by_month(proved: Proved) -> None:
    proved.of_every_part()
    january, february = lines(proved, by=By.MONTH)
    assert (january.key, january.staged) == (date(2026, 1, 1), 13 + 6 + 12)
    assert (february.key, february.staged) == (date(2026, 2, 1), 90 - 31)
    assert january.parts == {part: count if part in IN_JANUARY else 0 for part, count in COUNTS.items()}
    assert february.parts == {part: 0 if part in IN_JANUARY else count for part, count in COUNTS.items()}


def test_each_part_has_its_list_and_pages_are_as_the_whole(proved: Proved) -> None:
    made = proved.of_every_part()
    for part in Part:
        assert listed(proved, part) == made[part], part
        assert listed(proved, part, limit=2) == made[part], part
        assert listed(proved, part, limit=3, stretch=1) == made[part], part
    assert listed(proved, None) == []


def test_a_lost_item_is_a_gap_and_is_named(proved: Proved) -> None:
    made = proved.of_every_part()
    lost = made[Part.QUEUED][1]
    proved.sql("DELETE FROM bridge.export_queue WHERE instance_id = :lost", lost=lost)
    everything = total(lines(proved))
    assert (everything.parts[Part.QUEUED], everything.staged) == (1, 90)
    assert (everything.unaccounted, everything.gap, everything.closes) == (1, 1, False)
    assert listed(proved, None) == [lost]


def test_what_was_purged_is_proved_by_the_ledger_and_by_nothing_else(proved: Proved) -> None:
    made = proved.of_every_part()
    proved.sql("DELETE FROM bridge.export_queue WHERE state = 'sent'")
    assert total(lines(proved)).parts == COUNTS
    proved.sql("DELETE FROM bridge.delivery WHERE instance_id = :gone", gone=made[Part.DELIVERED][0])
    assert total(lines(proved)).gap == 1
    assert listed(proved, None) == [made[Part.DELIVERED][0]]


def test_a_sent_item_without_its_row_of_the_ledger_is_not_delivered(proved: Proved) -> None:
    proved.sql("INSERT INTO bridge.baseline VALUES ('oracle', 'sbx', 0, now())")
    proved.items(proved.instances(1), "sent")
    assert the_part(proved) is Part.DELIVERED
    proved.sql("DELETE FROM bridge.delivery")
    assert the_part(proved) is None


def test_no_row_is_in_two_parts_whatever_is_true_of_it(proved: Proved) -> None:
    states = ("''", "'queued'", "'sending'", "'failed'", "'held'", "'dead'")
    flags = ("delivered", "erased", "cancelled", "lost", "learner_deleted", "routed", "past")
    rows = ", ".join(f"({', '.join(each)})" for each in product(states, *[("true", "false")] * len(flags)))
    parts = " + ".join(f"({condition})::int" for condition in CONDITIONS.values())
    asked = text(f"SELECT {parts} AS parts, count(*) FROM (VALUES {rows}) f (waiting, {', '.join(flags)}) GROUP BY 1")
    with proved.staging.connect() as connection:
        assert connection.execute(asked).all() == [(1, len(states) * 2 ** len(flags))]
    assert list(CONDITIONS) == [*Part, UNACCOUNTED]


def test_what_is_sent_again_and_what_was_withdrawn_stays_delivered(proved: Proved) -> None:
    again, withdrawn = proved.instances(1), proved.instances(1, columns={"ended_at": "now()"})
    proved.items(again, "queued")
    proved.deliver(again)
    proved.items(withdrawn, "sent")
    proved.items(withdrawn, "sent", kind="withdrawal")
    assert total(lines(proved)).parts == dict.fromkeys(Part, 0) | {Part.DELIVERED: 2}
    assert listed(proved, Part.DELIVERED) == again + withdrawn


def test_what_totara_lost_before_it_was_posted_and_has_again(proved: Proved) -> None:
    proved.sql("INSERT INTO bridge.baseline VALUES ('oracle', 'sbx', 0, now())")
    back = proved.instances(1)
    proved.items(back, "cancelled", cancelled_by="'extract'")
    assert the_part(proved) is Part.CANCELLED  # of this very revision
    proved.sql("UPDATE bridge.completion_instance SET revision = 2, ended_at = now()")
    assert the_part(proved) is Part.CANCELLED  # lost again
    proved.sql("UPDATE bridge.completion_instance SET ended_at = NULL")
    assert the_part(proved) is None  # it should be in the queue once more
    off = Asked("oracle", ROUTE.model_copy(update={"sites": ("two",)}))
    assert the_part(proved, off) is Part.NOT_ROUTED
    proved.sql("UPDATE bridge.export_queue SET first_posted_at = now()")
    assert the_part(proved) is Part.CANCELLED  # the destination may have it: a person decides
    proved.items(back, "queued", revision="2")
    assert the_part(proved) is Part.QUEUED


def test_a_site_that_no_extract_has_shown_to_the_destination_is_past(proved: Proved) -> None:
    proved.instances(1, site="two")
    assert the_part(proved) is Part.BASELINE


def test_another_destinations_items_prove_nothing(proved: Proved) -> None:
    proved.items(proved.instances(1), "sent")
    proved.sql("INSERT INTO bridge.baseline VALUES ('other', 'sbx', 0, now())")
    assert the_part(proved, Asked("other")) is None


def test_a_period_begins_and_ends_where_it_says(proved: Proved) -> None:
    dated, undated = proved.instances(1, at=JANUARY), proved.instances(1, at=None, seen=FEBRUARY)
    assert listed(proved, Part.BASELINE, Asked("oracle", since=JANUARY, before=FEBRUARY)) == dated
    assert listed(proved, Part.BASELINE, Asked("oracle", since=FEBRUARY)) == undated
    assert [line.staged for line in lines(proved, Asked("oracle", before=FEBRUARY))] == [1]
    assert [line.key for line in lines(proved, by=By.MONTH)] == [date(2026, 1, 1), date(2026, 2, 1)]


def test_months_are_those_of_the_zone(proved: Proved) -> None:
    proved.instances(1, at=datetime(2026, 1, 31, 13, 30, tzinfo=UTC))
    for zone, month in (("UTC", 1), ("Pacific/Auckland", 2)):
        [line] = lines(proved, Asked("oracle", zone=zone), By.MONTH)
        assert line.key == date(2026, month, 1)


def test_only_a_site_and_only_a_course(proved: Proved) -> None:
    here, there = proved.instances(2, course=1), proved.instances(3, course=1, site="two")
    other = proved.instances(4, course=2)
    assert [line.staged for line in lines(proved)] == [2, 4, 3]
    assert [line.key for line in lines(proved, Asked("oracle", sites=["two"]))] == [("two", 1)]
    assert listed(proved, Part.BASELINE, Asked("oracle", sites=["sbx"])) == here + other
    with proved.staging.connect() as transaction:
        for course, instances in ((("two", 1), there), (("sbx", 2), other), (("two", 2), [])):
            page = proof.page(transaction, ASKED, Part.BASELINE, course=course, after=0, limit=50)
            assert [row.id for row in page.rows] == instances


def test_a_page_ends_when_enough_was_looked_at(proved: Proved) -> None:
    instances = proved.instances(30)
    proved.items(instances[-1:], "dead")
    with proved.staging.connect() as transaction:
        empty = proof.page(transaction, ASKED, Part.DEAD, after=0, limit=10, stretch=1)
        assert (empty.rows, empty.after) == ([], 20)
        rest = proof.page(transaction, ASKED, Part.DEAD, after=20, limit=10, stretch=1)
    assert ([row.id for row in rest.rows], rest.after) == (instances[-1:], None)


def test_what_a_list_says_of_a_completion(proved: Proved) -> None:
    instances = proved.instances(1)
    proved.items(instances, "cancelled", cancelled_by="'extract'", revision="1")
    proved.sql("UPDATE bridge.completion_instance SET revision = 2")
    proved.items(instances, "dead", revision="2")
    with proved.staging.connect() as transaction:
        [row] = proof.page(transaction, ASKED, Part.DEAD, after=0, limit=10).rows
        [item] = transaction.execute(text("SELECT id FROM bridge.export_queue WHERE state = 'dead'")).scalars()
    assert row._mapping == {
        "id": instances[0], "record_key": f"TB{instances[0]:026}", "site": "sbx", "user_id": instances[0],
        "username": None, "course_id": 1, "course": "SAFE-1", "time_completed": JANUARY, "item_id": item,
        "state": "dead",
    }  # fmt: skip


@pytest.mark.parametrize("against_totara", [False, True])
def test_what_was_sent_costs_the_queue_nothing(proved: Proved, against_totara: bool) -> None:
    """The queue is read by the indexes of what is not sent, however much was."""
    proved.compared()
    sent = proved.instances(3_000)
    proved.items(sent, "sent")
    proved.items(proved.instances(40), "dead")
    with proved.staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE bridge.export_queue"))
        read = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'export_queue'")
        connection.execute(text("BEGIN"))
        counted = proof.prove(connection, replace(ASKED, against_totara=against_totara), By.COURSE)
        assert total(counted).staged == 3_040
        assert connection.execute(read).scalar_one() < 200
        connection.execute(text("ROLLBACK"))
