"""What must be so when all is over, found by asking everybody in their own words: Totara's tables, Oracle, the puller.

Nothing of the bridge's own code says here what should be where.
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from tests.chaos.whole.scene import NeverCame, Scene
from tests.production.delivery import EXTRACT, PUSH

RECONCILE, WATCH = "reconcile_completions", "watch_delivery"

#: Learner, course, and when it was completed.
Completed = tuple[int, int, str]

_FEW = 5
_ALL = 1_000_000
_WITHDRAWAL = "withdrawal"


def settle(scene: Scene) -> None:
    """Nothing goes wrong and nothing happens in Totara any more: the rest is delivered, and everything is compared."""
    scene.life.end()
    deliver(scene)
    scene.run(RECONCILE, repair=False)
    scene.run(WATCH)
    before = _under_way(scene)
    scene.until(f"none of {before} is under way any more", lambda: not before & _under_way(scene))


def deliver(scene: Scene) -> None:
    """All that there is in Totara goes to its end: to Oracle, and to the puller."""
    scene.until_well()
    scene.run(EXTRACT)
    end = time.monotonic() + scene.patience
    while scene.open_items():
        if time.monotonic() > end:
            raise NeverCame(f"Items do not come to their end, though pushes do: {scene.states()}.")
        scene.run(PUSH)
    scene.follower.end()


def broken(scene: Scene) -> Iterator[str]:
    """Every promise that was not kept, as sentences."""
    stored = scene.oracle.items(limit=_ALL)
    yield from lost_or_doubled(scene, stored)
    yield from _queue(scene, [each["key"] for each in stored])
    for alert in scene.rows("SELECT name, subject, words FROM bridge.alert WHERE resolved_at IS NULL"):
        yield f"the alert {alert['name']} of {alert['subject']} is still open: {alert['words']}"
    [compared] = scene.rows("SELECT * FROM bridge.reconciliation ORDER BY id DESC LIMIT 1")
    if any(compared[each] for each in ("missing", "extra", "different", "pending")):
        yield f"reconcile_completions found differences: {compared}"


def lost_or_doubled(scene: Scene, stored: Iterable[Mapping[str, Any]], *, after: int = 0) -> Iterator[str]:
    """What Oracle or the puller has otherwise than Totara, or the puller otherwise than staging, as sentences.

    :param stored: what Oracle has.
    :param after: only learners with a higher id are compared with Totara.
    """
    with scene.totara.connect() as connection:
        totara = Counter((row.userid, row.course, _written(row.at)) for row in connection.execute(_COMPLETED))
        learners = set(connection.scalars(_LEARNERS))

    def of_them(has: Counter[Completed]) -> Counter[Completed]:
        return Counter(each for each in has.elements() if each[0] in learners and each[0] > after)

    yield from _different(of_them(totara), "Oracle", of_them(_at_oracle(stored)))
    yield from _different(of_them(totara), "the puller's copy", of_them(_at_puller(scene.follower.copy.values())))
    yield from _copy(scene)


def _under_way(scene: Scene) -> set[str]:
    """The runs that have not ended."""
    found = scene.airflow.api("GET", "dags/~/dagRuns", params={"state": ["queued", "running"], "limit": 100})
    return {f"{run['dag_id']} {run['dag_run_id']}" for run in found["dag_runs"]}


#: Whose account is not deleted: who was deleted before the bridge came has nothing sent.
_LEARNERS = text("SELECT id FROM ttr_user WHERE deleted = 0")

#: Every completion that Totara has now, archived or not.
_COMPLETED = text(
    """
    SELECT * FROM (
        SELECT userid, course, timecompleted AS at FROM ttr_course_completions WHERE status IN (50, 75)
        UNION ALL
        SELECT userid, courseid, timecompleted FROM ttr_course_completion_history) completed
    WHERE at IS NOT NULL
      AND EXISTS (SELECT FROM ttr_course WHERE id = course AND containertype = 'container_course')
    """
)


def _at_oracle(stored: Iterable[Mapping[str, Any]]) -> Counter[Completed]:
    """What Oracle takes to be so: of each completion the last thing that it was told, unless that it is withdrawn."""
    last: dict[str, Mapping[str, Any]] = {}
    # a withdrawal has the revision of what it takes back
    for item in sorted(
        (each["payload"] for each in stored), key=lambda each: (each["revision"], each["kind"] == _WITHDRAWAL)
    ):
        last[item["recordKey"]] = item
    return Counter(
        (item["userId"], item["courseId"], item["timecompleted"])
        for item in last.values()
        if item["kind"] != _WITHDRAWAL
    )


def _at_puller(copy: Iterable[Mapping[str, Any]]) -> Counter[Completed]:
    """What whoever follows the Pull API takes to be so: the instances that have not ended."""
    return Counter(
        (item["userId"], item["courseId"], _written(datetime.fromisoformat(instance["timecompleted"]).timestamp()))
        for item in copy
        for instance in item["instances"]
        if not instance["ended"] and instance["timecompleted"]
    )


def _different(totara: Counter[Completed], other: str, found: Counter[Completed]) -> Iterator[str]:
    if lost := totara - found:
        yield f"lost: {other} lacks {lost.total()} completions of Totara, such as {[*lost.elements()][:_FEW]}"
    if extra := found - totara:
        yield f"twice or untrue: {other} has {extra.total()} that Totara has not, such as {[*extra.elements()][:_FEW]}"


def _queue(scene: Scene, stored: list[str]) -> Iterator[str]:
    """Each item came to its end, and Oracle has each that was sent, once, as it was queued."""
    states = scene.states()
    if not_over := {state: items for state, items in states.items() if state not in ("sent", "cancelled")}:
        yield f"items of the queue have not come to their end: {not_over}"
    sent = [row["key"] for row in scene.rows(_SENT)]
    if lost := set(sent) - set(stored):
        yield f"Oracle lacks {len(lost)} items that count as sent: {sorted(lost)[:_FEW]}"
    if unknown := set(stored) - set(sent):
        yield f"Oracle has {len(unknown)} items that do not count as sent: {sorted(unknown)[:_FEW]}"
    ledger = {str(row["key"]) for row in scene.rows(_LEDGER)}
    if wrong := ledger ^ set(sent):
        yield f"{len(wrong)} items are in the delivery ledger alone or in the queue alone: {sorted(wrong)[:_FEW]}"
    if conflicts := scene.oracle.received()["conflicts"]:
        yield f"{conflicts} times a key came again with another body"


_SENT = "SELECT idempotency_key AS key FROM bridge.export_queue WHERE state = 'sent'"

#: What counts as delivered, by the item's key; where no item of the queue is it, by itself.
_LEDGER = """
    SELECT coalesce(q.idempotency_key, d::text) AS key
    FROM bridge.delivery d LEFT JOIN bridge.export_queue q USING (destination, instance_id, kind, revision)
"""


def _copy(scene: Scene) -> Iterator[str]:
    """The puller's copy is what staging has, and staging knows that the puller has it."""
    staged = {row["id"]: (row["version"], row["status"], row["deleted"]) for row in scene.rows(_STAGED)}
    copy = {name: (each["version"], each["status"], each["deleted"]) for name, each in scene.follower.copy.items()}
    if wrong := {name for name in staged.keys() | copy.keys() if staged.get(name) != copy.get(name)}:
        some = {name: (staged.get(name), copy.get(name)) for name in sorted(wrong)[:_FEW]}
        yield f"{len(wrong)} completions are otherwise in the puller's copy than in staging: {some}"
    if untold := scene.follower.unacknowledged():
        yield f"{untold} completions are not acknowledged, though the puller did that"


_STAGED = """
    SELECT site || '-' || user_id || '-' || course_id AS id, change_seq AS version, status,
           deleted_at IS NOT NULL AS deleted
    FROM bridge.completion
"""


def _written(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
