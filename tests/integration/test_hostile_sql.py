"""A word with SQL in it is a word like any other, wherever it comes in: it finds what is called so and nothing else."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import URL, Engine, NullPool, create_engine, text
from sqlalchemy.engine import make_url

from tests.bridge import Bridge
from totara_bridge import api_token
from totara_bridge.config.section import Destination, Site
from totara_bridge.erase import erase
from totara_bridge.errors import ConfigurationInvalid, RequestInvalid
from totara_bridge.extract.enqueue import Wants
from totara_bridge.mapping import load_mappings
from totara_bridge.requeue import carry_out
from totara_bridge.route import Route
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.seed import seed
from totara_bridge.staging import audit, audit_page, item_page, log_page, request_page, setting
from totara_bridge.staging.pull_form import Form
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.staging.states import State
from totara_bridge.template import Template
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource
from totara_bridge.totara.query import ReadQuery

SQL = (
    "1'--",
    "' OR '1'='1",
    "'; CREATE TABLE bridge.owned (a int); --",
    "x') UNION SELECT sha256::text FROM bridge.api_token --",
    "$1",
    "$$a$$",
    "%(caller)s",
    "%s a%%b",
    ":learner",
    "\\'; --",
    "E'\\x27",
    "a\\",
    '"q"',
    "''",
    "{0} {name}",
    "pg_sleep(60)",
    "Ω/ʼ/’",
)


class Named:
    """A Totara in which for each word there is a learner, a course and an audience that is called so."""

    def __init__(self, acts: TotaraActs) -> None:
        self.users: dict[str, int] = {}
        for number, word in enumerate(SQL):
            user = acts.new_user(idnumber=word, firstname=word, lastname=word, username=f"evil{number}")
            course = acts.new_course(idnumber=word, shortname=word, fullname=word)
            acts.new_audience(word, [user])
            acts.enrol(user, course)
            acts.complete(user, course)
            self.users[word] = user


@pytest.fixture
def named(bridge: Bridge) -> Named:
    return Named(bridge.totara)


@pytest.fixture
def on_mariadb(mariadb: URL) -> Iterator[Engine]:
    """The captured Totara on MariaDB."""
    admin = create_engine(mariadb, poolclass=NullPool)
    with admin.begin() as connection:
        connection.execute(text("CREATE DATABASE hostile CHARACTER SET utf8mb4"))
    engine = create_engine(mariadb.set(database="hostile"), poolclass=NullPool)
    schema.create(engine)
    seed(engine)
    yield engine
    with admin.begin() as connection:
        connection.execute(text("DROP DATABASE hostile"))


def _reads(totara: Engine, users: dict[str, int]) -> None:
    """Each list of a connection's query reads what is called so."""
    usual = TotaraConnection(url=make_url(totara.url))
    for query in (ReadQuery(learner_idnumbers=SQL), ReadQuery(audience_idnumbers=SQL)):
        with DatabaseSource(replace(usual, query=query)).snapshot() as snapshot:
            lines = b"".join(snapshot.completions(None)).splitlines()
            assert sorted(int(line.split(b"\t")[1]) for line in lines) == sorted(users.values())
            assert snapshot.audiences(SQL) == {*SQL}
            assert len(b"".join(snapshot.audience_members(SQL, None)).splitlines()) == len(SQL)


def test_in_a_connections_query_on_postgresql(bridge: Bridge, named: Named) -> None:
    _reads(bridge.totara.engine, named.users)


def test_in_a_connections_query_on_mariadb(on_mariadb: Engine) -> None:
    _reads(on_mariadb, Named(TotaraActs(on_mariadb)).users)


def test_in_a_name_that_has_rules_of_its_own_it_is_refused(staging: Engine) -> None:
    now = datetime.now(UTC)
    for word in SQL:
        with pytest.raises(ConfigurationInvalid):
            TotaraConnection.from_fields("It", extra={"database_url": "postgresql://a@b/c", "table_prefix": word})
        for section in (Site, Destination):
            with pytest.raises(ValidationError):
                section(code=word, connection="c")
        with staging.begin() as transaction, pytest.raises(RequestInvalid):
            api_token.issue(transaction, caller=word, by="ann", now=now)
        with staging.begin() as transaction, pytest.raises(ConfigurationInvalid):
            setting.write(transaction, name=word, value=1, by="ann", now=now)


