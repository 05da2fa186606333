"""Everything that ever happened to one item can be read back, in order, from the library and from the shell."""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.bridge import DESTINATION, Bridge
from totara_bridge.command import trace as command
from totara_bridge.errors import OracleRefused
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import by_hand, delivery, lease
from totara_bridge.staging.trace import Entry, Trace, items_of, trace
from totara_bridge.template import Template

pytestmark = pytest.mark.staging("has_read")

BROKEN = {"status": 500, "headers": {"Opc-Request-Id": "req-1"}, "body": {"error": {"message": "Database is down."}}}
REFUSED = {"item": "rejected", "code": "WLF-17", "message": "No such course."}


@pytest.fixture
def live(bridge: Bridge) -> Bridge:
    """A bridge past its baseline, that tells of corrections and withdrawals."""
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=True, withdrawals=True)])
    return bridge


def queued(bridge: Bridge, *, count: int = 1) -> list[int]:
    """The items of that many completions, just made and extracted."""
    for _ in range(count):
        bridge.totara.complete(*bridge.totara.pair_with(status=25))
    assert bridge.extract().queued == count
    rows = bridge.rows("SELECT id FROM bridge.export_queue ORDER BY id DESC LIMIT :count", count=count)
    bridge.later(minutes=1)
    return sorted(row["id"] for row in rows)


def trace_of(bridge: Bridge, item: int) -> Trace:
    """What happened to it; that it is in order."""
    with bridge.staging.connect() as transaction:
        found = trace(transaction, item_id=item)
    assert found is not None
    assert [each.at for each in found.entries] == sorted(each.at for each in found.entries)
    return found


def story(bridge: Bridge, item: int) -> list[str]:
    """The verbs, in order."""
    return [entry.what for entry in trace_of(bridge, item).entries]


def named(bridge: Bridge, item: int, verb: str) -> Entry:
    """The one entry with this verb."""
    [entry] = [each for each in trace_of(bridge, item).entries if each.what == verb]
    return entry


def by_a_person(bridge: Bridge, verb: Callable[..., by_hand.Done], item: int, **values: object) -> None:
    """Let ann do it."""
    with bridge.staging.begin() as transaction:
        assert verb(transaction, [item], by="ann", now=bridge.now, **values).done == 1
    bridge.later(minutes=1)


def key_of(bridge: Bridge, item: int) -> str:
    return trace_of(bridge, item).idempotency_key


def test_each_attempt_and_what_a_person_did_are_read_back_in_order(live: Bridge, oracle: SandboxOracle) -> None:
    [item] = queued(live)
    oracle.faults({"action": BROKEN})
    live.push(oracle)
    oracle.faults({"match": {"key": key_of(live, item)}, "action": REFUSED})
    assert live.push_later(oracle).dead == 1
    live.later(minutes=1)
    by_a_person(live, by_hand.requeue, item, words="the course is there now")
    oracle.faults()
    assert live.push(oracle).sent == 1
    found = trace_of(live, item)
    assert (found.state, found.destination, found.kind, found.revision) == ("sent", DESTINATION, "completion", 1)
    assert [(entry.what, entry.actor) for entry in found.entries] == [
        ("extract", "extract"),
        ("enqueue", "extract"),
        ("retry", "push"),
        ("reject", "push"),
        ("requeue", "ann"),
        ("acknowledge", "push"),
    ]
    failed, refused, requeued, sent = found.entries[2:]
    assert failed.request is not None
    assert (failed.request.http_status, failed.request.request_id, failed.request.items) == (500, "req-1", 1)
    assert failed.words == failed.request.error == "Database is down."
    assert refused.request is not None
    assert refused.request.http_status == 207
    assert refused.words == "No such course."
    assert (requeued.words, requeued.request) == ("the course is there now", None)
    assert sent.request is not None
    assert (sent.request.http_status, sent.request.outcome, sent.request.body_kept) == (200, "sent", False)
    assert sent.request.id > refused.request.id > failed.request.id
    assert sent.words == f"the destination calls it {oracle.items()[0]['reference']}"


def test_a_split_is_in_the_trace_of_all_that_it_met(live: Bridge, oracle: SandboxOracle) -> None:
    good, bad = queued(live, count=2)
    oracle.faults({"match": {"key": key_of(live, bad)}, "action": {"status": 400, "body": "cannot be read"}})
    live.push(oracle)
    assert story(live, good) == ["extract", "enqueue", "split", "acknowledge"]
    assert story(live, bad) == ["extract", "enqueue", "split", "reject"]
    split = named(live, bad, "split")
    assert split.words == "cannot be read"
    assert split.request is not None
    assert split.request == getattr(named(live, good, "split"), "request", None)
    assert (split.request.http_status, split.request.items) == (400, 2)


