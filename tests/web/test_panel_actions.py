"""What a run would do is counted by the very form that it is asked with: it does as many, and counting does nothing."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import InternalError

from tests import old_rows
from tests.bridge import Bridge
from tests.items import NOW, Items
from tests.staging_roles import PANEL, as_role
from tests.web.panel_client import Login
from totara_bridge import purge, requeue
from totara_bridge.orchestration.form import filled_in
from totara_bridge.orchestration.tasks.purge import Purge
from totara_bridge.orchestration.tasks.requeue import Requeue
from totara_bridge.staging import setting
from totara_bridge.staging.brief_look import TakesTooLong, brief_look
from totara_bridge.staging.selection import Action
from totara_bridge.web.service import Service


@pytest.fixture
def browser(login: Login, staging: Engine) -> Iterator[httpx.Client]:
    """The panel at `NOW`, in a manager's browser."""
    from totara_bridge.web.panel.app import panel_app  # noqa: PLC0415  imports half of Airflow

    with login.browser(panel_app(Service(as_role(staging, PANEL), threads=4, clock=lambda: NOW)), "user") as client:
        yield client


def count(browser: httpx.Client, name: str, conf: dict[str, Any]) -> dict[str, Any]:
    answer = browser.post(f"/api/actions/{name}/count", json={"conf": conf}, timeout=30)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def failed_and_dead(staging: Engine) -> Items:
    """Three dead items and two failed ones; of a dead one a later item was posted."""
    items = Items(staging)
    items.queued(3)
    items.reject(items.claim())
    items.queued(2)
    items.retry(items.claim(), error_class="Busy")
    items.sql(
        """INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                            next_attempt_at, payload, staged_at, queued_at, first_posted_at, sent_at)
           SELECT destination, instance_id, 'correction', 2, 'later', 'sent', 'fresh', :now, '{}', :now, :now, :now,
                  :now
           FROM bridge.export_queue WHERE state = 'dead' ORDER BY id LIMIT 1""",
        now=NOW,
    )
    return items


REQUEUE = {"states": ["dead", "failed"], "dry_run": False}


def test_what_would_be_requeued_is_what_is(browser: httpx.Client, staging: Engine) -> None:
    items = failed_and_dead(staging)
    before = items.sql("SELECT * FROM bridge.export_queue ORDER BY id")
    found = count(browser, "requeue", REQUEUE)
    assert found["sentence"] == (
        "4 items would be requeued: 2 dead for oracle, 2 failed for oracle. "
        "1 other is left as it is, as it does not fit."
    )
    assert found["items"] == 4
    named = {"selected": 5, "done": 0, "refused": 1, "state_dead": 3, "state_failed": 2, "destination_oracle": 5}
    assert found["counts"].items() >= named.items()
    assert count(browser, "requeue", REQUEUE) == found
    assert items.sql("SELECT * FROM bridge.export_queue ORDER BY id") == before
    selection = filled_in(Requeue, REQUEUE).selection(NOW)
    done = requeue.carry_out(staging, Action.REQUEUE, selection, by="ann", words=None, dry_run=False, now=NOW)
    assert done.done == found["items"]
    assert count(browser, "requeue", REQUEUE)["items"] == 0


def test_items_that_are_not_there_are_told(browser: httpx.Client, staging: Engine) -> None:
    [item] = Items(staging).queued(1)
    conf = {"action": "cancel", "item_ids": [item, 77, 78], "reason": "asked for"}
    assert count(browser, "requeue", conf) == {
        "sentence": "1 item would be cancelled: 1 queued for oracle. "
        "2 others are left as they are, as it does not fit.",
        "items": 1,
        "counts": {"selected": 1, "done": 0, "refused": 2, "state_queued": 1, "destination_oracle": 1},
    }


@pytest.mark.parametrize(
    "asked", [{}, {"sent_days": 30}, {"log_days": 7}, {"sent_days": 150, "log_days": 150}, {"sent_days": 3650}]
)
def test_what_would_be_purged_is_what_a_dry_run_finds(
    browser: httpx.Client, staging: Engine, asked: dict[str, int]
) -> None:
    Items(staging).instances(1_000)
    old_rows.fill(staging, 1_000)
    with staging.begin() as transaction:
        setting.write(transaction, scope="archive", name="sent_retention", value="P20D", by="ann", now=NOW)
    found = count(browser, "purge", asked | {"dry_run": False})
    wanted = Purge.model_validate({**asked, "dry_run": True}).asked("ann", by_hand=True)
    slices = purge.purge(staging, wanted, now=NOW, stop=threading.Event())
    assert found["counts"] == slices.counts
    assert found["items"] == sum(slices.counts.values()) > 0
    assert count(browser, "purge", asked) == found


def test_purging_logs_leaves_items_to_their_retention(browser: httpx.Client, staging: Engine) -> None:
    items = Items(staging)
    items.queued(4)
    items.acknowledge(items.claim(3))
    put = """INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, outcome)
             SELECT gen_random_uuid(), 'oracle', cast(:now AS timestamptz) - interval '10 days', 1, 1, 'sent'
             FROM generate_series(1, :n)"""
    items.sql(put, now=NOW, n=1)
    items.sql("UPDATE bridge.export_queue SET sent_at = sent_at - interval '80 days' WHERE state = 'sent'")
    logs = {"sent_days": None, "log_days": 9, "dry_run": False}
    assert count(browser, "purge", logs)["sentence"] == "Would be deleted for good: 1 row of the export log."
    items.sql(put, now=NOW, n=1200)
    items.sql("UPDATE bridge.export_queue SET sent_at = sent_at - interval '20 days' WHERE state = 'sent'")
    assert count(browser, "purge", logs)["sentence"] == (
        "Would be deleted for good: 3 items that were sent, 1,201 rows of the export log."
    )
    assert count(browser, "purge", {"sent_days": 365})["sentence"] == "Nothing would be deleted."


