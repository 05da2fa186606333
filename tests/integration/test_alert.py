"""The table of alerts and its outbox: one open alert of a promise and a subject, and every channel told once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import pytest

from tests.items import NOW, Items, items_in
from totara_bridge.alert_name import AlertName
from totara_bridge.staging import alert, notice
from totara_bridge.staging.alert import Broken
from totara_bridge.staging.notice import Notice

MAIL, CHAT = "mail", "chat"
MINUTE = timedelta(minutes=1)
DOWN = AlertName.DESTINATION_DOWN
SILENT = AlertName.SILENCE


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("alert")) as opened:
        yield opened


@pytest.fixture
def staging(database: Items) -> Items:
    """A database without a row."""
    return database.emptied()


def raise_it(staging: Items, subject: str = "oracle", *, words: str = "It is down.", minutes: int = 0) -> bool:
    with staging.staging.begin() as transaction:
        return alert.raise_alert(transaction, name=DOWN, subject=subject, words=words, now=NOW + minutes * MINUTE)


def resolve(staging: Items, subject: str = "oracle", *, because: str | None = None, minutes: int = 1) -> bool:
    with staging.staging.begin() as transaction:
        return alert.resolve(transaction, name=DOWN, subject=subject, because=because, now=NOW + minutes * MINUTE)


def pending(staging: Items, *channels: str) -> Sequence[Notice]:
    with staging.staging.begin() as transaction:
        return notice.pending(transaction, channels)


def told(staging: Items, which: Notice, error: str | None = None) -> None:
    with staging.staging.begin() as transaction:
        notice.told(transaction, which, error=error, now=NOW)


def tell_all(staging: Items, *channels: str) -> list[tuple[str, str]]:
    """Tell the channels what is pending; which channel was told what."""
    notices = pending(staging, *channels)
    for each in notices:
        told(staging, each)
    return sorted((each.channel, each.event) for each in notices)


def rows(staging: Items) -> list[tuple[object, ...]]:
    """Every alert: its subject and words, when it was seen last and when resolved."""
    found = staging.sql("SELECT subject, words, seen_at, resolved_at FROM bridge.alert ORDER BY id")
    return [tuple(row.values()) for row in found]


def at_once(count: int, act: Callable[[], None]) -> None:
    """Do it in so many threads at the same moment."""
    together = threading.Barrier(count)

    def run() -> None:
        together.wait()
        act()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_an_alert_is_raised_once_and_updated(staging: Items) -> None:
    assert raise_it(staging)
    assert not raise_it(staging, words="Still.", minutes=5)
    assert rows(staging) == [("oracle", "Still.", NOW + 5 * MINUTE, None)]


def test_a_resolved_alert_is_raised_anew(staging: Items) -> None:
    raise_it(staging)
    assert resolve(staging)
    assert not resolve(staging)
    assert raise_it(staging, minutes=2)
    assert [each.subject for each in _open(staging)] == ["oracle"]
    assert len(rows(staging)) == 2


def test_why_it_is_over_is_added_to_its_words(staging: Items) -> None:
    raise_it(staging)
    resolve(staging, because="It was switched off.")
    assert rows(staging)[0][1] == "It is down. It was switched off."


def test_a_clock_that_is_behind_resolves_no_sooner_than_it_was_raised(staging: Items) -> None:
    raise_it(staging)
    assert resolve(staging, minutes=-1)
    assert rows(staging)[0][3] == NOW


def test_who_sees_it_later_by_an_earlier_clock_does_not_turn_time_back(staging: Items) -> None:
    raise_it(staging, minutes=5)
    raise_it(staging)
    assert rows(staging)[0][2] == NOW + 5 * MINUTE


def test_settling_raises_updates_and_resolves_what_it_is_about(staging: Items) -> None:
    for subject in ("kept", "over", "other"):
        raise_it(staging, subject)
    with staging.staging.begin() as transaction:
        alert.raise_alert(transaction, name=SILENT, subject="over", words="Silent.", now=NOW)
        settled = alert.settle(
            transaction,
            [Broken(DOWN, "new", "New."), Broken(DOWN, "kept", "Kept.")],
            names=[DOWN],
            subjects=["kept", "new", "over"],
            because={"over": "It went.", "kept": "Never said."},
            now=NOW + MINUTE,
        )
    assert [each.subject for each in settled.raised] == ["new"]
    assert [(each.subject, each.words) for each in settled.still_open] == [("kept", "Kept.")]
    assert [(each.subject, each.words) for each in settled.resolved] == [("over", "It is down. It went.")]
    assert sorted((each.name.value, each.subject) for each in _open(staging)) == [
        ("destination_down", "kept"),
        ("destination_down", "new"),
        ("destination_down", "other"),
        ("silence", "over"),
    ]


def test_those_that_raise_at_once_raise_one(staging: Items) -> None:
    new: list[bool] = []
    at_once(8, lambda: new.append(raise_it(staging)))
    assert sorted(new) == [False] * 7 + [True]
    assert len(rows(staging)) == 1


def test_those_that_settle_and_raise_at_once_neither_fail_nor_raise_two(staging: Items) -> None:
    subjects = [f"d{number}" for number in range(10)]
    failures: list[Exception] = []

    def settle(order: Sequence[str]) -> None:
        try:
            with staging.staging.begin() as transaction:
                alert.settle(transaction, [Broken(DOWN, each, "Down.") for each in order], names=[DOWN], now=NOW)
            raise_it(staging, order[0])
            resolve(staging, order[-1])
        except Exception as failure:  # a deadlock must fail the test, not a thread of it
            failures.append(failure)

    orders = iter([subjects, subjects[::-1], subjects[5:] + subjects[:5], subjects[::2], subjects[1::2]] * 4)
    at_once(20, lambda: settle(next(orders)))
    assert failures == []
    found = [each.subject for each in _open(staging)]
    assert found
    assert len(found) == len(set(found))


def test_raising_waits_for_a_resolution_that_is_being_written(
    staging: Items, wait_until: Callable[[Callable[[], bool]], None]
) -> None:
    raise_it(staging)
    new: list[bool] = []
    raising = threading.Thread(target=lambda: new.append(raise_it(staging, minutes=1)))
    with staging.staging.begin() as transaction:
        alert.resolve(transaction, name=DOWN, subject="oracle", now=NOW)
        raising.start()
        wait_until(lambda: bool(staging.sql("SELECT FROM pg_locks WHERE NOT granted")))
    raising.join()
    assert new == [True], "what was resolved first is raised anew"
    assert [row[3] for row in rows(staging)] == [NOW, None]


def test_a_channel_is_told_once_that_it_was_raised_and_once_that_it_was_resolved(staging: Items) -> None:
    raise_it(staging)
    assert tell_all(staging, MAIL, CHAT) == [(CHAT, "raised"), (MAIL, "raised")]
    raise_it(staging, words="Still.")
    assert tell_all(staging, MAIL, CHAT) == []
    resolve(staging)
    assert tell_all(staging, MAIL, CHAT) == [(CHAT, "resolved"), (MAIL, "resolved")]
    assert tell_all(staging, MAIL, CHAT) == []


def test_what_was_over_before_a_channel_heard_of_it_is_not_told_there(staging: Items) -> None:
    raise_it(staging)
    assert tell_all(staging, MAIL) == [(MAIL, "raised")]
    for each in pending(staging, CHAT):
        told(staging, each, error="no connection")
    resolve(staging)
    assert tell_all(staging, MAIL, CHAT) == [(MAIL, "resolved")]


def test_a_channel_that_was_not_reached_is_tried_again_until_it_is(staging: Items) -> None:
    raise_it(staging)
    for attempts in range(3):
        [notice] = pending(staging, MAIL)
        assert notice.attempts == attempts
        told(staging, notice, error="no connection")
    [row] = staging.sql("SELECT attempts, sent_at, error FROM bridge.alert_notice")
    assert tuple(row.values()) == (3, None, "no connection")
    told(staging, notice)
    [row] = staging.sql("SELECT attempts, sent_at, error FROM bridge.alert_notice")
    assert tuple(row.values()) == (4, NOW, None)
    assert pending(staging, MAIL) == []


def test_a_failure_after_it_was_told_untells_nothing(staging: Items) -> None:
    raise_it(staging)
    [notice] = pending(staging, MAIL)
    told(staging, notice)
    told(staging, notice, error="another sender came late")
    [row] = staging.sql("SELECT sent_at, error FROM bridge.alert_notice")
    assert tuple(row.values()) == (NOW, None)


def test_a_channel_that_is_never_reached_is_tried_for_ever(staging: Items) -> None:
    raise_it(staging)
    [notice] = pending(staging, MAIL)
    told(staging, notice, error="no connection")
    staging.sql("UPDATE bridge.alert_notice SET attempts = 32767")
    told(staging, notice, error="no connection")
    assert staging.sql("SELECT attempts FROM bridge.alert_notice") == [{"attempts": 32767}]


def test_a_new_channel_hears_of_what_is_open(staging: Items) -> None:
    raise_it(staging, "first")
    raise_it(staging, "second", minutes=1)
    tell_all(staging, MAIL)
    assert [each.alert.subject for each in pending(staging, MAIL, CHAT, CHAT)] == ["first", "second"]
    assert pending(staging) == []


def _open(staging: Items) -> Sequence[alert.Alert]:
    with staging.staging.begin() as transaction:
        return alert.open_alerts(transaction)


def test_of_late_runs_the_first_counts_until_it_has_ended(staging: Items) -> None:
    for run in ("first", "second"):
        with staging.staging.begin() as transaction:
            alert.raise_alert(
                transaction, name=AlertName.RUN_LATE, subject="push_completions", words=f"{run}.", run_id=run, now=NOW
            )
    [row] = staging.sql("SELECT run_id, words FROM bridge.alert")
    assert row == {"run_id": "first", "words": "first."}


def test_only_the_alert_that_was_found_is_resolved(staging: Items) -> None:
    raise_it(staging)
    with staging.staging.begin() as transaction:
        [found] = alert.open_alerts(transaction)
    resolve(staging)
    raise_it(staging, minutes=2)
    with staging.staging.begin() as transaction:
        assert not alert.resolve_found(transaction, found, now=NOW + 3 * MINUTE)
    assert staging.sql("SELECT count(*) AS open FROM bridge.alert WHERE resolved_at IS NULL") == [{"open": 1}]


def test_alerts_of_a_newer_bridge_are_left_alone(staging: Items, caplog: pytest.LogCaptureFixture) -> None:
    raise_it(staging)
    staging.sql(
        "INSERT INTO bridge.alert (name, subject, words, raised_at, seen_at) VALUES ('newer', 'hr', 'x', now(), now())"
    )
    with staging.staging.begin() as transaction:
        assert [each.name for each in alert.open_alerts(transaction)] == [DOWN]
    assert tell_all(staging, MAIL) == [(MAIL, "raised")]
    assert "this version of the bridge knows no alert newer (of hr)" in caplog.text