def test_a_destination_that_refuses_to_work_is_in_the_trace(live: Bridge, oracle: SandboxOracle) -> None:
    [item] = queued(live)
    oracle.faults({"action": {"status": 403, "body": "not for you"}})
    with pytest.raises(OracleRefused, match="let the client use this endpoint"):
        live.push(oracle)
    released = named(live, item, "release")
    assert "not for you" in (released.words or "")
    assert released.request is not None
    assert released.request.http_status == 403
    assert trace_of(live, item).state == "queued"


def test_a_cancelled_item_says_by_whom_and_why(live: Bridge) -> None:
    [item] = queued(live)
    by_a_person(live, by_hand.cancel, item, words="a test account")
    assert story(live, item) == ["extract", "enqueue", "cancel"]
    cancelled = named(live, item, "cancel")
    assert (cancelled.actor, cancelled.words) == ("ann", "a test account")


def test_what_totara_lost_before_it_was_posted_says_so(live: Bridge) -> None:
    [item] = queued(live)
    [found] = live.rows("SELECT user_id, course_id FROM bridge.completion_instance ORDER BY id DESC LIMIT 1")
    live.totara.delete_completion(found["user_id"], found["course_id"])
    assert live.extract().cancelled == 1
    assert sorted(story(live, item)[2:]) == ["cancel", "end"]


def test_a_correction_is_found_by_both_of_its_keys(live: Bridge, oracle: SandboxOracle) -> None:
    [item] = queued(live)
    live.push(oracle)
    live.later(minutes=1)
    found = trace_of(live, item)
    live.totara.edit_date(found.user_id, found.course_id, at=1_600_000_000)
    live.extract()
    live.later(minutes=1)
    live.push(oracle)
    [correction] = [row["id"] for row in live.rows("SELECT id FROM bridge.export_queue WHERE kind = 'correction'")]
    assert story(live, correction) == ["extract", "revise", "enqueue", "acknowledge"]
    assert "2020-09-13 12:26:40 UTC" in (named(live, correction, "revise").words or "")
    corrected = trace_of(live, correction)
    assert corrected.record_key == found.record_key != corrected.idempotency_key
    with live.staging.connect() as transaction:
        assert items_of(transaction, found.record_key) == [item, correction]
        assert items_of(transaction, corrected.idempotency_key) == [correction]
        assert items_of(transaction, "TBNOSUCHKEY") == []
        assert trace(transaction, item_id=-1) is None


def test_who_enqueued_it_is_told_after_a_resend_too(live: Bridge, oracle: SandboxOracle) -> None:
    [item] = queued(live)
    found = trace_of(live, item)
    live.push(oracle)
    live.later(minutes=1)
    live.totara.edit_date(found.user_id, found.course_id, at=1_600_000_000)
    live.extract()
    live.later(minutes=1)
    assert live.backfill().queued > 0
    live.later(minutes=1)
    live.push(oracle)
    live.later(minutes=1)
    [correction] = [row["id"] for row in live.rows("SELECT id FROM bridge.export_queue WHERE kind = 'correction'")]
    [past] = live.rows("SELECT max(id) AS id FROM bridge.export_queue")
    for each, who in ((correction, "extract"), (past["id"], "backfill")):
        assert named(live, each, "enqueue").actor == who
        by_a_person(live, by_hand.resend, each)
        assert named(live, each, "enqueue").actor == who


def test_what_came_back_was_enqueued_by_an_extract(live: Bridge, oracle: SandboxOracle) -> None:
    [lost] = queued(live)
    found = trace_of(live, lost)
    live.totara.regress(found.user_id, found.course_id)
    live.extract()
    live.later(minutes=1)
    live.totara.complete(found.user_id, found.course_id)
    assert live.extract().queued == 1
    live.later(minutes=1)
    [item] = [row["id"] for row in live.rows("SELECT id FROM bridge.export_queue WHERE id <> :lost", lost=lost)]
    live.push(oracle)
    live.later(minutes=1)
    by_a_person(live, by_hand.resend, item)
    assert named(live, item, "enqueue").actor == "extract"


