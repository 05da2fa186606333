"""A backfill queues what was asked for and is lacking, says so before, and sends again only what it was told to."""

import logging
import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests.bridge import ALL, DESTINATION, SITE, Bridge
from totara_bridge.backfill import Backfilled
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import by_hand
from totara_bridge.staging import trace as staged
from totara_bridge.template import DEFAULT, Field, Template

pytestmark = pytest.mark.staging("has_read")


@pytest.fixture
def extracted(bridge: Bridge) -> Bridge:
    """A bridge with the whole past staged and nothing queued."""
    return bridge


@pytest.fixture
def delivered(extracted: Bridge, oracle: SandboxOracle) -> Bridge:
    """A bridge whose destination has ten of the past, a minute ago."""
    extracted.backfill(until=tenth_day(extracted))
    assert extracted.push(oracle).sent >= 10
    extracted.later(minutes=1)
    return extracted


def tenth_day(bridge: Bridge) -> str:
    """The day on which the tenth of the completions was completed."""
    [row] = bridge.rows(
        """SELECT to_char(time_completed, 'YYYY-MM-DD') AS day FROM bridge.completion_instance
           WHERE NOT after_deletion AND ended_at IS NULL AND time_completed IS NOT NULL
           ORDER BY time_completed OFFSET 9 LIMIT 1"""
    )
    return str(row["day"])


def sql(bridge: Bridge, statement: str, **values: object) -> int:
    """Do it; how many rows it wrote."""
    with bridge.staging.begin() as transaction:
        return transaction.execute(text(statement), values).rowcount


def number(bridge: Bridge, statement: str, **values: object) -> int:
    """What a count says."""
    [row] = bridge.rows(f"SELECT count(*) AS number {statement}", **values)
    return int(row["number"])


def again(bridge: Bridge, **changes: Any) -> Backfilled:
    """Have all that was delivered sent again, and nothing else."""
    return bridge.backfill(until=tenth_day(bridge), resend=True, **changes)


# which


@pytest.mark.parametrize(
    ("narrowed", "condition"),
    [
        (Route(courses=["SAFETY*", "?n-*"]), "k.short_name ILIKE 'safety%' OR k.short_name ILIKE '_n-%'"),
        (Route(learners=["*1@*"]), "l.email LIKE '%1@%'"),
        (Route(statuses=["complete_rpl"]), "i.status = 'complete_rpl'"),
        (Route(learners=["*1@*", "*2@*"], statuses=["complete"]), "l.email ~ '[12]@' AND i.status = 'complete'"),
        (Route(courses=["no such course"]), "false"),
    ],
    ids=str,
)
def test_it_is_narrowed_by_patterns_beside_the_route(extracted: Bridge, narrowed: Route, condition: str) -> None:
    route = Route(learners=["*"], not_learners=["*3@*"], courses=["*"], statuses=["complete", "complete_rpl"])
    extracted.plan = replace(extracted.plan, destinations=[Wants(DESTINATION, route=route)])
    expected = number(
        extracted,
        f"""FROM bridge.completion_instance i
            JOIN bridge.learner l USING (site, user_id) JOIN bridge.course k USING (site, course_id)
            WHERE NOT i.after_deletion AND i.ended_at IS NULL AND l.email NOT LIKE '%3@%' AND ({condition})""",
    )
    done = extracted.backfill(narrowed=narrowed)
    assert (done.found.lacking, done.queued) == (expected, expected)
    assert extracted.states() == ({"queued": expected} if expected else {})


def test_some_of_the_patterns_fit(extracted: Bridge) -> None:
    found = [
        extracted.backfill(narrowed=each, dry_run=True).found.lacking
        for each in (Route(learners=["*1@*"]), Route(statuses=["complete_rpl"]))
    ]
    assert all(0 < each < ALL for each in found)


