"""For every fate of a completion, why it was or was not sent is said in one sentence."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from tests.bridge import DESTINATION, SITE, Bridge
from totara_bridge.command.__main__ import main
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.config import Site as SiteEntry
from totara_bridge.erase import erase
from totara_bridge.extract.enqueue import Wants
from totara_bridge.route import Route
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging import by_hand, lease, setting
from totara_bridge.staging import destination as staged_destination
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.migrate import migrate
from totara_bridge.template import Template
from totara_bridge.totara.query import ReadQuery
from totara_bridge.why_not import Answer, Why, why_not

Pair = tuple[int, int]
NARROW = Route(courses=("NOPE-*",), statuses=("complete_rpl",))
NUMBERED = Template.model_validate(
    {
        "name": "numbered",
        "version": 1,
        "fields": {"key": "item_key", "number": {"source": "learner_number", "required": True}},
    }
)
DAY, TIME = r"\d{4}-\d\d-\d\d", r"\d{4}-\d\d-\d\d \d\d:\d\d UTC"

#: The sites and destinations of bridge.toml when the question is asked.
CONFIG = BridgeConfig(
    sites=(SiteEntry(code=SITE, connection="totara_sandbox"), SiteEntry(code="fresh", connection="other")),
    destinations=(
        Destination(code=DESTINATION, connection="oracle_sandbox"),
        Destination(code="amended", connection="oracle_sandbox", corrections=True, withdrawals=True),
        Destination(code="numbered", connection="oracle_sandbox"),
        Destination(code="narrow", connection="oracle_sandbox", route=NARROW),
        Destination(code="widened", connection="oracle_sandbox"),
        Destination(code="elsewhere", connection="oracle_sandbox", route=Route(sites=("fresh",))),
        Destination(code="added", connection="oracle_sandbox"),
        Destination(code="resting", connection="oracle_sandbox"),
        Destination(code="off", connection="oracle_sandbox"),
        Destination(code="shadow", connection="oracle_sandbox"),
    ),
)
#: What the extracts went by.
WANTS = [
    Wants(DESTINATION),
    Wants("amended", corrections=True, withdrawals=True),
    Wants("numbered", template=NUMBERED),
    Wants("narrow", route=NARROW),
    Wants("widened", route=NARROW),
    *(Wants(code) for code in ("resting", "off", "shadow")),
]


@dataclass
class World:
    """A bridge in which everything has happened to some completion, by the name of what happened."""

    bridge: Bridge
    pairs: dict[str, Pair] = field(default_factory=dict)

    def complete(self, *names: str) -> None:
        """Learners begin and complete courses of their own, a pair for each name, and are extracted."""
        for name in names:
            user, course = self.bridge.totara.new_user(), self.bridge.totara.courses()[0]
            self.bridge.totara.enrol(user, course)
            self.bridge.totara.complete(user, course)
            self.pairs[name] = user, course
        self.bridge.extract()

    def key(self, name: str) -> str:
        """The record key of a pair's only instance."""
        [instance] = self.bridge.instances(self.pairs[name])
        return str(instance["record_key"])

    def item(self, name: str, destination: str = DESTINATION) -> int:
        """The id of a pair's item."""
        [row] = self.bridge.rows(
            "SELECT q.id FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id "
            "WHERE i.record_key = :key AND q.destination = :destination",
            key=self.key(name),
            destination=destination,
        )
        return int(row["id"])

    def why(self, name: str, destination: str | None = DESTINATION, *, now: datetime | None = None) -> list[Answer]:
        """The answers for a pair."""
        user, course = self.pairs[name]
        return why_not(
            self.bridge.staging,
            CONFIG,
            site=SITE,
            user_id=user,
            course_id=course,
            destination=destination,
            now=now or self.bridge.now,
        )


@pytest.fixture(scope="module")
def bridge_of_the_module(new_database: Callable[[str], str]) -> Iterator[Bridge]:
    """A bridge that all tests of this file share."""
    staging, totara = (
        create_engine(new_database(word).replace("postgresql://", "postgresql+psycopg://", 1))
        for word in ("why_staging", "why_totara")
    )
    migrate(staging.url.render_as_string(hide_password=False))
    schema.create(totara)
    seed(totara)
    bridge = Bridge(staging, totara)
    bridge.plan = replace(bridge.plan, destinations=WANTS)
    yield bridge
    staging.dispose()
    totara.dispose()


