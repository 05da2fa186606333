"""Several senders at one queue share it: nothing goes twice while they live, and what the dead held is taken over."""

from datetime import timedelta

import pytest

from tests.chaos.matrix import Conclude
from tests.chaos.scene import Scene
from tests.chaos.sender import DRAINED
from tests.chaos.staging import ITEMS

OPEN, BATCH = 4, 25


@pytest.mark.parametrize("senders", [2, 4])
def test_senders_at_once(scene: Scene, conclude: Conclude, senders: int) -> None:
    scene.oracle.faults({"match": {"next": senders * OPEN}, "action": {"hang": "after"}})
    started = [scene.start(batch_size=BATCH) for _ in range(senders)]
    scene.oracle.wait(in_flight=senders * OPEN)
    scene.oracle.release()
    reports = [sender.report() for sender in started]
    assert {report.ended for report in reports} == {DRAINED}
    assert sum(report.counts["sent"] for report in reports) == ITEMS
    row = conclude()
    assert (row.received, row.duplicates) == (ITEMS, 0)


@pytest.mark.parametrize(
    ("senders", "killed"), [(2, 1), (4, 2), (4, 4)], ids=["one of two", "two of four", "all of four"]
)
def test_senders_at_once_and_killed(scene: Scene, conclude: Conclude, senders: int, killed: int) -> None:
    scene.oracle.faults({"match": {"next": senders * OPEN}, "action": {"hang": "after"}})
    started = [scene.start(batch_size=BATCH) for _ in range(senders)]
    scene.oracle.wait(in_flight=senders * OPEN, keys_stored=senders * OPEN * BATCH)
    scene.kill(*started[:killed])
    scene.oracle.release()
    assert {sender.report().ended for sender in started[killed:]} <= {DRAINED}
    assert conclude().duplicates == killed * OPEN * BATCH


def test_a_lease_runs_out_while_its_requests_are_open(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.faults({"match": {"next": OPEN}, "action": {"hang": "after"}})
    late = scene.start(batch_size=BATCH)
    scene.oracle.wait(in_flight=OPEN, keys_stored=OPEN * BATCH)
    report = scene.drain(ahead=timedelta(hours=1), batch_size=BATCH)
    assert (report.ended, report.counts["sent"]) == (DRAINED, ITEMS)
    scene.oracle.release()
    report = late.report()
    assert (report.ended, report.counts["sent"]) == (DRAINED, 0)
    # by its own clock the leases of what it had claimed ahead still ran
    assert OPEN * BATCH <= conclude().duplicates <= 2 * OPEN * BATCH
