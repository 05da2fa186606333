"""A sender that is killed at any moment loses nothing, and nothing has an effect twice."""

from pathlib import Path

import pytest

from tests.chaos.matrix import Conclude
from tests.chaos.scene import Scene
from tests.chaos.sender import DRAINED, TOLD
from tests.chaos.staging import ITEMS

#: What a sender has under way: open requests, items in each and in all of them.
OPEN, BATCH, POSTED = 4, 100, 400

#: What it has claimed: one batch is claimed ahead of each open request.
BATCHES, CLAIMED = 8, 800


def test_killed_before_it_sends(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.faults({"match": {"endpoint": "token"}, "action": {"hang": "before"}})
    sender = scene.start()
    scene.until("all of its batches are claimed", lambda: scene.states().get("sending") == CLAIMED)
    scene.until("it asks for a token", lambda: scene.oracle.received()["token_requests"] == 1)
    assert scene.oracle.received()["requests"] == 0
    scene.kill(sender)
    assert scene.states()["sending"] == CLAIMED
    row = conclude()
    assert (row.received, row.duplicates) == (ITEMS, 0)


@pytest.mark.parametrize(("when", "stored"), [("before", 0), ("after", POSTED)], ids=["not stored yet", "stored"])
def test_killed_after_it_sent_and_before_the_answer(scene: Scene, conclude: Conclude, when: str, stored: int) -> None:
    scene.oracle.faults({"action": {"hang": when}})
    sender = scene.start()
    scene.oracle.wait(in_flight=OPEN, keys_stored=stored)
    scene.until("all of its batches are claimed", lambda: scene.states().get("sending") == CLAIMED)
    received = scene.oracle.received()
    assert (received["in_flight"], received["by_status"], received["keys_stored"]) == (OPEN, {}, stored)
    scene.kill(sender)
    assert scene.states()["sending"] == CLAIMED
    scene.oracle.release()
    scene.oracle.wait(keys_stored=POSTED)
    assert conclude().duplicates == POSTED


def test_killed_after_the_answer_and_before_it_is_written_down(scene: Scene, conclude: Conclude) -> None:
    with scene.settling_blocked():
        sender = scene.start()
        scene.until("all of its answers wait to be written down", lambda: scene.blocked("INSERT") == BATCHES)
        assert scene.oracle.received()["by_status"] == {"200": BATCHES}
        assert scene.states()["sending"] == CLAIMED
        scene.kill(sender)
    assert conclude().duplicates == CLAIMED


@pytest.mark.parametrize(
    ("disconnected", "duplicates"),
    [(True, CLAIMED), (False, CLAIMED - BATCH)],
    ids=["rolled back", "committed all the same"],
)
def test_killed_after_the_answer_while_it_commits(
    scene: Scene, conclude: Conclude, disconnected: bool, duplicates: int
) -> None:
    with scene.commit_blocked():
        sender = scene.start()
        scene.until("all of its answers are being written down", lambda: scene.blocked() == BATCHES)
        assert scene.blocked("COMMIT") == 1, "the others wait for the row of the hour"
        assert scene.oracle.received()["by_status"] == {"200": BATCHES}
        assert scene.states()["sending"] == CLAIMED
        scene.kill(sender)
        if disconnected:
            scene.disconnect()
    assert conclude().duplicates == duplicates


def test_stopped_by_sigterm(scene: Scene, conclude: Conclude, tmp_path: Path) -> None:
    scene.oracle.faults({"action": {"hang": "after"}})
    sender = scene.start()
    scene.oracle.wait(in_flight=OPEN, keys_stored=POSTED)
    sender.terminate()
    scene.until("it was told", lambda: TOLD in (tmp_path / "senders.log").read_text())
    scene.oracle.faults()
    scene.oracle.release()
    report = sender.report()
    assert (report.ended, report.counts["sent"]) == (DRAINED, POSTED)
    assert scene.states() == {"sent": POSTED, "queued": ITEMS - POSTED}
    row = conclude()
    assert (row.received, row.duplicates) == (ITEMS, 0)