@pytest.fixture(scope="module")
def world(bridge_of_the_module: Bridge) -> World:
    """All that can become of a completion."""
    world = World(bridge_of_the_module)
    past(world)
    world.complete(
        "sent", "failed", "dead", "revised", "withdrawn", "cancelled", "lost", "came back", "purged", "erased"
    )
    pushed(world)
    world.bridge.later(minutes=1)
    changed(world)
    world.bridge.full_compare()
    on_its_way(world)
    erased = world.pairs["erased"][0]
    erase(world.bridge.staging, site=SITE, user_id=erased, by="ann", dry_run=False, now=world.bridge.now)
    return world


def past(world: World) -> None:
    """What was there before the first extract."""
    totara = world.bridge.totara
    for number, name in enumerate(("past", "past and lost", "recertified", "window open")):
        world.pairs[name] = totara.pair_with(status=50, nth=number)
    world.pairs["not completed"], world.pairs["impossible"] = totara.pair_with(status=10), totara.pair_with(status=25)
    world.pairs["nobody"] = 999_999, 888_888
    world.pairs["never enrolled"] = totara.new_user(), totara.new_course()
    world.bridge.extract()
    world.bridge.later(minutes=1)


def pushed(world: World) -> None:
    """Two destinations were sent to: all arrived but for two, and three that one of them was not sent."""
    bridge = world.bridge
    with bridge.staging.begin() as transaction:
        hold_back(transaction, [world.item(name) for name in ("lost", "came back")], until=bridge.now)
        by_hand.cancel(transaction, [world.item("cancelled")], by="ann", words="sent by mail", now=bridge.now)
    with SandboxOracle() as oracle:
        refusal = {"item": "rejected", "code": "COURSE_UNKNOWN", "message": "No such course"}
        oracle.faults(
            {"match": {"key": world.key("dead")}, "action": refusal},
            {"match": {"key": world.key("failed")}, "action": {"item": "retry", "code": "BUSY", "message": "Later"}},
        )
        bridge.push(oracle)
        bridge.push(oracle, destination="amended")
    with bridge.staging.begin() as transaction:
        transaction.execute(text("DELETE FROM bridge.export_queue WHERE id = :id"), {"id": world.item("purged")})


def changed(world: World) -> None:
    """Completions are edited, lost and archived."""
    totara = world.bridge.totara
    totara.edit_date(*world.pairs["revised"], at=1_600_000_000)
    for name in ("withdrawn", "lost", "came back", "past and lost"):
        totara.regress(*world.pairs[name])
    for name in ("recertified", "window open"):
        totara.archive(*world.pairs[name])
        totara.recreate(*world.pairs[name])
    totara.complete(*world.pairs["recertified"])
    totara.sql_update_without_log(*world.pairs["impossible"], at=10**15)


def on_its_way(world: World) -> None:
    """What is queued and being sent now, and what surrounds it."""
    bridge, totara = world.bridge, world.bridge.totara
    totara.complete(*world.pairs["came back"])
    user, course = world.pairs["learner deleted"] = totara.new_user(), totara.courses()[0]
    totara.enrol(user, course)
    totara.complete(user, course)
    totara.delete_user(user)
    world.complete("sending", "queued")
    until = bridge.now + timedelta(minutes=5)
    with bridge.staging.begin() as transaction:
        others = bridge.rows("SELECT id FROM bridge.export_queue WHERE state IN ('queued', 'failed')")
        hold_back(transaction, [row["id"] for row in others if row["id"] != world.item("sending")], until=bridge.now)
        lease.claim(transaction, destination=DESTINATION, token=uuid4(), limit=100, now=bridge.now, lease_until=until)
        reason = "asked to be left alone"
        staged_destination.rest(transaction, "resting", not_before=until, reason=reason, now=bridge.now)
        setting.write(transaction, scope="off", name="enabled", value=False, by="ann", now=bridge.now)
        setting.write(transaction, scope="shadow", name="shadow", value=True, by="ann", now=bridge.now)


def hold_back(transaction: Transaction, ids: Sequence[int], *, until: datetime) -> None:
    """Let these items be due a little after this time."""
    transaction.execute(
        text("UPDATE bridge.export_queue SET next_attempt_at = :due WHERE id = ANY(:ids)"),
        {"ids": list(ids), "due": until + timedelta(minutes=3)},
    )