@pytest.fixture
def manager(login: Login, bridge: Bridge) -> Iterator[httpx.Client]:
    """The panel over the bridge with the captured Totara, in a manager's browser."""
    from totara_bridge.web.panel.app import panel_app  # noqa: PLC0415  imports half of Airflow

    app = panel_app(Service(as_role(bridge.staging, PANEL), threads=4, clock=lambda: bridge.now))
    with login.browser(app, "user") as client:
        yield client


def test_what_would_be_backfilled_is_what_is(manager: httpx.Client, bridge: Bridge) -> None:
    bridge.extract()
    conf = {"from_date": "1970-01-01", "dry_run": False}
    found = count(manager, "backfill", conf)
    assert found["items"] == found["counts"]["oracle"]["lacking"] > 0
    assert found["sentence"].startswith(f"{found['items']} completions would be queued for oracle.")
    assert count(manager, "backfill", conf) == found
    assert bridge.states() == {}
    done = bridge.backfill()
    assert done.queued + done.held == found["items"]
    after = count(manager, "backfill", conf)
    assert after["items"] == 0
    assert after["sentence"] == (
        f"0 completions would be queued for oracle. Left out: {found['items']} in the queue already, "
        "6 of learners who were deleted or erased."
    )


def test_of_what_is_narrowed_only_that_is_counted(manager: httpx.Client, bridge: Bridge) -> None:
    bridge.extract()
    all_of_it = count(manager, "backfill", {"from_date": "1970-01-01"})["items"]
    narrowed = count(manager, "backfill", {"from_date": "1970-01-01", "statuses": ["complete_rpl"]})["items"]
    late = count(manager, "backfill", {"from_date": "2999-01-01"})
    assert 0 < narrowed < all_of_it
    assert late["items"] == 0


@pytest.mark.parametrize(
    ("name", "conf", "pointer", "sentence"),
    [
        ("requeue", {}, "", "Nothing is selected: give States or Item numbers"),
        ("requeue", {"states": ["sent"]}, "states.0", "Input should be 'failed', 'dead', 'cancelled', 'held'"),
        ("requeue", {"states": ["dead"], "destinations": ["x"]}, "destinations", "There is no destination x"),
        ("requeue", {"states": ["dead"], "sites": ["xx"]}, "sites", "There is no site xx in bridge.toml"),
        ("requeue", {"states": ["dead"], "action": "cancel"}, "", "To cancel, a reason is needed"),
        ("purge", {"sent_days": 0}, "sent_days", "Input should be greater than or equal to 1"),
        ("purge", {"log_days": "many"}, "log_days", "Input should be a valid integer"),
        ("purge", {"everything": True}, "everything", "Extra inputs are not permitted"),
        ("backfill", {}, "from_date", "Field required"),
        ("backfill", {"from_date": "1969-12-31"}, "from_date", "Input should be greater than or equal to 1970"),
        ("backfill", {"from_date": "2026-02-01", "to_date": "2026-01-01"}, "", "From (2026-02-01) lies after To"),
        ("backfill", {"from_date": "2026-02-01", "destinations": ["x"]}, "destinations", "There is no destination x"),
    ],
)
def test_what_a_run_would_refuse_is_refused_beside_its_field(
    browser: httpx.Client, name: str, conf: dict[str, Any], pointer: str, sentence: str
) -> None:
    refused = browser.post(f"/api/actions/{name}/count", json={"conf": conf})
    assert refused.status_code == 400
    [error] = refused.json()["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].startswith(sentence)
    assert refused.json()["detail"].endswith(".")


@pytest.mark.parametrize("body", [{}, {"conf": []}, {"conf": {}, "more": 1}, []])
def test_a_body_of_another_form_is_refused(browser: httpx.Client, body: object) -> None:
    assert browser.post("/api/actions/purge/count", json=body).status_code == 400


@pytest.mark.parametrize("name", ["requeue", "purge", "backfill"])
def test_only_who_may_manage_counts_and_only_from_our_page(
    panel: httpx.Client, looking: httpx.Client, name: str
) -> None:
    address = f"/api/actions/{name}/count"
    assert looking.post(address, json={"conf": {}}).status_code == 403
    assert panel.post(address, content='{"conf": {}}', headers={"Content-Type": "text/plain"}).status_code == 415
    assert panel.post(address, json={"conf": {}}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_a_count_that_takes_long_is_a_sentence_and_the_run_may_start(browser: httpx.Client, staging: Engine) -> None:
    with staging.begin() as transaction:
        transaction.execute(text("LOCK TABLE bridge.export_queue"))
        found = count(browser, "requeue", REQUEUE)
    assert found["items"] is None
    assert found["sentence"].startswith("There is more than can be counted in 8 seconds. The run will say how many")
    assert count(browser, "requeue", REQUEUE)["items"] == 0


def test_a_brief_look_ends_in_time_and_writes_nothing(staging: Engine) -> None:
    with (
        pytest.raises(TakesTooLong),
        staging.begin() as transaction,
        brief_look(transaction, within=timedelta(milliseconds=50)),
    ):
        transaction.execute(text("SELECT pg_sleep(60)"))
    with (
        pytest.raises(InternalError, match="read-only transaction"),
        staging.begin() as transaction,
        brief_look(transaction, within=timedelta(seconds=5)),
    ):
        transaction.execute(text("DELETE FROM bridge.export_queue"))
    with staging.begin() as transaction:  # the connection is as before
        assert transaction.execute(text("SHOW statement_timeout")).scalar_one() == "0"
        assert transaction.execute(text("SHOW transaction_read_only")).scalar_one() == "off"
