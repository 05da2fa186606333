"""The proof of an erasure: a name that is left is found, whatever it looks like, and what is not known is said so."""

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.bridge import Bridge
from tests.life import BUD, ZOE, World, named
from totara_bridge.errors import ErasureIncomplete
from totara_bridge.staging.learner_names import Names


@pytest.mark.parametrize(
    ("hide", "place"),
    [
        ("UPDATE bridge.item_event SET verb = 'seen ZOELLE@exämple.test' WHERE id = :event", "item_event.verb"),
        (
            "CREATE TABLE bridge.added AS SELECT 'sbx' AS site, cast(:user AS bigint) AS user_id, "
            """'{"a": "O\\"Łukasik"}'::jsonb AS note""",
            "added.note",
        ),
    ],
)
def test_a_name_that_is_left_in_a_row_of_the_learner_fails_loudly(world: World, hide: str, place: str) -> None:
    [event] = world.bridge.rows(
        "SELECT max(id) AS id FROM bridge.item_event WHERE item_id = :item", item=world.item(world.zoe, "dead")
    )
    with world.bridge.staging.begin() as transaction:
        values = {"event": event["id"], "user": world.zoe}
        transaction.execute(text(hide), {name: value for name, value in values.items() if f":{name}" in hide})
    with pytest.raises(ErasureIncomplete, match=rf"still stands in {re.escape(place)}, in rows of theirs") as raised:
        world.erase()
    assert named(str(raised.value)) == set()
    again = world.erase()
    assert again.found == 0, "all else was erased"
    assert again.before is not None
    assert again.before.doubt == f"erased before; the search found a name in {place} then"


def test_the_same_name_in_rows_of_others_is_no_failure(world: World) -> None:
    world.bridge.totara.new_user(**BUD | {"username": "namesake", "lastname": ZOE["lastname"]})
    world.bridge.full_compare()
    other = world.bridge.totara.new_user(lastname=ZOE["lastname"])
    world.bridge.totara.enrol(other, world.courses["sent"])
    world.bridge.extract()
    searched = world.erase().searched
    assert searched is not None
    assert searched.others == {"learner.last_name": 1}


def test_who_acted_may_bear_the_name(world: World) -> None:
    searched = world.erase(by=ZOE["username"]).searched
    assert searched is not None
    assert searched.acted == {"audit_log.actor": 1, "erased_learner.erased_by": 1}
    assert searched.own == {}


def test_names_that_cannot_be_told_from_other_words_are_skipped_and_said_so() -> None:
    identity = {"username": "queue", "email": "a@b.c", "id_number": "", "first_name": "Li", "last_name": "小明"}
    names = Names.of(identity, ["sbx", "oracle"])
    assert set(names.sought) == {"email", "last_name"}
    assert names.skipped == {
        "username": "the bridge uses this word itself",
        "id_number": "there is none",
        "first_name": "it is shorter than 4 letters, which many other words contain",
    }
    assert "小明" not in repr(names)


@pytest.mark.parametrize(("name", "sought"), [("45678", False), ("4567", True), ("145678", True)])
def test_a_name_that_is_totaras_number_of_the_learner_is_skipped_and_said_so(name: str, sought: bool) -> None:
    names = Names.of({"username": name}, ["sbx"], user_id=45678)
    skipped = {} if sought else {"username": "it is Totara's number of the learner too, which is kept"}
    assert (names.skipped, bool(names.sought)) == (skipped, sought)


def test_a_learner_whose_number_is_their_name_is_erased(world: World) -> None:
    with world.bridge.staging.begin() as transaction:
        rename = text("UPDATE bridge.learner SET username = :number, id_number = :number WHERE user_id = :user")
        transaction.execute(rename, {"number": str(world.zoe), "user": world.zoe})
        long = text("UPDATE bridge.learner SET user_id = 45678, username = '45678' WHERE user_id = :user")
        transaction.execute(long, {"user": world.bud})
    assert world.erase(45678).names.skipped == {"username": "it is Totara's number of the learner too, which is kept"}
    assert set(world.erase().names.skipped) == {"username", "id_number"}


def test_words_that_the_audit_log_itself_has_are_skipped() -> None:
    identity = {"username": "mapping", "first_name": "Removed", "last_name": "Looked", "email": "kept_body"}
    assert Names.of(identity, []).sought == {}


def test_a_search_that_was_cut_short_is_not_taken_for_one_that_found_nothing(
    world: World, wait_until: Callable[[Callable[[], bool]], None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bridge = world.bridge
    with bridge.staging.begin() as transaction:
        transaction.execute(text("CREATE TABLE bridge.added AS SELECT 'sbx' AS site"))
    waiting = """
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%bridge."added"%'
    """
    with ThreadPoolExecutor(1) as pool, bridge.staging.begin() as blocker:
        blocker.execute(text("LOCK TABLE bridge.added IN ACCESS EXCLUSIVE MODE"))
        erasing = pool.submit(world.erase)
        wait_until(lambda: bool(bridge.rows(waiting)))
        bridge.rows(f"SELECT pg_terminate_backend(pid) FROM ({waiting}) searching")
        with pytest.raises(OperationalError):
            erasing.result()
    assert "erased, and not searched yet" in caplog.text
    assert '"kept_body"' in caplog.text, "what was done is not lost"
    [first] = bridge.rows("SELECT details FROM bridge.audit_log WHERE action = 'erase'")
    again = world.erase(by="bob")
    known = again.document()["erased_before"]
    assert (known["asked_by"], known["counts"]) == ("ann", first["details"])
    assert known["counts"]["learner_removed"] == 1
    assert "whether the search was finished then is not known" in known["search"]
    assert again.search() == "not made: what the learner was called is known no more"
    assert [record.levelname for record in caplog.records if "is not known" in record.message] == ["INFO", "WARNING"]
    assert named(caplog.text) == set()


def test_a_later_run_says_what_the_first_one_found(world: World, caplog: pytest.LogCaptureFixture) -> None:
    first = world.erase()
    again = world.erase()
    assert again.before is not None
    assert again.before.search == first.search()
    assert again.before.counts == first.counts() | {"looked_for": sorted(first.names.sought)}
    assert again.before.doubt is None
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize(
    ("name", "said", "found"),
    [
        ("1234", "number 1234.", True),
        ("1234", "number 51234.", False),
        ("a.b+c(d", "x A.B+C(D y", True),
        ("a.b+c(d", "aXb+c(d", False),
        ('O"Neil\\', '{"name": "O\\"Neil\\\\"}', True),
        ("Zoë", '{"name": "Zo\\u00eb"}', True),
        ("Zoë", "Zoe\N{COMBINING DIAERESIS}", True),
        ("x y-z#1", "x y-z#1", True),
    ],
)
def test_a_name_is_found_however_it_is_written(bridge: Bridge, name: str, said: str, found: bool) -> None:
    pattern = Names.of({"last_name": name}, []).pattern
    [row] = bridge.rows("SELECT cast(:said AS text) ~* :pattern AS found", said=said, pattern=pattern)
    assert row["found"] is found
