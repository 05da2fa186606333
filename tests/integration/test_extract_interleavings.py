"""What comes between: an archive before an edit was read, a restored Totara, an extract in the middle of a backfill."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Row, text

from tests.bridge import DESTINATION, Bridge
from totara_bridge.errors import DeletionsUnconfirmed
from totara_bridge.extract.run import extract_site
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import completion, delivery, lease
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.database.source import DatabaseSnapshot
from totara_bridge.totara.query import ReadQuery

Pair = tuple[int, int]
MOVED = 1_600_000_000


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge that knows its Totara."""
    bridge.extract()
    bridge.later(minutes=1)
    return bridge


@pytest.fixture
def delivered(extracted: Bridge, oracle: SandboxOracle) -> Pair:
    """A completion that Oracle has."""
    pair = queued(extracted)
    assert extracted.push(oracle).sent == 1
    extracted.later(minutes=1)
    return pair


def queued(bridge: Bridge) -> Pair:
    """A completion that is in the queue."""
    pair = bridge.totara.pair_with(status=25)
    bridge.totara.complete(*pair)
    assert bridge.extract().queued == 1
    return pair


def claim(bridge: Bridge, token: UUID) -> Sequence[Row[Any]]:
    """A drain has taken what is due, for a minute."""
    until = bridge.now + timedelta(minutes=1)
    with bridge.staging.begin() as transaction:
        return lease.claim(
            transaction, destination=DESTINATION, token=token, limit=10, now=bridge.now, lease_until=until
        )


def totara(bridge: Bridge, statement: str, **values: Any) -> list[dict[str, Any]]:
    """Something that happens in Totara's database itself."""
    with bridge.totara.engine.begin() as connection:
        result = connection.execute(text(statement), values)
        return [dict(row) for row in result.mappings()] if result.returns_rows else []


def assert_still_one_delivered(bridge: Bridge, pair: Pair, oracle: SandboxOracle) -> None:
    assert len(bridge.instances(pair)) == 1
    assert bridge.push(oracle).sent == 0
    assert len(oracle.stored_keys()) == 1