ANSWERS = [
    ("sent", DESTINATION, Why.SENT, rf"It was sent on {TIME}, and the destination calls it .+\."),
    ("purged", DESTINATION, Why.SENT, rf"It was sent on {TIME}, and the destination calls it .+\."),
    ("failed", DESTINATION, Why.FAILED, rf"It failed and is tried again, due on {TIME}; the last answer was "
     r"BUSY: .+\."),
    ("dead", DESTINATION, Why.DEAD, r"It is dead until a person requeues it: .* was COURSE_UNKNOWN: No such course\."),
    ("cancelled", DESTINATION, Why.CANCELLED, rf"It was cancelled by ann on {TIME}: sent by mail\."),
    ("lost", DESTINATION, Why.CANCELLED, rf"It was cancelled by extract on {TIME}: Totara has this .+\."),
    ("sending", DESTINATION, Why.SENDING, rf"It is being sent since {TIME}\."),
    ("queued", DESTINATION, Why.QUEUED, rf"It waits in the fresh lane of the queue, due on {TIME}\."),
    ("queued", "resting", Why.QUEUED, rf"It waits .*, but the destination rests until {TIME}, because it asked to be "
     r"left alone\."),
    ("queued", "off", Why.QUEUED, r"It waits .*, but the destination is switched off \(setting enabled\)\."),
    ("queued", "shadow", Why.QUEUED, r"It waits .*, but the destination is in shadow mode \(setting shadow\)\."),
    ("queued", "numbered", Why.HELD, rf"It is held for the destination's number of the learner .+ on {TIME}\."),
    ("queued", "narrow", Why.OFF_ROUTE, r"It is off the route: neither short name nor id number of its course fits "
     r"NOPE-\* and its status is not complete_rpl\."),
    ("queued", "elsewhere", Why.OFF_ROUTE, r"It is off the route: its site is not fresh\."),
    ("queued", "widened", Why.WAS_OFF_ROUTE, rf"It is on the route now and was not when it was staged on {TIME}: run "
     rf"backfill_completions from {DAY} or earlier to send it\."),
    ("queued", "added", Why.NO_BASELINE, rf"It counts as past, as no extract .*: run .+ from {DAY} .+"),
    ("past", DESTINATION, Why.BEFORE_BASELINE, rf"It lies before the destination's baseline of {TIME}: run .+"),
    ("past and lost", DESTINATION, Why.LOST, rf"It was lost in Totara, as seen on {TIME}, and nothing was .+\."),
    ("learner deleted", DESTINATION, Why.LEARNER_DELETED, r"It is never sent, as its learner was already deleted .+"),
    ("revised", DESTINATION, Why.NOT_WANTED, rf"It was sent on {TIME}.*; its revision 2 is not sent, as the "
     r"destination did not want corrections \(bridge\.toml\)\."),
    ("withdrawn", DESTINATION, Why.NOT_WANTED, rf"It was sent on {TIME}.*; that Totara lost it, as seen on {TIME}, is "
     r"not sent, as the destination did not want withdrawals \(bridge\.toml\)\."),
    ("revised", "amended", Why.QUEUED, rf"It was sent on {TIME}.*; its correction \(revision 2\) waits .+"),
    ("withdrawn", "amended", Why.QUEUED, rf"It was sent on {TIME}.*; its withdrawal \(revision 1\) waits .+"),
    ("came back", DESTINATION, Why.QUEUED, rf"It waits in the fresh lane of the queue, due on {TIME}\."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "destination", "why", "sentence"), ANSWERS)
def test_each_fate_of_an_instance(world: World, name: str, destination: str, why: Why, sentence: str) -> None:
    answer = world.why(name, destination)[0]
    assert (answer.destination, answer.record_key, answer.why) == (destination, world.key(name), why)
    assert re.fullmatch(sentence, answer.sentence), answer.sentence


NO_INSTANCE = [
    ("not completed", Why.NOT_COMPLETED, r"The course is not completed now: Totara says not_started\."),
    ("impossible", Why.SET_ASIDE, r"Its row in Totara was set aside, as a time is outside .*: correct it in Totara\."),
    ("nobody", Why.NOT_STAGED, r"The extracts of site sbx never read any completion of the learner 999999 or of the "
     r"course 888888: an id is wrong, or the learner was never enrolled\."),
    ("never enrolled", Why.NOT_STAGED, r"The extracts of site sbx never read any completion of .+"),
    ("erased", Why.ERASED, rf"The learner was erased on {TIME}, as ann asked: what the bridge knew of them .+"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "why", "sentence"), NO_INSTANCE)
def test_what_is_no_instance(world: World, name: str, why: Why, sentence: str) -> None:
    [answer] = world.why(name, None)
    assert (answer.destination, answer.record_key, answer.why) == (None, None, why)
    assert re.fullmatch(sentence, answer.sentence), answer.sentence


