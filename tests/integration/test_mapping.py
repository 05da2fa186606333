"""Mappings come in as CSV: what can be used is loaded, once, and every other line is reported with its reason."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import pytest

from tests.items import DESTINATION, NOW, Items, items_in
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.mapping import LoadedMapping, load_mappings
from totara_bridge.staging import mapping
from totara_bridge.staging.mapping import Mapping, MappingKind

SITES = ("sbx", "nz")


@pytest.fixture(scope="module")
def database(new_database: Callable[[str], str]) -> Iterator[Items]:
    """A staging database for all tests of this file."""
    with items_in(new_database("mapping")) as opened:
        yield opened


@pytest.fixture
def staged(database: Items) -> Items:
    """Two sites with some learners and courses."""
    database.emptied().sql(
        """
        INSERT INTO bridge.learner VALUES
            ('sbx', 7, 'zoe', 'E-7', 'Zoe@example.com', 'Zoë', 'Łuk', false, NULL, now()),
            ('sbx', 8, 'li', '', 'shared@example.com', 'Li', 'One', false, NULL, now()),
            ('sbx', 9, 'bo', '', 'shared@example.com', 'Bo', 'Two', false, NULL, now()),
            ('sbx', 10, 'zoe', 'E-10', 'old@example.com', 'Zoë', 'Gone', false, now(), now()),
            ('sbx', 11, 'ann', 'E-11', 'ann@example.com', 'Ann', 'Gone', false, now(), now()),
            ('nz', 7, 'li', 'N-7', 'li@example.com', 'Li', 'There', false, NULL, now())
        """
    )
    database.sql(
        """
        INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, visible, changed_at)
        VALUES ('sbx', 5, 1, 'FS1', 'FIRE-1', 'Fire safety', true, now()),
               ('sbx', 6, 1, 'FS2', 'FIRE-2', 'Fire, advanced', true, now())
        """
    )
    return database


def load(staged: Items, text: str, kind: MappingKind = "learner", **changes: Any) -> LoadedMapping:
    """Load the text."""
    usual: dict[str, Any] = {"destination": DESTINATION, "sites": SITES, "by": "ann", "dry_run": False, "now": NOW}
    return load_mappings(staged.staging, text, kind=kind, **usual | changes)


def test_who_loaded_what_is_written_down_and_no_number_of_it(staged: Items) -> None:
    csv = "site,id,number\nsbx,7,ORCL-7\nsbx,8,ORCL-8\nno,9,ORCL-9\n"
    load(staged, csv, dry_run=True)
    assert staged.sql("SELECT * FROM bridge.audit_log") == []
    load(staged, csv)
    load(staged, "site,id,number\nsbx,7,\n", by="eve")
    audited = staged.sql("SELECT actor, action, subject, details FROM bridge.audit_log ORDER BY id")
    counts = {"kind": "learner", "added": 0, "changed": 0, "unchanged": 0, "removed": 0, "refused": 0}
    usual = {"action": "load_mappings", "subject": DESTINATION}
    assert audited == [
        usual | {"actor": "ann", "details": counts | {"added": 2, "refused": 1}},
        usual | {"actor": "eve", "details": counts | {"removed": 1}},
    ]


def numbers(staged: Items, kind: MappingKind = "learner", destination: str = DESTINATION) -> dict[tuple[str, int], str]:
    """What is there."""
    with staged.staging.begin() as transaction:
        found = mapping.read(transaction, destination=destination, kind=kind, limit=100)
    return {(each.site, each.totara_id): each.number for each in found}


def test_what_is_new_is_added_and_what_is_there_is_not_written_again(staged: Items) -> None:
    first = load(staged, "site,id,number\nsbx,7,L-7\nsbx,8,L-8\nnz,7,N-7\n")
    assert first == LoadedMapping(added=3, changed=0, unchanged=0, removed=0, refused=[])
    before = staged.sql("SELECT xmin::text, * FROM bridge.mapping ORDER BY site, totara_id")
    second = load(staged, "site,id,number\nsbx,7,L-7\nsbx,8,L-88\nnz,7,\nnz,99,\n", by="bob")
    assert second == LoadedMapping(added=0, changed=1, unchanged=2, removed=1, refused=[])
    assert numbers(staged) == {("sbx", 7): "L-7", ("sbx", 8): "L-88"}
    after = staged.sql("SELECT xmin::text, * FROM bridge.mapping ORDER BY site, totara_id")
    assert [row for row in after if row in before] == [
        row for row in before if row["totara_id"] == 7 and row["site"] == "sbx"
    ]
    assert {row["totara_id"]: row["changed_by"] for row in after} == {7: "ann", 8: "bob"}


def test_learners_courses_and_destinations_have_numbers_of_their_own(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,7,L-7")
    load(staged, "site,id,number\nsbx,7,C-7", "course")
    load(staged, "site,id,number\nsbx,7,X-7", destination="another")
    load(staged, "site,id,number\nsbx,7,", destination="another")
    assert (numbers(staged), numbers(staged, "course")) == ({("sbx", 7): "L-7"}, {("sbx", 7): "C-7"})


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("learner", "site,username,number\nsbx,ZOE,L-7\nnz,li,N-7", {("sbx", 7): "L-7", ("nz", 7): "N-7"}),
        ("learner", "site,email,number\nsbx,zoe@Example.com,L-7", {("sbx", 7): "L-7"}),
        ("learner", "site,id_number,number\nsbx,e-7,L-7\nsbx,E-11,L-11", {("sbx", 7): "L-7", ("sbx", 11): "L-11"}),
        ("course", "site,short_name,number\nsbx,FS2,C-6", {("sbx", 6): "C-6"}),
        ("course", "site,id_number,number\nsbx,FIRE-1,C-5", {("sbx", 5): "C-5"}),
    ],
)
def test_other_names_are_looked_up(
    staged: Items, kind: MappingKind, text: str, expected: dict[tuple[str, int], str]
) -> None:
    assert load(staged, text, kind).refused == []
    assert numbers(staged, kind) == expected


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffsite,id,number\r\nsbx,7,L-7\r\n",
        "site;id;number\n\n  \nsbx;7;L-7\n;;\n",
        'site\tid\tnumber\nsbx\t7\t"L-7"',
        '"Site" , "ID" , "Number"\n"sbx",  7 , L-7 ',
        "\n\nsite,id,number\rsbx,7,L-7",
    ],
)
def test_what_spreadsheets_make_of_csv_is_understood(staged: Items, text: str) -> None:
    assert load(staged, text) == LoadedMapping(added=1, changed=0, unchanged=0, removed=0, refused=[])
    assert numbers(staged) == {("sbx", 7): "L-7"}


@pytest.mark.parametrize(
    "header", ["", "site,id", "site,short_name,number", "sbx,7,L-7", "site|id|number", "id,site,number"]
)
def test_another_header_is_refused_with_what_is_expected(staged: Items, header: str) -> None:
    expected = r"write site,id,number \(for id also username, id_number, email\)"
    with pytest.raises(ConfigurationInvalid, match=expected):
        load(staged, f"{header}\nsbx,7,L-7" if header else "")
    assert numbers(staged) == {}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("uk,7,L-7", "its site is none of sbx, nz"),
        ("sbx,seven,L-7", "its id is no number of Totara's"),
        ("sbx,-7,L-7", "its id is no number of Totara's"),
        ("sbx,0,L-7", "its id is no number of Totara's"),
        ("sbx,9223372036854775808,L-7", "its id is no number of Totara's"),
        ("sbx,٧,L-7", "its id is no number of Totara's"),
        ("sbx,,L-7", "it does not say whom or what the number is for"),
        ("sbx,7", "it has 2 fields instead of 3"),
        ("sbx,7,L-7,more", "it has 4 fields instead of 3"),
        ("sbx,7,L\x007", "it holds a control character"),
        ("sbx,7,L\ud8007", "it holds a control character"),
        ("sbx,7," + "9" * 65, "the number has 65 characters, more than 64"),
        ("sbx,7,\u00a0", "the number holds an invisible character"),
        ("sbx,7,L-7\u00a0", "the number holds an invisible character"),
        ("sbx,7,\ufeff", "the number holds an invisible character"),
        ("sbx,7,L\u200b7", "the number holds an invisible character"),
        ("sbx,7,\x1f", "it holds a control character"),
        ('sbx,7,"L-7', "it cannot be read as CSV: unexpected end of data"),
        ('sbx,7,"L"7', "it cannot be read as CSV: ',' expected after '\"'"),
    ],
)
def test_a_line_that_cannot_be_used_is_reported_and_the_others_are_loaded(
    staged: Items, line: str, reason: str
) -> None:
    done = load(staged, f"site,id,number\n\nsbx,8,L-8\n{line}\nsbx,9,{'9' * 64}\n")
    assert done == LoadedMapping(added=2, changed=0, unchanged=0, removed=0, refused=[(4, reason)])
    assert numbers(staged) == {("sbx", 8): "L-8", ("sbx", 9): "9" * 64}


def test_what_only_looks_empty_removes_nothing(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,7,L-7")
    assert load(staged, "site,id,number\nsbx,7,\u00a0").removed == 0
    assert load(staged, "site,id,number\nsbx,7, \t ").removed == 1


def test_names_that_are_nobodys_or_several_peoples_are_reported_without_them(staged: Items) -> None:
    done = load(staged, "site,email,number\nsbx,shared@example.com,1\nsbx,who@example.com,2\nsbx,zoe@example.com,3")
    assert done.refused == [(2, "2 learners of site sbx have this email"), (3, "no learner of site sbx has this email")]
    assert numbers(staged) == {("sbx", 7): "3"}


def test_a_deleted_learner_counts_where_nobody_else_goes_by_the_name(staged: Items) -> None:
    load(staged, "site,username,number\nsbx,zoe,L-7\nsbx,ann,L-11")
    assert numbers(staged) == {("sbx", 7): "L-7", ("sbx", 11): "L-11"}


def test_lines_that_contradict_each_other_are_refused_and_a_repeated_one_is_one(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,8,L-8")
    done = load(staged, "site,username,number\nsbx,zoe,1\nsbx,li,L-8\nsbx,ZOE,2\nsbx,LI,L-8\nsbx,bo,3")
    words = "lines 2, 4 give different numbers for the same id"
    assert done == LoadedMapping(added=1, changed=0, unchanged=1, removed=0, refused=[(2, words), (4, words)])


def test_a_dry_run_says_the_same_and_changes_nothing(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,7,L-7\nsbx,8,L-8")
    text = "site,id,number\nsbx,7,L-77\nsbx,8,\nsbx,9,L-9\nsbx,x,1"
    dry = load(staged, text, dry_run=True)
    assert asdict(dry) == asdict(load(staged, text))
    assert (dry.added, dry.changed, dry.removed, len(dry.refused)) == (1, 1, 1, 1)


def test_a_dry_run_leaves_what_is_there(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,7,L-7", dry_run=True)
    assert numbers(staged) == {}


def test_one_mapping_at_a_time(staged: Items) -> None:
    asked: dict[str, Any] = {"destination": DESTINATION, "kind": "course", "by": "ann", "now": NOW}
    with staged.staging.begin() as transaction:
        assert mapping.put(transaction, Mapping("sbx", 5, "C-5"), **asked).added == 1
        assert mapping.put(transaction, Mapping("sbx", 6, "C-6"), **asked).added == 1
        assert mapping.remove(transaction, "sbx", 5, **asked)
        assert not mapping.remove(transaction, "sbx", 5, **asked)
    assert numbers(staged, "course") == {("sbx", 6): "C-6"}


def test_reading_goes_on_where_it_stopped(staged: Items) -> None:
    load(staged, "site,id,number\nsbx,7,1\nsbx,8,2\nnz,7,3")
    with staged.staging.begin() as transaction:
        first = mapping.read(transaction, destination=DESTINATION, kind="learner", limit=2)
        last = (first[-1].site, first[-1].totara_id)
        rest = mapping.read(transaction, destination=DESTINATION, kind="learner", after=last, limit=2)
    assert [each.number for each in (*first, *rest)] == ["3", "1", "2"]


def test_only_names_that_are_kept_are_looked_up(staged: Items) -> None:
    with staged.staging.begin() as transaction, pytest.raises(ValueError, match="use one of short_name, id_number"):
        mapping.resolve(transaction, "course", "full_name", [])
