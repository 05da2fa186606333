"""What changes between a question and the next, while a learner is erased or a completion acknowledged."""

import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from sqlalchemy import Engine, text

from tests.bridge import SITE, Bridge
from tests.web import merging
from tests.web.following import Following, follow
from tests.web.merging import merge
from tests.web.puller import Puller
from tests.web.seen import Journal, State, last_of
from totara_bridge import erase
from totara_bridge.completion import Status
from totara_bridge.staging import setting, site

COMPLETE = (Status.COMPLETE, 1_700_000_000)
STARTED = (Status.IN_PROGRESS, None)
PAIR, ID = (1, 1), f"{SITE}-1-1"


def unacknowledged(puller: Puller, **asked: Any) -> dict[str, int]:
    """What the caller has not acknowledged as it is now, with the versions."""
    page = puller.fetch(acknowledged="false", since="1970-01-01", limit=5000, **asked)
    assert not page["more"]
    return {item["id"]: item["version"] for item in page["items"]}


def acknowledge(puller: Puller, versions: dict[str, int | None]) -> list[str]:
    """Say that they were processed, of these versions or of those that there are; what becomes of each."""
    said = [
        {"id": name, "status": "processed"} | ({} if version is None else {"version": version})
        for name, version in versions.items()
    ]
    answer = puller.post("/acknowledgements", said)
    assert answer.status_code == 200, answer.text
    return [each["result"] for each in answer.json()["results"]]


@pytest.fixture
def staged(staging: Engine) -> Engine:
    """One completion that was begun."""
    with staging.begin() as transaction:
        site.recognise(transaction, site=SITE, connection=SITE, fingerprint=1, now=datetime.now(UTC))
        setting.write(transaction, name="pull_per_minute", value=10_000_000, by="ann", now=datetime.now(UTC))
    merge(staging, site=SITE, said={PAIR: STARTED}, now=datetime.now(UTC))
    return staging


def test_a_change_between_fetching_and_acknowledging_stays_unacknowledged(staged: Engine, puller: Puller) -> None:
    fetched = unacknowledged(puller)
    merge(staged, site=SITE, said={PAIR: COMPLETE}, now=datetime.now(UTC))
    assert acknowledge(puller, {**fetched}) == ["outdated"]
    [(name, version)] = unacknowledged(puller).items()
    assert (name, version > fetched[name]) == (ID, True)
    assert acknowledge(puller, {ID: version}) == ["recorded"]
    assert unacknowledged(puller) == {}


@pytest.mark.parametrize("versioned", [True, False], ids=["with the version", "without"])
def test_a_change_that_commits_after_the_acknowledgement_stays_unacknowledged(
    staged: Engine, puller: Puller, versioned: bool
) -> None:
    fetched = unacknowledged(puller)
    with staged.begin() as transaction:
        merging.read(transaction, {PAIR: COMPLETE})
        merging.write(transaction, site=SITE, now=datetime.now(UTC))
        assert acknowledge(puller, {ID: fetched[ID] if versioned else None}) == ["recorded"]
        assert unacknowledged(puller) == {}
    [(name, version)] = unacknowledged(puller).items()
    assert (name, version > fetched[ID]) == (ID, True)


def test_who_takes_what_is_unacknowledged_and_acknowledges_it_gets_every_last_change(
    staged: Engine, puller: Puller
) -> None:
    merging_ended = threading.Event()

    def change() -> None:
        for turn in range(40):
            said = {(user, course): (COMPLETE, STARTED)[turn % 2] for user in range(5) for course in range(turn % 4)}
            merge(staged, site=SITE, said=said, now=datetime.now(UTC))
        merging_ended.set()

    thread = threading.Thread(target=change)
    thread.start()
    taken: dict[str, int] = {}
    while True:
        last_look = merging_ended.is_set()
        found = unacknowledged(puller)
        assert all(version > taken.get(name, 0) for name, version in found.items()), "one came again unchanged"
        taken |= found
        if found:
            acknowledge(puller, {**found})
        elif last_look:
            break
    thread.join()
    with staged.connect() as connection:
        rows = connection.execute(
            text("SELECT site || '-' || user_id || '-' || course_id, change_seq FROM bridge.completion")
        )
        assert {row[0]: row[1] for row in rows} == taken


@pytest.mark.parametrize("form", ["json", "ndjson"])
def test_who_follows_is_told_of_an_erased_learner_as_deleted_and_erased(
    bridge: Bridge, address: str, token: str, tmp_path: Path, form: Literal["json", "ndjson"]
) -> None:
    with bridge.staging.begin() as transaction:
        setting.write(transaction, name="pull_per_minute", value=10_000_000, by="ann", now=datetime.now(UTC))
    completions = Following(
        address, token, tmp_path / "completions", since="1970-01-01", form=form, limits=(100, None), to_the_end=True
    )
    users = replace(completions, feed="/users", journal=tmp_path / "users", since=None)
    bridge.extract()
    follow(completions)
    follow(users)
    known = last_of(Journal(completions.journal).steps())
    steps_before = len(Journal(completions.journal).steps())
    user, course = bridge.totara.pair_with(status=25)
    own = {name for name in known if name.startswith(f"{SITE}-{user}-")}
    assert len(own) > 1
    bridge.totara.complete(user, course)
    erase.erase(bridge.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=bridge.now)
    bridge.extract()
    bridge.full_compare()
    follow(completions)
    follow(users)
    came = [each for step in Journal(completions.journal).steps()[steps_before:] for each in step.seen]
    assert {each.id for each in came} == own
    assert [each.gone for each in came] == [True] * len(own), "each is told once, as deleted"
    assert last_of(Journal(users.journal).steps())[f"{SITE}-{user}"].gone
    with Puller(address, token) as puller:
        for name in own:
            item = puller.fetch(f"/completions/{name}")
            assert (item["user"], item["instances"], item["deleted"]) == (None, [], True)
            assert State(item["version"], True) == last_of(Journal(completions.journal).steps())[name]


def test_a_learner_who_is_erased_between_two_pages_is_on_the_next(bridge: Bridge, puller: Puller) -> None:
    bridge.extract()
    page = puller.fetch(since="1970-01-01", limit=100)
    user = page["items"][0]["userId"]
    erase.erase(bridge.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=bridge.now)
    seen = {item["id"]: item for item in page["items"]}
    while page["more"]:
        page = puller.fetch(cursor=page["cursor"], limit=1000)
        seen |= {item["id"]: item for item in page["items"]}
    own = [item for item in seen.values() if item["userId"] == user]
    assert own
    assert all(item["deleted"] and item["user"] is None and item["timecompleted"] is None for item in own)