def test_both_days_count_to_their_last_moment(extracted: Bridge) -> None:
    first, second, third = extracted.rows(
        "SELECT id FROM bridge.completion_instance WHERE NOT after_deletion ORDER BY id LIMIT 3"
    )
    for row, at in ((first, "2001-05-01 00:00:00"), (second, "2001-05-02 23:59:59"), (third, "2001-05-03 00:00:00")):
        sql(
            extracted,
            "UPDATE bridge.completion_instance SET time_completed = cast(:at AS timestamptz) WHERE id = :id",
            id=row["id"],
            at=f"{at} UTC",
        )
    assert extracted.backfill(since="2001-05-01", until="2001-05-02").queued == 2
    assert extracted.backfill(since="2001-05-02", until="2001-05-02").found.queued == 1
    assert extracted.backfill(since="2001-05-03", until="9999-12-31", dry_run=True).found.lacking == 1 + number(
        extracted, "FROM bridge.completion_instance WHERE NOT after_deletion AND time_completed > '2001-05-04'"
    ) + number(extracted, "FROM bridge.completion_instance WHERE NOT after_deletion AND time_completed IS NULL")


def test_an_erased_learner_is_withheld(extracted: Bridge) -> None:
    [erased] = extracted.rows(
        """SELECT user_id, count(*) AS instances FROM bridge.completion_instance
           WHERE NOT after_deletion GROUP BY user_id ORDER BY 2 DESC LIMIT 1"""
    )
    before = extracted.backfill(dry_run=True).found
    sql(
        extracted,
        "INSERT INTO bridge.erased_learner VALUES (:site, :user, :now, 'ann')",
        site=SITE,
        user=erased["user_id"],
        now=extracted.now,
    )
    after = extracted.backfill().found
    assert after.lacking == before.lacking - erased["instances"]
    assert after.withheld == before.withheld + erased["instances"]
    assert extracted.states() == {"queued": after.lacking}


# what it says before


def test_a_dry_run_changes_nothing(extracted: Bridge) -> None:
    tables = "audit_log", "baseline", "export_queue", "item_event", "payload_template"
    before = {table: extracted.rows(f"SELECT * FROM bridge.{table}") for table in tables}
    done = extracted.backfill(dry_run=True, resend=True)
    assert done.counts() == {
        "lacking": ALL,
        "delivered": 0,
        "queued": 0,
        "cancelled": 0,
        "withheld": done.found.withheld,
        "resendable": 0,
        "left_out": 0,
        "waiting": 0,
        "minutes": None,
        "queued_now": 0,
        "held_now": 0,
        "resent_now": 0,
    }
    assert {table: extracted.rows(f"SELECT * FROM bridge.{table}") for table in tables} == before


def logged(bridge: Bridge, *requests: tuple[int, int, int, str], destination: str = DESTINATION) -> None:
    """Requests in the log: at which second, for how many, with how many items, and how it ended."""
    for second, took, items, outcome in requests:
        sql(
            bridge,
            """INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome)
               VALUES (gen_random_uuid(), :destination, :at, :took, :items, 200, :outcome)""",
            destination=destination,
            at=bridge.now + timedelta(seconds=second),
            took=took * 1000,
            items=items,
            outcome=outcome,
        )


def minutes(bridge: Bridge) -> int | None:
    """About how long the whole past would take."""
    return bridge.backfill(dry_run=True).outlook.minutes


def test_how_long_it_takes_is_known_from_the_log(extracted: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "totara_bridge.backfill")
    logged(extracted, (0, 1, 1_000, "sent"), destination="another")
    logged(extracted, (0, 1, 1_000, "shadow"))
    assert minutes(extracted) is None
    assert "not known yet: nothing was sent to it so far" in caplog.text.splitlines()[-1]
    logged(extracted, (0, 30, 100, "timeout"))
    assert minutes(extracted) is None, "nothing was sent yet"
    logged(extracted, (30, 15, 100, "sent"), (45, 15, 99, "partly"))
    assert minutes(extracted) == 6, "998 at 199 in a minute"
    assert "about 6 minutes at the present 199 items a minute" in caplog.text.splitlines()[-1]


