"""Whatever is answered at any moment: all items arrive, each has one effect, and nobody is left sending."""

import random

import pytest

from tests.chaos.answers import ANSWERS, Answer
from tests.chaos.matrix import Conclude
from tests.chaos.scene import Scene
from tests.chaos.sender import DRAINED
from tests.chaos.staging import ITEMS

#: Requests that 1 000 items need.
REQUESTS = 10


@pytest.mark.parametrize("name", ANSWERS)
def test_answered(scene: Scene, conclude: Conclude, name: str) -> None:
    answer, dice = ANSWERS[name], random.Random(name)
    scene.oracle.faults(*faults(scene, answer, dice))
    report = scene.drain(timeout=answer.timeout)
    assert report.ended in answer.ends, report
    row = conclude()
    assert row.faults > 0, "the fault met no request"
    assert answer.stored in (None, row.duplicates > 0), row


def faults(scene: Scene, answer: Answer, dice: random.Random) -> list[dict[str, object]]:
    """The orders for the sandbox."""
    if answer.match.get("item"):
        keys = [row["idempotency_key"] for row in scene.rows("SELECT idempotency_key FROM bridge.export_queue")]
        return [{"match": {"key": key}, "action": answer.action} for key in dice.sample(sorted(keys), answer.times)]
    if answer.match:
        return [{"match": answer.match, "action": answer.action}]
    met = dice.sample(range(1, REQUESTS), answer.times)
    return [{"match": {"nth": nth}, "action": answer.action} for nth in met]


def test_only_204(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.settings(empty_answers=True)
    assert scene.drain().ended == DRAINED
    row = conclude()
    assert (row.received, row.duplicates) == (ITEMS, 0)


def test_token_expired(scene: Scene, conclude: Conclude) -> None:
    scene.oracle.faults({"match": {"next": 1}, "action": {"hang": "before"}})
    sender = scene.start()
    scene.oracle.wait(in_flight=1)
    scene.oracle.revoke_tokens()
    scene.oracle.release()
    assert sender.report().ended == DRAINED
    received = scene.oracle.received()
    assert received["by_status"]["401"] > 0
    assert received["tokens_issued"] > 1
    assert conclude().duplicates == 0


def test_an_earlier_answer_in_place_of_a_refusal(scene: Scene, conclude: Conclude) -> None:
    again, refused = {"twice": "late"}, {"status": 503}
    scene.oracle.faults({"match": {"nth": 2}, "action": again}, {"match": {"nth": 3}, "action": refused})
    report = scene.drain(requests_in_flight=1)
    failed, batch = report.counts["failed"], ITEMS // REQUESTS
    # the drain's two threads take turns: where the refused request is on the other connection, the earlier answer
    # comes in place of a later request's, which was stored and counts as failed all the same
    assert (report.ended, failed) in [(DRAINED, batch), (DRAINED, 2 * batch)]
    # a wait may be next to nothing: then an item was sent again before the drain came to its end
    states = scene.states()
    assert states["failed"] in range(failed - 5, failed + 1)
    assert states["sent"] == ITEMS - states["failed"]
    row = conclude()
    assert (row.faults, row.duplicates) == (2, failed - batch)
