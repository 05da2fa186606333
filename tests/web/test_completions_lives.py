"""What happens to a completion in Totara, as a puller is told of it who follows the cursor."""

from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import SITE, Bridge
from tests.web.puller import Puller
from totara_bridge.erase import erase

Pair = tuple[int, int]

MARCH, APRIL = 1_772_323_200, 1_775_001_600  # 2026


class Follower:
    """Follows the completions of one learner in one course."""

    def __init__(self, bridge: Bridge, puller: Puller, pair: Pair) -> None:
        self._bridge, self._puller, self.pair = bridge, puller, pair
        self._cursor = puller.fetch(since="2000-01-01", userid=pair[0], courseid=pair[1])["cursor"]

    def told(self) -> dict[str, Any]:
        """The one thing that is new once the site was extracted again."""
        [item] = self.all_told()
        assert item["id"] == f"{SITE}-{self.pair[0]}-{self.pair[1]}"
        return item

    def all_told(self) -> list[dict[str, Any]]:
        """All that is."""
        self._bridge.later(minutes=1)
        self._bridge.extract()
        page = self._puller.fetch(cursor=self._cursor)
        self._cursor = page["cursor"]
        return list(page["items"])


@pytest.fixture
def follower(bridge: Bridge, puller: Puller) -> Follower:
    """Of a learner who has begun."""
    pair = bridge.totara.new_user(username="zoe", firstname="Zbigniewa"), bridge.totara.new_course()
    bridge.totara.enrol(*pair)
    bridge.totara.start(*pair)
    bridge.extract()
    return Follower(bridge, puller, pair)