def test_from_small_requests_nothing_is_known(extracted: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "totara_bridge.backfill")
    logged(extracted, *((1_200 * each, 1, 1, "sent") for each in range(30)), (40_000, 1, 49, "sent"))
    assert minutes(extracted) is None
    assert "not known yet: only small requests so far" in caplog.text.splitlines()[-1]
    logged(extracted, (50_000, 60, 50, "sent"))
    assert minutes(extracted) == 20, "998 at 50 in a minute"


def test_requests_that_were_in_flight_together_count_together(extracted: Bridge) -> None:
    logged(extracted, *((start, 30, 100, "sent") for start in (0, 1, 2, 3, 30, 29, 28, 27)))
    assert minutes(extracted) == 2, "998 at 800 in a minute"


def test_times_in_which_no_request_was_made_do_not_count(extracted: Bridge) -> None:
    logged(extracted, (0, 20, 100, "sent"), (50, 10, 100, "sent"))
    assert minutes(extracted) == 5, "998 at 200 in a minute, of which half a minute's rest"
    logged(extracted, (36_000, 60, 200, "sent"))
    assert minutes(extracted) == 5, "998 at 400 in two minutes"


def test_only_the_newest_requests_count(extracted: Bridge) -> None:
    logged(extracted, (0, 60, 100, "sent"))
    sql(
        extracted,
        """INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome)
           SELECT gen_random_uuid(), :destination, :at, 600000, 100, 200, 'sent' FROM generate_series(1, 1000)""",
        destination=DESTINATION,
        at=extracted.now + timedelta(hours=1),
    )
    assert minutes(extracted) == 1, "998 at 100 000 in ten minutes"
    small = """INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, http_status, outcome)
               SELECT gen_random_uuid(), :destination, :at, 5, 1, 200, 'sent' FROM generate_series(1, :count)"""
    sql(extracted, small, destination=DESTINATION, at=extracted.now + timedelta(hours=2), count=9_999)
    assert minutes(extracted) == 100, "998 at 100 in ten minutes: the newest of the large ones"
    sql(extracted, small, destination=DESTINATION, at=extracted.now + timedelta(hours=2), count=1)
    assert minutes(extracted) is None


def test_a_rate_caps_what_the_log_says(extracted: Bridge) -> None:
    logged(extracted, (0, 60, 1_000, "sent"))
    assert minutes(extracted) == 1
    sql(
        extracted,
        "INSERT INTO bridge.destination_state (destination, rate, changed_at) VALUES (:destination, 0.1, :now)",
        destination=DESTINATION,
        now=extracted.now,
    )
    assert minutes(extracted) == 2, "998 at 0.1 requests a second of 100 items"


def test_what_waits_already_takes_its_time_too(extracted: Bridge) -> None:
    logged(extracted, (0, 60, 100, "sent"))
    assert minutes(extracted) == 10
    queued = extracted.backfill().queued
    states = ["failed", "sending", "sent"]
    for row, state in zip(extracted.rows("SELECT id FROM bridge.export_queue LIMIT 3"), states, strict=True):
        sql(extracted, CHANGED[state], id=row["id"], now=extracted.now)
    sql(extracted, SHADOWED, now=extracted.now)
    outlook = extracted.backfill(dry_run=True).outlook
    assert (outlook.found.queued, outlook.throughput.waiting, outlook.minutes) == (queued, queued - 1, 10)


CHANGED = {
    "failed": "UPDATE bridge.export_queue SET state = 'failed', error_class = 'x', queued_at = :now WHERE id = :id",
    "sending": """UPDATE bridge.export_queue SET state = 'sending', claim_token = gen_random_uuid(), lease_until = :now,
                  claimed_from = 'queued', claimed_at = :now WHERE id = :id""",
    "sent": "UPDATE bridge.export_queue SET state = 'sent', sent_at = :now WHERE id = :id",
}
SHADOWED = """
    UPDATE bridge.export_queue SET shadowed_at = :now
    WHERE id IN (SELECT id FROM bridge.export_queue WHERE state = 'queued' ORDER BY id LIMIT 5)
"""