def test_every_kind_of_answer_is_here() -> None:
    assert {row[2] for row in ANSWERS} | {row[1] for row in NO_INSTANCE} == set(Why)


def test_there_is_an_answer_for_each_destination(world: World) -> None:
    answers = world.why("queued", None)
    assert [answer.destination for answer in answers] == [each.code for each in CONFIG.destinations]


def test_there_is_an_answer_for_each_instance_and_for_what_is_none(world: World) -> None:
    assert [answer.why for answer in world.why("recertified")] == [Why.BEFORE_BASELINE, Why.QUEUED]
    before, now = world.why("window open")
    assert (before.why, now.why, now.destination) == (Why.BEFORE_BASELINE, Why.NOT_COMPLETED, None)


def test_a_sender_that_went_silent_is_told_from_one_that_works(world: World) -> None:
    [answer] = world.why("sending", now=world.bridge.now + timedelta(minutes=6))
    assert "was given on" in answer.sentence
    assert "to a sender that went silent, and is sent again by the next push" in answer.sentence


def test_a_bridge_that_is_off_is_what_everything_waits_for(world: World) -> None:
    with world.bridge.staging.begin() as transaction:
        setting.write(transaction, name="enabled", value=False, by="ann", now=world.bridge.now)
    try:
        assert "but the bridge is switched off (setting enabled)" in world.why("queued")[0].sentence
    finally:
        with world.bridge.staging.begin() as transaction:
            setting.write(transaction, name="enabled", value=True, by="ann", now=world.bridge.now)


def test_a_site_that_was_never_extracted_says_so(world: World) -> None:
    [answer] = why_not(world.bridge.staging, CONFIG, site="fresh", user_id=1, course_id=1, now=world.bridge.now)
    assert (answer.why, answer.sentence) == (
        Why.NOT_STAGED,
        "The site fresh was never extracted: run extract_completions.",
    )


def test_a_query_that_leaves_something_out_is_named(bridge: Bridge) -> None:
    user, course = bridge.totara.pair_with(status=50)
    bridge.extract(query=ReadQuery(course_ids=(course + 1,)))
    [answer] = why_not(bridge.staging, CONFIG, site=SITE, user_id=user, course_id=course, now=bridge.now)
    assert answer.why == Why.NOT_STAGED
    assert "the query of the site's connection leaves the completion out" in answer.sentence


AMENDED = Destination(code=DESTINATION, connection="oracle_sandbox", corrections=True, withdrawals=True)


def asked(bridge: Bridge, pair: Pair, destination: Destination) -> Answer:
    """The one answer for a pair."""
    config = BridgeConfig(sites=CONFIG.sites, destinations=(destination,))
    [answer] = why_not(bridge.staging, config, site=SITE, user_id=pair[0], course_id=pair[1], now=bridge.now)
    return answer


@pytest.fixture
def delivered(bridge: Bridge) -> Iterator[tuple[Bridge, Pair]]:
    """A completion that the destination has, and that was edited since."""
    bridge.plan = replace(bridge.plan, destinations=[Wants(DESTINATION, corrections=True, withdrawals=True)])
    pair = bridge.totara.pair_with(status=25)
    bridge.queue_new(1)
    with SandboxOracle() as oracle:
        bridge.push(oracle)
        bridge.later(minutes=1)
        bridge.totara.edit_date(*pair, at=1_600_000_000)
        bridge.extract()
        yield bridge, pair


def test_an_amendment_that_a_person_cancelled_is_not_called_unwanted(delivered: tuple[Bridge, Pair]) -> None:
    bridge, pair = delivered

    def cancelled() -> Answer:
        [last] = bridge.rows("SELECT max(id) AS id FROM bridge.export_queue")
        with bridge.staging.begin() as transaction:
            assert by_hand.cancel(transaction, [last["id"]], by="ann", words="by mail", now=bridge.now).done == 1
        return asked(bridge, pair, AMENDED)

    answer = cancelled()
    assert answer.why is Why.CANCELLED
    assert re.fullmatch(rf"It was sent .+; its correction \(revision 2\) was cancelled by ann on {TIME}: by mail\.",
                        answer.sentence), answer.sentence  # fmt: skip
    bridge.later(minutes=1)
    bridge.totara.delete_completion(*pair)
    bridge.extract()
    answer = cancelled()
    assert answer.why is Why.CANCELLED
    assert re.fullmatch(rf"It was sent .+; its withdrawal \(revision 2\) was cancelled by ann on {TIME}: by mail\.",
                        answer.sentence), answer.sentence  # fmt: skip