def test_in_routes_templates_runs_and_filters(bridge: Bridge, named: Named) -> None:
    bridge.extract()
    before = _tables(bridge)
    for version, word in enumerate(named.users, 1):
        template = Template.model_validate(
            {"name": "mine", "version": version, "items": word,
             "fields": {"key": "item_key", "it": {"constant": word}, "name": "user.id_number",
                        "status": {"source": "status", "map": {"complete": word, "complete_rpl": word}}}}
        )  # fmt: skip
        bridge.plan = replace(bridge.plan, destinations=[Wants("oracle", template=template)])
        assert bridge.backfill(narrowed=Route(learners=(word,), courses=(word,))).queued == 1
        [item] = bridge.rows("SELECT q.* FROM bridge.export_queue q ORDER BY id DESC LIMIT 1")
        shown = json.loads(item["payload"])
        assert (shown["it"], shown["name"], shown["status"]) == (word, word, word)
        _are_found(bridge, word, item["id"])
        _is_loaded(bridge, word)
    assert bridge.backfill(narrowed=Route(audiences=SQL, not_learners=SQL, not_courses=SQL), dry_run=True).queued == 0
    erased = erase(bridge.staging, site="sbx", user_id=named.users[SQL[0]], by=SQL[1], dry_run=False, now=bridge.now)
    assert erased.searched is not None
    assert bridge.rows("SELECT count(*) AS erased FROM bridge.erased_learner") == [{"erased": 1}]
    assert _tables(bridge) == before


def _are_found(bridge: Bridge, word: str, item: int) -> None:
    """By what names its learner or course; and nothing by what would name something else."""
    everything = tuple(State)
    finds: dict[str, list[int]] = {
        "learner": [item],
        "course": [item],
        "key": [],
        "error_class": [],
        "fingerprint": [],
        "destinations": [],
    }
    for field, expected in finds.items():
        given: dict[str, Any] = {field: (word,) if field == "destinations" else word}
        asked = Selection(states=everything, **given)
        with bridge.staging.begin() as transaction:
            page = item_page.page(transaction, asked, limit=10)
            counted = item_page.count(transaction, asked)
        assert [row.id for row in page.items] == expected, (word, field)
        assert counted.items == len(expected)
    asked = Selection(states=everything, learner=word, course=word)
    done = carry_out(bridge.staging, Action.CANCEL, asked, by=word, words=word, dry_run=False, now=bridge.now)
    assert (done.selected, done.done) == (1, 1)
    with bridge.staging.begin() as transaction:
        audit.record(transaction, actor=word, action=word, subject=word, details={"it": word}, now=bridge.now)
        for form in (Form.JSON, Form.CSV):
            wanted = audit_page.wanted(actor=word, action=word, subject=word)
            assert len(log_page.page(transaction, audit_page.FOR_MANAGERS, form, wanted, limit=10).rows) == 1
            asked_for = request_page.wanted(destination=word, outcomes=[word])
            assert not log_page.page(transaction, request_page.REQUESTS, form, asked_for, limit=10).rows


def _is_loaded(bridge: Bridge, word: str) -> None:
    """As a name and as a number of a mapping."""
    out = io.StringIO()
    csv.writer(out).writerows([["site", "id_number", "number"], ["sbx", word, word]])
    told = load_mappings(
        bridge.staging, out.getvalue(), kind="learner", destination="oracle", sites=["sbx"], by=word, dry_run=False,
        now=bridge.now,
    )  # fmt: skip
    assert (told.added, told.refused) == (1, []), word


def _tables(bridge: Bridge) -> list[dict[str, Any]]:
    """Every relation of the schema, and how many rows are in those that nothing here writes."""
    relations = bridge.rows("SELECT relname FROM pg_class WHERE relnamespace = 'bridge'::regnamespace ORDER BY 1")
    return relations + bridge.rows("SELECT count(*) AS completions FROM bridge.completion")