def test_who_asked_for_what_is_written_down_once_for_a_run(extracted: Bridge) -> None:
    asked: dict[str, Any] = {
        "until": "2020-12-31",
        "narrowed": Route(learners=["jo@example.com"], statuses=["complete"]),
    }
    extracted.backfill(**asked)
    extracted.backfill(**asked, asked_at=extracted.now)
    [row] = extracted.rows("SELECT * FROM bridge.audit_log")
    assert (row["actor"], row["action"], row["subject"], row["at"]) == ("ann", "backfill", DESTINATION, extracted.now)
    assert (row["details"]["from"], row["details"]["to"]) == ("1970-01-01", "2020-12-31")
    assert row["details"]["learner_patterns"] == 1
    assert "jo@example.com" not in str(row)
    extracted.later(minutes=1)
    extracted.backfill(**asked)
    assert number(extracted, "FROM bridge.audit_log") == 2


def test_what_was_cancelled_is_counted_apart(extracted: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "totara_bridge.backfill")
    extracted.backfill()
    assert "were cancelled" not in caplog.text
    ids = [row["id"] for row in extracted.rows("SELECT id FROM bridge.export_queue ORDER BY id LIMIT 5")]
    with extracted.staging.begin() as transaction:
        by_hand.cancel(transaction, ids, by="ann", words="taken back", now=extracted.now)
    done = extracted.backfill()
    assert (done.queued, done.found.queued, done.counts()["cancelled"]) == (0, ALL - 5, 5)
    assert "5 were cancelled: requeue_completions sends them" in caplog.text


# in slices


def test_in_slices_it_queues_the_same(extracted: Bridge) -> None:
    assert extracted.backfill(slice_size=100).queued == ALL
    assert len(extracted.rows("SELECT DISTINCT xmin::text FROM bridge.export_queue")) == 10
    assert extracted.backfill(slice_size=100).queued == 0