def test_an_amendment_names_what_it_waits_for(delivered: tuple[Bridge, Pair]) -> None:
    bridge, pair = delivered
    [first] = bridge.rows("SELECT id FROM bridge.export_queue WHERE kind = 'completion'")
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text(
                "UPDATE bridge.export_queue SET state = 'dead', sent_at = NULL, error_class = 'ItemRefused', "
                "error_words = 'no such course' WHERE id = :id"
            ),
            first,
        )
    answer = asked(bridge, pair, AMENDED)
    assert answer.why is Why.QUEUED
    waits = (
        rf".+; its correction \(revision 2\) waits in the fresh lane of the queue, due since {TIME}, but not before "
        rf"item {first['id']}, its completion \(revision 1\), which is dead until a person requeues it: .+: no such .+"
    )
    assert re.fullmatch(waits, answer.sentence), answer.sentence


def test_what_was_queued_and_came_back_off_the_route_says_so(bridge: Bridge) -> None:
    pair = bridge.totara.pair_with(status=25)
    bridge.queue_new(1)
    bridge.totara.regress(*pair)
    assert bridge.extract().cancelled == 1
    bridge.later(minutes=1)
    bridge.totara.complete(*pair)
    assert bridge.extract(destinations=[Wants(DESTINATION, route=NARROW)]).queued == 0
    answer = asked(bridge, pair, AMENDED)
    assert answer.why is Why.WAS_OFF_ROUTE
    said = (
        r"It was queued, was lost in Totara before it was sent, and was not on the route when Totara had it again; it "
        rf"is on the route now: run backfill_completions from {DAY} or earlier to send it\."
    )
    assert re.fullmatch(said, answer.sentence), answer.sentence
    assert bridge.backfill().queued > 0
    assert asked(bridge, pair, AMENDED).why is Why.QUEUED


# the command


@pytest.fixture
def shell(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    """The world as a maintainer's shell sees it, with a bridge.toml of two destinations."""
    words = '[[sites]]\ncode = "sbx"\nconnection = "totara"\n'
    for code in (DESTINATION, "shadow"):
        words += f'[[destinations]]\ncode = "{code}"\nconnection = "oracle"\n'
    (tmp_path / "bridge.toml").write_text(words)
    monkeypatch.setenv("TOTARA_BRIDGE_CONFIG", str(tmp_path / "bridge.toml"))
    url = world.bridge.staging.url.render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", url)
    return world


def arguments(site: str, pair: Pair, *more: str) -> list[str]:
    """A command line."""
    return ["why", "--site", site, "--learner", str(pair[0]), "--course", str(pair[1]), *more]


def test_the_command_prints_a_line_for_each_answer(shell: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(SITE, shell.pairs["cancelled"])) == 0
    first, second = capsys.readouterr().out.splitlines()
    line = rf"oracle, {shell.key('cancelled')}, completed {TIME}: It was cancelled by ann on {TIME}: sent by mail\."
    assert re.fullmatch(line, first)
    assert second.startswith("shadow, TB")
    assert main(arguments(SITE, shell.pairs["cancelled"], "--destination", "shadow")) == 0
    assert capsys.readouterr().out == f"{second}\n"
    assert main(arguments(SITE, shell.pairs["not completed"])) == 0
    assert capsys.readouterr().out == "The course is not completed now: Totara says not_started.\n"


@pytest.mark.parametrize(
    ("site", "more", "said"),
    [
        ("nope", [], "There is no site nope in bridge.toml (it has sbx): correct the code.\n"),
        (SITE, ["--destination", "x"], "There is no destination x in bridge.toml (it has oracle, shadow): correct "),
    ],
)
def test_what_is_not_in_bridge_toml_is_a_sentence(
    shell: World, capsys: pytest.CaptureFixture[str], site: str, more: list[str], said: str
) -> None:
    assert main(arguments(site, (1, 1), *more)) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err[: len(said)]) == ("", said)


@pytest.mark.parametrize("wrong", ["0", "-3", "x", "9" * 30])
def test_what_is_no_id_is_refused(shell: World, capsys: pytest.CaptureFixture[str], wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["why", "--site", SITE, f"--learner={wrong}", "--course", "1"])
    assert ended.value.code == 2
    assert f"{wrong} is no number of a row in Totara" in capsys.readouterr().err
