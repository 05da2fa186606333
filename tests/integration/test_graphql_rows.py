"""Learners and job assignments by the external GraphQL API: each once, whatever changes between the pages."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, select

from tests.asked_totara import Meanwhile, connection_to
from totara_bridge.errors import TotaraRefused
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.http.graphql import PATH, GraphqlSwitches, graphql_switches
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.totara.graphql import GraphqlClient, JobAssignment, Learner, job_assignments, learners
from totara_bridge.totara.graphql.answers import TooComplex


@pytest.fixture
def sandbox(totara: Engine) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara) as running:
        yield running


@pytest.fixture
def client(sandbox: SandboxTotara) -> Iterator[GraphqlClient]:
    with GraphqlClient(connection_to(sandbox)) as asking:
        yield asking


@pytest.fixture
def acts(totara: Engine) -> TotaraActs:
    return TotaraActs(totara)


@pytest.fixture
def switches(sandbox: SandboxTotara) -> GraphqlSwitches:
    return graphql_switches(sandbox.site)


def test_each_learner_once_with_what_the_database_has(
    client: GraphqlClient, acts: TotaraActs, totara: Engine, switches: GraphqlSwitches
) -> None:
    user = acts.tables.user
    with totara.connect() as connection:
        rows = connection.execute(select(user).where(user.c.deleted == 0).order_by(user.c.id)).mappings().all()
    expected = [
        Learner(
            row["id"], row["username"], row["idnumber"],
            None if row["username"] in switches.hidden_emails else row["email"],
            row["firstname"], row["lastname"], bool(row["suspended"]),
            switches.zone if row["timezone"] == "99" else row["timezone"],
        )
        for row in rows
    ]  # fmt: skip
    assert list(learners(client)) == expected
    assert len(expected) == 204


def test_job_assignments_once_with_what_the_database_has(
    client: GraphqlClient, acts: TotaraActs, totara: Engine
) -> None:
    tables = acts.tables
    statement = (
        select(
            tables.job_assignment,
            tables.pos.c.idnumber.label("pos_number"),
            tables.org.c.idnumber.label("org_number"),
        )
        .outerjoin(tables.pos, tables.pos.c.id == tables.job_assignment.c.positionid)
        .outerjoin(tables.org, tables.org.c.id == tables.job_assignment.c.organisationid)
        .order_by(tables.job_assignment.c.id)
    )
    with totara.connect() as connection:
        rows = connection.execute(statement).mappings().all()
    expected = [
        JobAssignment(
            row["id"], row["userid"], row["idnumber"], row["fullname"], row["startdate"] or None,
            row["enddate"] or None, row["pos_number"], row["org_number"], None,
        )
        for row in rows
    ]  # fmt: skip
    assert list(job_assignments(client)) == expected
    assert len(expected) == 20


def test_a_page_is_halved_until_it_is_not_too_complex(
    client: GraphqlClient, sandbox: SandboxTotara, switches: GraphqlSwitches
) -> None:
    everybody = list(learners(client))
    switches.maximum_complexity = 120
    sandbox.site.faults = meanwhile = Meanwhile()
    assert list(learners(client)) == everybody
    # 743 rows are too many, and so are 371, 185, 92, 46, 23; 11 are not
    assert meanwhile.asked == 6 + -(-204 // 11)


def test_a_limit_that_is_lowered_between_two_pages_is_kept(client: GraphqlClient, switches: GraphqlSwitches) -> None:
    everybody = list(learners(client))
    switches.maximum_complexity = 800
    reading = learners(client)
    begun = [next(reading) for _ in range(92)]
    switches.maximum_complexity = 120
    assert [*begun, *reading] == everybody


def test_where_not_one_row_is_allowed_it_says_so(client: GraphqlClient, switches: GraphqlSwitches) -> None:
    switches.maximum_complexity = 6
    with pytest.raises(TooComplex, match="raise the maximum query complexity"):
        list(learners(client))


def test_what_changes_between_the_pages_loses_nobody_and_doubles_nobody(
    client: GraphqlClient, sandbox: SandboxTotara, switches: GraphqlSwitches, acts: TotaraActs
) -> None:
    before = [each.user_id for each in learners(client)]
    switches.maximum_complexity = 120  # pages of eleven
    added: list[int] = []
    gone = {before[15], before[16], before[100], before[203]}

    def delete(*users: int) -> None:
        for user in users:
            acts.delete_user(user)

    def rename() -> None:
        for user in before[20:60]:
            acts.rename_user(user, "Zz")

    sandbox.site.faults = Meanwhile(
        {
            8: lambda: delete(before[0], before[15], before[16]),
            9: lambda: added.append(acts.new_user()),
            10: rename,
            12: lambda: delete(before[100], before[203]),
            20: lambda: added.append(acts.new_user()),
        }
    )
    read = [each.user_id for each in learners(client)]
    assert len(read) == len(set(read))
    assert set(before) - gone <= set(read)
    assert set(added) <= set(read)
    assert read == sorted(read)


def test_an_order_that_is_none_is_refused(client: GraphqlClient, sandbox: SandboxTotara, acts: TotaraActs) -> None:
    page = '{"data":{"core_user_users":{"next_cursor":"eyJ4IjoxfQ==","items":[{"id":"5"},{"id":"4"}]}}}'
    sandbox.site.faults.put([Fault(status=200, body=page, content_type="application/json", path=PATH)])
    with pytest.raises(TotaraRefused, match=r"not give core_user_users in the order of their ids \(4 after 5\)"):
        list(learners(client))
