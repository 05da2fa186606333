"""PostgreSQL may crash while items are on their way: senders end with its error or go on, and nothing is lost."""

from tests.chaos.matrix import Conclude
from tests.chaos.scene import Scene
from tests.chaos.sender import DRAINED
from tests.chaos.staging import ITEMS

#: What a sender has under way: open requests, and the items in them.
OPEN, BATCH, POSTED = 4, 100, 400

#: What it has claimed: one batch is claimed ahead of each open request.
BATCHES, CLAIMED = 8, 800


def claimed(scene: Scene) -> bool:
    return scene.states().get("sending") == CLAIMED


def test_postgresql_restarted_while_requests_are_open(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.faults({"match": {"next": OPEN}, "action": {"hang": "after"}})
    sender = scene.start()
    scene.oracle.wait(in_flight=OPEN, keys_stored=POSTED)
    scene.until("all of its batches are claimed", lambda: claimed(scene))
    scene.crash_staging()
    scene.staging.start()
    assert scene.states()["sending"] == CLAIMED
    scene.oracle.release()
    report = sender.report()
    assert (report.ended, report.counts["sent"]) == (DRAINED, ITEMS)
    assert conclude().duplicates == 0


def test_postgresql_down_when_the_answers_come(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.faults({"match": {"next": OPEN}, "action": {"hang": "after"}})
    sender = scene.start()
    scene.oracle.wait(in_flight=OPEN, keys_stored=POSTED)
    scene.until("all of its batches are claimed", lambda: claimed(scene))
    scene.crash_staging()
    scene.oracle.release()
    report = sender.report()
    scene.staging.start()
    assert report.ended == "OperationalError", report
    answered = scene.oracle.received()["by_status"]["200"]
    assert OPEN <= answered <= BATCHES, "what was claimed ahead may have been sent before the first error"
    assert scene.states() == {"sending": CLAIMED, "queued": ITEMS - CLAIMED}
    assert conclude().duplicates == answered * BATCH


def test_postgresql_crashed_while_an_answer_is_committed(scene: Scene, conclude: Conclude) -> None:
    with scene.commit_blocked():
        sender = scene.start()
        scene.until("all of its answers are being written down", lambda: scene.blocked() == BATCHES)
        assert scene.blocked("COMMIT") == 1
        assert scene.oracle.received()["by_status"] == {"200": BATCHES}
        scene.crash_staging()
    report = sender.report()
    scene.staging.start()
    assert report.ended == "OperationalError", report
    assert scene.states() == {"sending": CLAIMED, "queued": ITEMS - CLAIMED}
    assert conclude().duplicates == CLAIMED