def test_edited_then_archived_between_two_extracts(extracted: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    extracted.totara.edit_date(*delivered, at=MOVED)
    extracted.totara.archive(*delivered)
    news = extracted.extract()
    assert (news.instances.revised, news.instances.lost, news.reported) == (1, 0, 1)
    assert_still_one_delivered(extracted, delivered, oracle)


def test_archived_then_edited_between_two_extracts(extracted: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    history = extracted.totara.archive(*delivered)
    extracted.totara.edit_history_date(history, MOVED)
    extracted.extract()
    assert_still_one_delivered(extracted, delivered, oracle)
    assert extracted.instances(delivered)[0]["archived_at"] is not None


def test_edited_archived_and_completed_again_between_two_extracts(extracted: Bridge, delivered: Pair) -> None:
    extracted.totara.edit_date(*delivered, at=MOVED)
    extracted.totara.archive(*delivered)
    extracted.totara.recreate(*delivered)
    extracted.totara.complete(*delivered, at=MOVED + 86_400)
    assert extracted.extract().queued == 1
    old, new = extracted.instances(delivered)
    assert (old["revision"], new["revision"]) == (2, 1)
    assert not extracted.full_compare().changed


def test_restored_to_before_an_archive(extracted: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    [row] = totara(
        extracted,
        "SELECT * FROM ttr_course_completions WHERE userid = :user AND course = :course",
        user=delivered[0],
        course=delivered[1],
    )
    top = extracted.totara.last_log_id()
    history = extracted.totara.archive(*delivered)
    extracted.extract()
    totara(extracted, "DELETE FROM ttr_course_completion_history WHERE id = :id", id=history)
    totara(extracted, "DELETE FROM ttr_course_completion_log WHERE id > :top", top=top)
    totara(
        extracted,
        f"INSERT INTO ttr_course_completions ({', '.join(row)}) VALUES ({', '.join(':' + name for name in row)})",
        **row,
    )
    news = extracted.extract()
    assert (news.full_compare, news.instances.lost, news.instances.revised) == (True, 0, 0)
    assert_still_one_delivered(extracted, delivered, oracle)
    assert extracted.instances(delivered)[0]["archived_at"] is None


def test_a_history_row_that_was_made_anew(extracted: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    history = extracted.totara.archive(*delivered)
    extracted.extract()
    totara(extracted, "UPDATE ttr_course_completion_history SET id = id + 1000 WHERE id = :id", id=history)
    assert extracted.full_compare().instances.lost == 0
    assert_still_one_delivered(extracted, delivered, oracle)


def test_a_row_that_was_made_anew_with_its_date(extracted: Bridge, delivered: Pair, oracle: SandboxOracle) -> None:
    totara(
        extracted,
        "UPDATE ttr_course_completions SET id = id + 100000 WHERE userid = :user AND course = :course",
        user=delivered[0],
        course=delivered[1],
    )
    news = extracted.full_compare()
    assert (news.instances.revised, news.instances.lost) == (0, 0)
    assert_still_one_delivered(extracted, delivered, oracle)


class Meanwhile(DatabaseSource):
    """Something happens while Totara is being read."""

    def __init__(self, connection: TotaraConnection, happens: Callable[[], None]) -> None:
        super().__init__(connection)
        self._happens = happens

    @contextmanager
    def snapshot(self) -> Iterator[DatabaseSnapshot]:
        with super().snapshot() as snapshot:
            self._happens()
            yield snapshot


def test_an_older_look_at_totara_never_undoes_a_newer_one(extracted: Bridge) -> None:
    def happens() -> None:
        with pytest.raises(Exception, match="being extracted by another run"):
            extracted.extract()

    extract_site(extracted.staging, Meanwhile(extracted.connection, happens), extracted.plan, now=extracted.now)
    queued(extracted)


def test_totara_is_let_go_of_before_anything_waits(
    extracted: Bridge, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    extracted.totara.complete(*extracted.totara.pair_with(status=25))
    sessions = "SELECT state FROM pg_stat_activity WHERE datname = :name AND state LIKE 'idle in transaction%'"
    waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with ThreadPoolExecutor(1) as pool, extracted.staging.connect() as other:
        completion.begin_merge(other)  # another site's first load
        extracting = pool.submit(extracted.extract)
        wait_until(lambda: extracting.done() or bool(extracted.rows(waiting)))
        assert not extracting.done()
        assert extracted.rows(sessions, name=extracted.totara.engine.url.database) == []
        other.close()
        assert extracting.result().queued == 1


def test_what_is_completed_between_a_backfill_and_the_first_extract_is_queued(extracted: Bridge) -> None:
    known, extracted.plan = extracted.plan, replace(extracted.plan, destinations=[])
    with extracted.staging.begin() as transaction:
        transaction.execute(text("DELETE FROM bridge.baseline"))
    extracted.backfill()
    pair = extracted.totara.pair_with(status=25)
    extracted.totara.complete(*pair)
    extracted.plan = known
    assert extracted.extract().queued == 1


def test_a_backfill_before_the_first_extract_of_all_makes_no_flood(bridge: Bridge) -> None:
    assert bridge.backfill().queued == 0
    assert bridge.extract().queued == 0


def test_a_backfill_waits_for_a_merge_that_runs(
    extracted: Bridge, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    merging = extracted.staging.connect()
    completion.begin_merge(merging)
    done: list[int] = []
    thread = threading.Thread(target=lambda: done.append(extracted.backfill().queued))
    thread.start()
    waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    wait_until(lambda: bool(extracted.rows(waiting)))
    assert done == []
    merging.close()
    thread.join()
    assert done == [998]


@pytest.mark.parametrize("what", ["edit", "delete"])
def test_changed_while_on_its_way_it_is_reported_even_if_it_was_not_posted(extracted: Bridge, what: str) -> None:
    pair, token = queued(extracted), uuid4()
    items = claim(extracted, token)
    if what == "edit":
        extracted.totara.edit_date(*pair, at=MOVED)
    else:
        extracted.totara.delete_completion(*pair)
    assert extracted.extract().reported == 1
    with extracted.staging.begin() as transaction:
        lease.release(transaction, token, ids=[item.id for item in items], posted=False)
    [item] = extracted.rows("SELECT * FROM bridge.export_queue")
    assert (item["state"], item["first_posted_at"]) == ("queued", extracted.now)


@pytest.mark.parametrize("verb", ["release", "never_posted"])
def test_what_goes_back_unposted_waits_for_a_merge_that_may_report_it(
    extracted: Bridge, wait_until: Callable[[Callable[[], bool]], None], verb: str
) -> None:
    queued(extracted)
    token = uuid4()
    ids = [item.id for item in claim(extracted, token)]
    done: list[str] = []

    def go_back() -> None:
        with extracted.staging.begin() as transaction:
            if verb == "release":
                lease.release(transaction, token, ids=ids, posted=False)
            else:
                lease.never_posted(transaction, token, ids=ids)
        done.append(verb)

    thread = threading.Thread(target=go_back)
    with extracted.staging.begin() as merging:
        completion.begin_merge(merging)
        merging.execute(text("UPDATE bridge.completion_instance SET revision = 2"))
        thread.start()
        waiting = "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_until(lambda: bool(done or extracted.rows(waiting)))
        assert done == []
    thread.join()
    [item] = extracted.rows("SELECT * FROM bridge.export_queue")
    assert item["first_posted_at"] == extracted.now


def test_an_impossible_date_blocks_nobody_and_is_no_loss(extracted: Bridge) -> None:
    bad, good = extracted.totara.pair_with(status=50), extracted.totara.pair_with(status=25)
    extracted.totara.sql_update_without_log(*bad, at=1_700_000_000_000)  # milliseconds
    extracted.totara.complete(*good)
    news = extracted.full_compare()
    assert (news.queued, news.set_aside, news.instances.lost, news.completions.deleted) == (1, 1, 0, 0)
    [row] = extracted.rows("SELECT * FROM bridge.set_aside")
    assert (row["user_id"], row["course_id"]) == bad
    assert row["reason"].startswith("a time is outside the years 1970 to 9999: time_enrolled ")
    assert row["reason"].endswith("time_completed 1700000000000")
    extracted.totara.sql_update_without_log(*bad, at=MOVED)
    assert extracted.full_compare().instances.revised == 1


def test_a_wider_query_shows_a_past_that_is_not_sent_and_news_that_are(bridge: Bridge) -> None:
    course = bridge.totara.pair_with(status=50)[1]
    bridge.extract(query=ReadQuery(course_ids=(course,)))
    bridge.later(minutes=1)
    known = {row["user_id"] for row in bridge.rows("SELECT user_id FROM bridge.completion")}
    assert known
    news = bridge.extract()
    assert news.full_compare
    assert news.completions.created == 1600 - len(known)
    assert news.queued == 0
    assert not bridge.extract().full_compare
    queued(bridge)


def test_a_mass_loss_of_archived_completions_is_asked_about(extracted: Bridge) -> None:
    totara(
        extracted,
        """INSERT INTO ttr_course_completion_history (courseid, userid, timecompleted)
           SELECT course, userid, timecompleted - 99999 FROM ttr_course_completions WHERE timecompleted IS NOT NULL""",
    )
    extracted.full_compare()
    totara(extracted, "DELETE FROM ttr_course_completion_history")
    with pytest.raises(DeletionsUnconfirmed, match="1004 of 2003 instances"):
        extracted.full_compare()


def test_news_go_on_while_deletions_wait_to_be_confirmed(extracted: Bridge) -> None:
    totara(extracted, "DELETE FROM ttr_course_completions WHERE id % 10 = 0 AND status <> 25")
    extracted.totara.complete(*extracted.totara.pair_with(status=25))
    extracted.later(days=1)
    with pytest.raises(DeletionsUnconfirmed):
        extracted.extract()
    assert extracted.states() == {"queued": 1}
    with pytest.raises(DeletionsUnconfirmed):
        extracted.extract()
    assert extracted.rows("SELECT count(*) AS n FROM bridge.completion WHERE deleted_at IS NOT NULL")[0]["n"] == 0


def test_what_a_person_cancelled_stays_so_after_an_edit(extracted: Bridge) -> None:
    pair = queued(extracted)
    with extracted.staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'somebody'"))
    extracted.totara.edit_date(*pair, at=MOVED)
    assert extracted.extract().queued == 0
    assert extracted.states() == {"cancelled": 1}


def test_a_late_positive_answer_never_clashes(extracted: Bridge) -> None:
    pair, token = queued(extracted), uuid4()
    [item] = claim(extracted, token)
    extracted.later(minutes=2)
    with extracted.staging.begin() as transaction:
        lease.release_expired(transaction, destination=DESTINATION, now=extracted.now)
        transaction.execute(text("UPDATE bridge.export_queue SET state = 'cancelled', cancelled_by = 'extract'"))
    extracted.totara.edit_date(*pair, at=MOVED)
    assert extracted.extract().queued == 0, "it may have been posted"
    with extracted.staging.begin() as transaction:
        assert delivery.acknowledge(transaction, token, {item.id: None}, log_id=1, now=extracted.now) == 1
    assert extracted.states() == {"sent": 1}
    extracted.backfill()
    assert extracted.states() == {"sent": 1, "queued": 998}