class StoppedAfter(threading.Event):
    """Is set once it was asked so often."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_stopped_it_has_done_whole_slices_and_goes_on_later(extracted: Bridge) -> None:
    stopped = extracted.backfill(slice_size=100, stop=StoppedAfter(3))
    assert (stopped.finished, stopped.queued, extracted.states()) == (False, 300, {"queued": 300})
    on = extracted.backfill(slice_size=100, stop=threading.Event())
    assert (on.finished, on.queued, on.found.queued) == (True, ALL - 300, 300)
    assert extracted.states() == {"queued": ALL}


# resend


def test_without_being_told_it_sends_nothing_again(delivered: Bridge) -> None:
    done = delivered.backfill(until=tenth_day(delivered))
    assert (done.queued, done.resent, done.outlook.resendable) == (0, 0, 0)
    assert set(delivered.states()) == {"sent"}


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_a_resend_sends_each_item_again_under_its_key(delivered: Bridge, oracle: SandboxOracle, purged: bool) -> None:
    before = delivered.rows("SELECT * FROM bridge.delivery ORDER BY instance_id")
    payloads = delivered.rows("SELECT idempotency_key, kind, revision, payload FROM bridge.export_queue ORDER BY 1")
    if purged:
        sql(delivered, "DELETE FROM bridge.export_queue")
    dry = again(delivered, dry_run=True)
    assert (dry.outlook.resendable, dry.resent, dry.found.delivered) == (len(before), 0, len(before))
    done = again(delivered)
    assert (done.outlook.resendable, done.resent, done.queued) == (len(before), len(before), 0)
    assert (
        delivered.rows("SELECT idempotency_key, kind, revision, payload FROM bridge.export_queue ORDER BY 1")
        == payloads
    )
    assert delivered.rows("SELECT DISTINCT state, lane FROM bridge.export_queue") == [
        {"state": "queued", "lane": "backfill"}
    ]
    assert {row["actor"] for row in delivered.rows("SELECT * FROM bridge.item_event WHERE verb = 'resend'")} == {"ann"}
    assert delivered.push(oracle).sent == len(before)
    assert set(oracle.times_received().values()) == {2}
    assert delivered.rows("SELECT * FROM bridge.delivery ORDER BY instance_id") == before


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_a_resend_while_the_first_waits_does_nothing_and_after_it_sends_again(
    delivered: Bridge, oracle: SandboxOracle, purged: bool
) -> None:
    if purged:
        sql(delivered, "DELETE FROM bridge.export_queue")
    first = again(delivered).resent
    delivered.later(minutes=1)
    waiting = again(delivered)
    assert (waiting.outlook.resendable, waiting.resent) == (0, 0)
    delivered.push(oracle)
    delivered.later(minutes=1)
    assert again(delivered).resent == first
    assert delivered.push(oracle).sent == first
    assert set(oracle.times_received().values()) == {3}


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_a_run_that_is_tried_again_resends_only_what_it_had_not(
    delivered: Bridge, oracle: SandboxOracle, purged: bool
) -> None:
    if purged:
        sql(delivered, "DELETE FROM bridge.export_queue")
    everything = again(delivered, dry_run=True).outlook.resendable
    asked_at = delivered.now
    stopped = again(delivered, slice_size=4, stop=StoppedAfter(3))  # one slice finds nothing to queue
    assert (stopped.finished, stopped.resent) == (False, 8)
    assert delivered.push(oracle).sent == 8
    delivered.later(minutes=1)
    on = again(delivered, slice_size=4, asked_at=asked_at)
    assert (on.finished, on.resent) == (True, everything - 8)
    delivered.push(oracle)
    assert set(oracle.times_received().values()) == {2}


def test_what_this_run_queues_itself_is_not_sent_again(extracted: Bridge, oracle: SandboxOracle) -> None:
    asked_at = extracted.now
    extracted.later(minutes=1)
    assert again(extracted, asked_at=asked_at).resent == 0
    extracted.push(oracle)
    assert again(extracted, asked_at=asked_at).resent == 0
    assert set(oracle.times_received().values()) == {1}


@pytest.fixture
def corrected(bridge: Bridge, oracle: SandboxOracle) -> Bridge:
    """A bridge whose destination was told of one completion, then of a correction; corrections are wanted."""
    wants = Wants(DESTINATION, corrections=True, withdrawals=True)
    bridge.plan = replace(bridge.plan, destinations=[wants])
    bridge.queue_new(1)
    bridge.push(oracle)
    bridge.later(minutes=1)
    bridge.totara.edit_date(*the_pair(bridge), at=1_600_000_000)
    assert bridge.extract().corrections == 1
    return bridge


def the_pair(bridge: Bridge) -> tuple[int, int]:
    """Whose completion was delivered."""
    [row] = bridge.rows(
        """SELECT i.user_id, i.course_id FROM bridge.delivery d
           JOIN bridge.completion_instance i ON i.id = d.instance_id WHERE d.kind = 'completion'"""
    )
    return row["user_id"], row["course_id"]


def test_what_a_correction_waits_for_is_not_sent_again(corrected: Bridge) -> None:
    done = corrected.backfill(resend=True, until="2020-12-31", since="2020-01-01")
    assert (done.found.delivered, done.outlook.resendable, done.resent) == (1, 0, 0)


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_what_was_told_last_is_sent_again(corrected: Bridge, oracle: SandboxOracle, purged: bool) -> None:
    corrected.push(oracle)
    corrected.later(minutes=1)
    [sent] = corrected.rows("SELECT * FROM bridge.export_queue WHERE kind = 'correction'")
    if purged:
        sql(corrected, "DELETE FROM bridge.export_queue")
    done = corrected.backfill(resend=True, since="2020-01-01", until="2020-12-31")
    assert (done.outlook.resendable, done.resent) == (1, 1)
    [queued] = corrected.rows("SELECT * FROM bridge.export_queue WHERE state = 'queued'")
    names = "kind", "revision", "idempotency_key", "payload", "reference", "staged_at"
    assert [queued[name] for name in names] == [sent[name] for name in names]
    assert queued["first_posted_at"] is not None
    assert corrected.push(oracle).sent == 1
    assert oracle.times_received()[sent["idempotency_key"]] == 2


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_what_is_lost_or_withdrawn_is_not_sent_again(corrected: Bridge, oracle: SandboxOracle, purged: bool) -> None:
    corrected.push(oracle)
    corrected.totara.delete_completion(*the_pair(corrected))
    corrected.later(minutes=1)
    assert corrected.extract().withdrawals == 1
    for _ in range(2):
        if purged:
            sql(corrected, "DELETE FROM bridge.export_queue WHERE state = 'sent'")
        assert corrected.backfill(resend=True, since="2020-01-01", until="2020-12-31").resent == 0
        corrected.push(oracle)
        corrected.later(minutes=1)


@pytest.mark.parametrize("purged", [False, True], ids=["kept", "purged"])
def test_an_erased_learner_is_not_sent_again(delivered: Bridge, purged: bool) -> None:
    everything = again(delivered, dry_run=True).outlook.resendable
    [row] = delivered.rows(
        "SELECT i.user_id, count(*) AS items FROM bridge.delivery d "
        "JOIN bridge.completion_instance i ON i.id = d.instance_id GROUP BY 1 ORDER BY 2, 1 LIMIT 1"
    )
    sql(
        delivered,
        "INSERT INTO bridge.erased_learner VALUES (:site, :user, :now, 'ann')",
        site=SITE,
        user=row["user_id"],
        now=delivered.now,
    )
    if purged:
        sql(delivered, "DELETE FROM bridge.export_queue")
    done = again(delivered)
    assert (done.outlook.resendable, done.resent) == (everything - row["items"], everything - row["items"])


def test_what_was_purged_is_sent_as_posted_and_an_edit_does_not_change_it(
    delivered: Bridge, oracle: SandboxOracle
) -> None:
    sql(delivered, "DELETE FROM bridge.export_queue")
    everything = again(delivered).resent
    [item] = delivered.rows(
        """SELECT q.*, i.user_id, i.course_id FROM bridge.export_queue q
           JOIN bridge.completion_instance i ON i.id = q.instance_id
           WHERE i.archived_at IS NULL ORDER BY q.id LIMIT 1"""
    )
    delivered.totara.edit_date(item["user_id"], item["course_id"], at=1_600_000_000)
    edited = delivered.extract()
    assert (edited.reported, edited.replaced) == (1, 0)
    delivered.totara.delete_completion(item["user_id"], item["course_id"])
    assert delivered.extract().cancelled == 0
    assert delivered.push(oracle).sent == everything
    [after] = delivered.rows("SELECT * FROM bridge.export_queue WHERE id = :id", id=item["id"])
    assert (after["payload"], after["revision"]) == (item["payload"], item["revision"])


@pytest.mark.parametrize("corrections", [False, True], ids=["reported", "cancelled"])
def test_what_was_purged_and_edited_since_is_left_out_and_counted(
    delivered: Bridge, oracle: SandboxOracle, caplog: pytest.LogCaptureFixture, corrections: bool
) -> None:
    """Nothing new goes out under an old revision, and a correction that was cancelled can still be sent."""
    caplog.set_level(logging.INFO, "totara_bridge.backfill")
    delivered.plan = replace(delivered.plan, destinations=[Wants(DESTINATION, corrections=corrections)])
    everything = again(delivered, dry_run=True).outlook.resendable
    purged, kept = delivered.rows(
        """SELECT q.id, i.user_id, i.course_id FROM bridge.export_queue q
           JOIN bridge.completion_instance i ON i.id = q.instance_id
           WHERE i.archived_at IS NULL ORDER BY q.id LIMIT 2"""
    )
    sql(delivered, "DELETE FROM bridge.export_queue WHERE id <> :kept", kept=kept["id"])
    day = tenth_day(delivered)
    for each in (purged, kept):
        delivered.totara.edit_date(each["user_id"], each["course_id"], at=1)
    assert delivered.extract().corrections == (2 if corrections else 0)
    delivered.later(minutes=1)
    with delivered.staging.begin() as transaction:
        waiting = [row["id"] for row in delivered.rows("SELECT id FROM bridge.export_queue WHERE kind = 'correction'")]
        by_hand.cancel(transaction, waiting, by="ann", words="not now", now=delivered.now)
    dry = delivered.backfill(resend=True, until=day, dry_run=True)
    assert (dry.outlook.resendable, dry.outlook.changed, dry.counts()["left_out"]) == (everything - 1, 1, 1)
    assert "1 are left out: they were purged and edited since" in caplog.text
    done = delivered.backfill(resend=True, until=day)
    assert (done.resent, done.counts()["left_out"]) == (everything - 1, 1)
    with delivered.staging.begin() as transaction:
        fits = by_hand.requeue(transaction, waiting[:1], by="ann", words="now", now=delivered.now)
    assert fits.done == (1 if corrections else 0)
    delivered.push(oracle)
    told = {item["payload"]["idempotencyKey"]: item["conflicts"] for item in oracle.items(limit=100)}
    assert set(told.values()) == {0}


PURGE = """
    DELETE FROM bridge.export_queue WHERE id IN (
        SELECT id FROM bridge.export_queue WHERE state = 'sent' AND id % 3 = :part FOR UPDATE SKIP LOCKED)