def test_a_completion(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete(*follower.pair, at=MARCH)
    item = follower.told()
    assert (item["status"], item["timecompleted"]) == ("complete", "2026-03-01T00:00:00+00:00")
    [instance] = item["instances"]
    assert instance == {
        "recordKey": instance["recordKey"],
        "revision": 1,
        "status": "complete",
        "timecompleted": "2026-03-01T00:00:00+00:00",
        "archived": False,
        "ended": False,
    }
    assert instance["recordKey"].startswith("TB")
    assert follower.all_told() == []


def test_an_amended_date(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete(*follower.pair, at=MARCH)
    [before] = follower.told()["instances"]
    bridge.totara.edit_date(*follower.pair, at=APRIL)
    [after] = follower.told()["instances"]
    assert after == before | {"revision": 2, "timecompleted": "2026-04-01T00:00:00+00:00"}


def test_a_recertification(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete(*follower.pair, at=MARCH)
    [first] = follower.told()["instances"]
    bridge.totara.archive(*follower.pair)
    bridge.totara.recreate(*follower.pair)
    reset = follower.told()
    assert reset["status"] != "complete"
    assert reset["instances"] == [first | {"archived": True}]
    bridge.totara.complete(*follower.pair, at=APRIL)
    again = follower.told()["instances"]
    assert [(each["timecompleted"][:10], each["archived"]) for each in again] == [
        ("2026-03-01", True),
        ("2026-04-01", False),
    ]
    assert again[0]["recordKey"] == first["recordKey"] != again[1]["recordKey"]


def test_an_imported_history(bridge: Bridge, follower: Follower) -> None:
    """The completion's own row stays as it was."""
    bridge.totara.complete(*follower.pair, at=APRIL)
    before = follower.told()
    _import_history(bridge, *follower.pair)
    after = follower.told()
    assert after["version"] > before["version"]
    assert [each["timecompleted"][:10] for each in after["instances"]] == ["2026-03-01", "2026-04-01"]
    same = {"instances", "version", "changedAt"}
    assert {name: value for name, value in after.items() if name not in same} == {
        name: value for name, value in before.items() if name not in same
    }
    assert follower.all_told() == []


def test_prior_learning(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete_by_rpl(*follower.pair, at=MARCH, note="a certificate")
    item = follower.told()
    assert (item["status"], item["rpl"], item["instances"][0]["status"]) == (
        "complete_rpl", "a certificate", "complete_rpl",
    )  # fmt: skip


def test_a_completion_without_a_date(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete_without_date(*follower.pair)
    item = follower.told()
    assert (item["status"], item["timecompleted"]) == ("complete", None)
    assert [each["timecompleted"] for each in item["instances"]] == [None]


def test_a_deletion(bridge: Bridge, follower: Follower) -> None:
    bridge.totara.complete(*follower.pair, at=MARCH)
    assert follower.told()["deleted"] is False
    bridge.totara.delete_completion(*follower.pair)
    item = follower.told()
    assert item["deleted"] is True
    assert item["instances"][0]["ended"] is True


def test_a_rename_is_no_change_of_a_completion(bridge: Bridge, follower: Follower, puller: Puller) -> None:
    bridge.totara.rename_user(follower.pair[0], "Łukasik")
    assert follower.all_told() == []
    [item] = puller.fetch(since="2000-01-01", userid=follower.pair[0])["items"]
    assert item["user"]["lastname"] == "Łukasik"


def test_a_learner_who_is_erased(bridge: Bridge, follower: Follower, puller: Puller) -> None:
    bridge.totara.complete_by_rpl(*follower.pair, at=MARCH, note="certificate of Zbigniewa")
    before = follower.told()
    puller.post("/acknowledgements", [{"id": before["id"], "status": "processed", "reference": "Zbigniewa"}])
    erase(bridge.staging, site=SITE, user_id=follower.pair[0], by="ann", dry_run=False, now=bridge.now)
    item = follower.told()
    assert item == before | {
        "version": item["version"],
        "changedAt": item["changedAt"],
        "deleted": True,
        "status": "not_started",
        "user": None,
        "instances": [],
    } | dict.fromkeys(("progress", "grade", "rpl", "timeenrolled", "timestarted", "timecompleted", "acknowledgement"))
    assert puller.fetch(f"/completions/{item['id']}") == item
    assert "Zbigniewa" not in puller.get("/completions", since="2000-01-01", accept="text/csv").content.decode()


@pytest.mark.parametrize("name", ["status", "completed_since", "completed_until", "username", "email", "idnumber"])
def test_who_filters_is_told_of_an_erasure_too(bridge: Bridge, follower: Follower, puller: Puller, name: str) -> None:
    """Although the bridge does not know any more that it is what they asked for."""
    bridge.totara.complete(*follower.pair, at=MARCH)
    item = follower.told()
    learner = {"username": "zoe", "email": item["user"]["email"], "idnumber": item["user"]["idnumber"]}
    wanted = {"status": "complete", "completed_since": "2026-01-01", "completed_until": "2027-01-01"} | learner
    page = puller.fetch(since="2000-01-01", limit=5000, **{name: wanted[name] or "none"})
    assert (item["id"] in {each["id"] for each in page["items"]}) is bool(wanted[name])
    erase(bridge.staging, site=SITE, user_id=follower.pair[0], by="ann", dry_run=False, now=bridge.now)
    [gone] = puller.fetch(cursor=page["cursor"])["items"]
    assert (gone["id"], gone["deleted"], gone["user"]) == (item["id"], True, None)
    again = puller.fetch(since="2000-01-01", limit=5000, **{name: wanted[name] or "none"})["items"]
    assert item["id"] not in {each["id"] for each in again}


def test_a_history_without_a_completion(bridge: Bridge, puller: Puller) -> None:
    """Of who completed the course once and has no row in it any more: so also at the first extract."""
    first, later = (bridge.totara.new_user(username=name) for name in ("ann", "bob"))
    course = bridge.totara.new_course()
    _import_history(bridge, first, course)
    bridge.extract()
    items = {each["userId"]: each for each in _all(puller)}
    assert [each["timecompleted"][:10] for each in items[first]["instances"]] == ["2026-03-01"]
    assert (items[first]["deleted"], items[first]["status"]) == (True, "not_started")
    cursor = puller.fetch(since="2000-01-01", userid=later)["cursor"]
    _import_history(bridge, later, course)
    bridge.later(minutes=1)
    bridge.extract()
    [told] = puller.fetch(cursor=cursor)["items"]
    assert (told["deleted"], len(told["instances"])) == (True, 1)
    bridge.later(minutes=1)
    bridge.full_compare()
    assert puller.fetch(cursor=cursor)["items"] == [told]
    bridge.totara.enrol(later, course)
    bridge.later(minutes=1)
    bridge.extract()
    [told] = puller.fetch(cursor=cursor)["items"]
    assert (told["deleted"], len(told["instances"])) == (False, 1)


def _import_history(bridge: Bridge, user: int, course: int) -> None:
    """As Totara's import does it: a row of history and one of the log."""
    values = {"user": user, "course": course, "at": MARCH}
    with bridge.totara.engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO ttr_course_completion_history (courseid, userid, timecompleted)"
                " VALUES (:course, :user, :at)"
            ),
            values,
        )
        connection.execute(
            text(
                "INSERT INTO ttr_course_completion_log (courseid, userid, changeuserid, description, timemodified)"
                " VALUES (:course, :user, 2, 'imported', extract(epoch FROM now()))"
            ),
            values,
        )


def _all(puller: Puller) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    page = puller.fetch(since="2000-01-01")
    while page["items"]:
        items += page["items"]
        page = puller.fetch(cursor=page["cursor"])
    return items
