"""A report that lives while it is read page by page: no row is lost and none doubled, or it says that it cannot be."""

import json
import random
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import Engine, select

from tests.asked_totara import Meanwhile, as_19_1, connection_to
from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara.actions import TotaraActs
from totara_bridge.sandbox.totara.change_log import Status
from totara_bridge.sandbox.totara.http.graphql import PATH, GraphqlSwitches, SavedSearch
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault
from totara_bridge.totara.graphql import GraphqlClient
from totara_bridge.totara.report import Report
from totara_bridge.totara.report_query.reading import ReportReading
from totara_bridge.totara.report_query.report_page import report_page

Pairs = list[tuple[str, str]]
PAGES = 16


@pytest.fixture
def meanwhile() -> Meanwhile:
    return Meanwhile()


@pytest.fixture
def sandbox(totara: Engine, meanwhile: Meanwhile) -> Iterator[SandboxTotara]:
    with SandboxTotara(totara) as running:
        running.site.faults = meanwhile
        as_19_1(running, records_per_page=100)
        yield running


@pytest.fixture
def switches(sandbox: SandboxTotara) -> GraphqlSwitches:
    return as_19_1(sandbox, records_per_page=100)


@pytest.fixture
def acts(totara: Engine) -> TotaraActs:
    return TotaraActs(totara)


def read(sandbox: SandboxTotara, report: Report | None = None) -> tuple[Pairs, int]:
    """Who is in the report, in its order, and how often it was read."""
    connection = connection_to(sandbox, report=report or Report(id=1))
    with GraphqlClient(connection) as client, ReportReading(client, connection) as reading:
        user, course = reading.places["user_id"], reading.places["course_id"]
        return [(row.cells[user], row.cells[course]) for row in reading.rows()], reading.readings


def there(acts: TotaraActs) -> Pairs:
    """Who has a completion, in the order in which a report shows them."""
    row = acts.tables.course_completions
    with acts.engine.connect() as connection:
        rows = connection.execute(select(row.c.userid, row.c.course).order_by(row.c.id)).all()
    return [(str(user), str(course)) for user, course in rows]


def drop(acts: TotaraActs, *pairs: tuple[str, str]) -> Callable[[], None]:
    """Delete these completions, when it is time."""

    def now() -> None:
        for user, course in pairs:
            acts.delete_completion(int(user), int(course))

    return now