"""


def test_a_purge_in_between_takes_nothing_from_a_resend(delivered: Bridge, oracle: SandboxOracle) -> None:
    everything = again(delivered, dry_run=True).outlook.resendable
    purged: list[int] = []

    def purge(_: object, __: object, statement: str, *___: object) -> None:
        """After the slice was read, before its items are moved."""
        if "SET state = 'queued', lane = 'backfill'" in statement and len(purged) < 2:
            purged.append(sql(delivered, PURGE, part=len(purged)))

    event.listen(delivered.staging, "before_cursor_execute", purge)
    done = again(delivered, slice_size=5)
    event.remove(delivered.staging, "before_cursor_execute", purge)
    assert min(purged) > 0
    assert (done.resent, done.counts()["left_out"]) == (everything, 0)
    assert delivered.push(oracle).sent == everything
    assert set(oracle.times_received().values()) == {2}


def test_what_lacks_today_what_the_template_requires_is_left_out_once_purged(delivered: Bridge) -> None:
    everything = again(delivered, dry_run=True).outlook.resendable
    numbered = Template(
        name="numbered", version=1, fields=DEFAULT.fields | {"n": Field(source="learner_number", required=True)}
    )
    delivered.plan = replace(delivered.plan, destinations=[Wants(DESTINATION, template=numbered)])
    [kept] = delivered.rows("SELECT id, payload FROM bridge.export_queue ORDER BY id LIMIT 1")
    sql(delivered, "DELETE FROM bridge.export_queue WHERE id <> :id", id=kept["id"])
    done = again(delivered)
    assert (done.outlook.resendable, done.resent, done.counts()["left_out"]) == (everything, 1, everything - 1)
    assert delivered.rows("SELECT id, payload FROM bridge.export_queue") == [kept]


def test_cancelled_a_resend_waits_for_a_person_and_not_for_another_resend(delivered: Bridge) -> None:
    sql(delivered, "DELETE FROM bridge.export_queue")
    everything = again(delivered).resent
    [item] = delivered.rows("SELECT id FROM bridge.export_queue ORDER BY id LIMIT 1")
    with delivered.staging.begin() as transaction:
        done = by_hand.cancel(transaction, [item["id"]], by="ann", words="enough", now=delivered.now)
    assert done.done == 1
    delivered.later(minutes=1)
    assert again(delivered).resent == 0
    assert delivered.states() == {"queued": everything - 1, "cancelled": 1}


def test_the_trace_of_what_was_purged_begins_with_its_delivery(delivered: Bridge, oracle: SandboxOracle) -> None:
    sql(delivered, "DELETE FROM bridge.export_queue")
    again(delivered)
    delivered.later(minutes=1)
    delivered.push(oracle)
    [item] = delivered.rows("SELECT id FROM bridge.export_queue ORDER BY id LIMIT 1")
    with delivered.staging.begin() as transaction:
        found = staged.trace(transaction, item_id=item["id"])
    assert found is not None
    told = [(entry.what, entry.actor) for entry in found.entries if entry.what != "archive"]
    assert told == [
        ("extract", "extract"),
        ("acknowledge", "push"),
        ("enqueue", "backfill"),
        ("resend", "ann"),
        ("acknowledge", "push"),
    ]