def test_the_template_is_the_one_that_it_was_made_with_at_last(live: Bridge) -> None:
    first, second = (
        Template.model_validate({"name": "mine", "version": version, "fields": {"key": "item_key", "n": field}})
        for version, field in ((1, {"source": "learner_number", "required": True}), (2, "learner_number"))
    )
    live.plan = replace(live.plan, destinations=[Wants(DESTINATION, template=first)])
    live.totara.complete(*live.totara.pair_with(status=25))
    assert live.extract().held == 1
    [row] = live.rows("SELECT id FROM bridge.export_queue")
    live.later(minutes=1)
    assert (trace_of(live, row["id"]).template, named(live, row["id"], "enqueue").words) == ("mine/1", None)
    assert unhold(live.staging, Wants(DESTINATION, template=second), live.now) == 1
    assert trace_of(live, row["id"]).template == "mine/2"
    assert "the template mine/1 needs" in (named(live, row["id"], "hold").words or "")
    assert named(live, row["id"], "enqueue").words is None


def test_a_second_sending_does_not_hide_the_first(live: Bridge, oracle: SandboxOracle) -> None:
    [item] = queued(live)
    for _ in range(2):
        live.push(oracle)
        live.later(minutes=1)
        by_a_person(live, by_hand.resend, item)
    live.push(oracle)
    entries = trace_of(live, item).entries[2:]
    assert [entry.what for entry in entries] == ["acknowledge", "resend"] * 2 + ["acknowledge"]
    sent = [entry.request for entry in entries if entry.what == "acknowledge"]
    assert [request and request.http_status for request in sent] == [200] * 3
    assert len({request.id for request in sent if request is not None}) == 3
    assert oracle.times_received() == {key_of(live, item): 3}


def test_a_sender_that_went_silent_and_its_late_answer_are_both_told(live: Bridge) -> None:
    [item] = queued(live)
    token = uuid4()
    with live.staging.begin() as transaction:
        until = live.now + timedelta(seconds=90)
        lease.claim(transaction, destination=DESTINATION, token=token, limit=10, now=live.now, lease_until=until)
    assert story(live, item) == ["extract", "enqueue", "claim"]
    live.later(minutes=2)
    with live.staging.begin() as transaction:
        assert lease.release_expired(transaction, destination=DESTINATION, now=live.now) == 1
    assert "went silent" in (named(live, item, "release").words or "")
    for sent in (1, 0):
        live.later(minutes=1)
        with live.staging.begin() as transaction:
            log_id = 100 + sent
            assert delivery.acknowledge(transaction, token, {item: "R"}, log_id=log_id, now=live.now) == sent
    assert story(live, item) == ["extract", "enqueue", "release", "acknowledge", "late"]


def test_what_goes_well_writes_nothing_but_the_log_of_its_request(live: Bridge, oracle: SandboxOracle) -> None:
    queued(live, count=5)
    assert live.push(oracle).sent == 5
    [written] = live.rows(
        "SELECT (SELECT count(*) FROM bridge.item_event) AS events, "
        "(SELECT count(*) FROM bridge.export_log) AS requests"
    )
    assert written == {"events": 0, "requests": 1}


def ask(arguments: Sequence[str]) -> int:
    """Run the command as the shell would."""
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    parsed = parser.parse_args(["trace", *arguments])
    return int(parsed.run(parsed))


@pytest.fixture
def shell(live: Bridge, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    """A bridge whose staging database is the one that commands use."""
    url = live.staging.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url)
    return live


def test_the_command_prints_each_item_of_a_key(
    shell: Bridge, oracle: SandboxOracle, capsys: pytest.CaptureFixture[str]
) -> None:
    [item] = queued(shell)
    oracle.faults({"action": BROKEN})
    shell.push(oracle)
    assert ask(["--item", str(item)]) == 0
    printed = capsys.readouterr().out
    assert ask(["--key", key_of(shell, item)]) == 0
    assert capsys.readouterr().out == printed
    head, *lines = printed.splitlines()
    assert head.startswith(f"Item {item} is failed: completion, revision 1, to {DESTINATION}, of the completion TB")
    assert head.endswith("), made with the template default/2")
    failed = trace_of(shell, item).entries[-1]
    assert lines[-2] == f"  {failed.at:%Y-%m-%d %H:%M:%S}  retry by push: Database is down."
    assert "HTTP 500 after" in lines[-1]
    assert "the destination calls it req-1" in lines[-1]


@pytest.mark.parametrize("arguments", [["--item", "999999"], ["--item", "9" * 30], ["--key", "TBNOSUCHKEY"]])
def test_an_item_that_is_not_there_is_a_sentence(
    shell: Bridge, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert ask(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "There is no item" in printed.err
    assert arguments[1] in printed.err