def test_a_report_that_does_not_move_is_read_twice(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    assert read(sandbox) == (there(acts), 2)
    assert meanwhile.asked == 2 * PAGES


def test_what_is_on_one_page_is_read_once(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile, switches: GraphqlSwitches
) -> None:
    switches.reports[1].records_per_page = 2_000
    assert read(sandbox) == (there(acts), 1)
    assert meanwhile.asked == 1


def test_a_report_of_nobody(sandbox: SandboxTotara, switches: GraphqlSwitches) -> None:
    switches.saved_searches[3] = SavedSearch(completed_since=9_999_999_999)
    assert read(sandbox, Report(id=1, saved_search=3)) == ([], 1)


@pytest.mark.parametrize("size", [1_600, 1_599, 800, 533, 400])
def test_a_last_page_that_is_full_or_has_one_row(
    sandbox: SandboxTotara, acts: TotaraActs, switches: GraphqlSwitches, size: int
) -> None:
    switches.reports[1].records_per_page = size
    assert read(sandbox)[0] == there(acts)


def test_a_row_that_goes_takes_another_with_it_where_a_report_is_read_once(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    before = there(acts)
    meanwhile.acts[2] = drop(acts, before[5])
    with GraphqlClient(connection_to(sandbox)) as client:
        pages = [report_page(client, Report(id=1), number, counted=False) for number in range(1, PAGES + 1)]
    assert set(before) - {(row[0], row[4]) for page in pages for row in page.rows} == {before[100]}


@pytest.mark.parametrize("at", [1, 2, 9, PAGES, PAGES + 1, PAGES + 2, 2 * PAGES])
@pytest.mark.parametrize("which", [0, 100, 1_599])
def test_a_row_that_goes_takes_no_other_with_it(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile, at: int, which: int
) -> None:
    before = there(acts)
    meanwhile.acts[at] = drop(acts, before[which])
    found, _ = read(sandbox)
    assert len(found) == len(set(found))
    assert set(before) - {before[which]} <= set(found) <= set(before)


def test_many_that_go_at_once_take_no_other_with_them(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    before = there(acts)
    gone = before[10:450]
    meanwhile.acts[9] = drop(acts, *gone)
    found, readings = read(sandbox)
    assert found == [pair for pair in before if pair not in set(gone)]
    assert readings == 3


def test_rows_that_come_are_at_the_end_and_move_nobody(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    before = there(acts)
    course = acts.new_course()
    users = [acts.new_user() for _ in range(150)]

    def come() -> None:
        for user in users:
            acts.enrol(user, course)

    meanwhile.acts[PAGES] = come
    found, readings = read(sandbox)
    assert found == there(acts)
    assert len(found) == len(before) + 150
    assert readings == 2


def test_who_is_archived_and_begins_anew_is_found_once(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    user, course = acts.pair_with(status=50)

    def renew() -> None:
        acts.archive(user, course)
        acts.recreate(user, course)

    meanwhile.acts[PAGES] = renew
    found, _ = read(sandbox)
    assert found == there(acts)
    assert found[-1] == (str(user), str(course))


def test_one_who_enters_for_one_who_leaves_is_seen(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile, switches: GraphqlSwitches
) -> None:
    """The number of rows stays the same, and so do the borders of all pages but one."""
    switches.saved_searches[3] = SavedSearch(statuses=frozenset({Status.COMPLETE}))
    row = acts.tables.course_completions
    with acts.engine.connect() as connection:
        rows = connection.execute(select(row.c.userid, row.c.course, row.c.status).order_by(row.c.id)).all()
    complete = [(user, course) for user, course, status in rows if status == Status.COMPLETE]
    begun = [(user, course) for user, course, status in rows if status == Status.IN_PROGRESS]

    def swap() -> None:
        acts.regress(*complete[20])
        acts.complete(*begun[-1])

    meanwhile.acts[3] = swap
    found, readings = read(sandbox, Report(id=1, saved_search=3))
    stayed = {(str(user), str(course)) for user, course in complete if (user, course) != complete[20]}
    assert stayed <= set(found)
    assert len(found) == len(set(found))
    assert readings == 3


def test_a_report_that_never_comes_to_rest_is_for_later(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile
) -> None:
    before = there(acts)
    meanwhile.acts = {at: drop(acts, before[at]) for at in range(1, 200)}
    with pytest.raises(TotaraUnavailable, match=r"changed while it was read, 6 times.*more records per page"):
        read(sandbox)
    assert meanwhile.asked <= 6 * (PAGES + 1)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_nobody_is_lost_or_doubled_who_was_there_all_the_time(
    sandbox: SandboxTotara, acts: TotaraActs, meanwhile: Meanwhile, switches: GraphqlSwitches, seed: int
) -> None:
    chance = random.Random(seed)
    switches.reports[1].records_per_page = chance.choice([37, 50, 100, 250])
    course = acts.new_course()
    alive, gone = there(acts), set[tuple[str, str]]()
    pages = -(-len(alive) // switches.reports[1].records_per_page)

    def something() -> None:
        for _ in range(chance.choice([1, 1, 3, 40])):
            if chance.random() < 0.5:
                pair = alive.pop(chance.randrange(len(alive)))
                gone.add(pair)
                drop(acts, pair)()
            else:
                acts.enrol(acts.new_user(), course)

    meanwhile.acts = {chance.randrange(1, 2 * pages): something for _ in range(3)}
    found, _ = read(sandbox)
    assert len(found) == len(set(found))
    assert set(alive) <= set(found)
    assert set(found) <= set(there(acts)) | gone


def test_a_report_that_is_edited_meanwhile_is_for_later(
    sandbox: SandboxTotara, meanwhile: Meanwhile, switches: GraphqlSwitches
) -> None:
    def edit() -> None:
        switches.reports[1].columns = switches.reports[1].columns[:-1]

    meanwhile.acts[5] = edit
    with pytest.raises(TotaraUnavailable, match="was edited while it was read"):
        read(sandbox)


def test_a_page_number_that_is_ignored_is_noticed(sandbox: SandboxTotara) -> None:
    """As an argument is that a release does not know: the first page would come for ever."""
    keys = ("user_id", "course_id", "course_completion_status")
    page = {
        "report_metadata": {"title": "Lab", "records_per_page": 1},
        "report_pagination": {"total_pages": 5},
        "columns": [{"key": key, "label": key} for key in keys],
        "rows": [{"data": ["3", "2", "Complete"]}],
    }
    body = json.dumps({"data": {"totara_reportbuilder_get_report": page}})
    sandbox.site.faults.put([Fault(status=200, body=body, content_type="application/json", path=PATH)] * 2)
    with pytest.raises(TotaraRefused, match="the same rows as page 1 and as page 2"):
        read(sandbox)
