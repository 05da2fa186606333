"""What may be wrong with a report's file: each is a sentence, and what is right in it is read nevertheless."""

import os
import time
import tracemalloc
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.bridge import Bridge
from tests.exporting import HEADER, Exports, connection, lines_of, refused_of
from totara_bridge.errors import ConfigurationInvalid, TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara.report_builder import Schedule
from totara_bridge.totara.report import Report
from totara_bridge.totara.report_file import ReportFileSource, check
from totara_bridge.totara.report_file.folder import files, open_file
from totara_bridge.totara.source import Dates

RECORDED = Path(__file__).parents[1] / "recorded" / "reports"
SOUND = "7,anna,E7,2,C001,Complete,10 Nov 2025"
FILE = "report.csv"


@pytest.fixture
def exports(bridge: Bridge, tmp_path: Path) -> Exports:
    """The captured Totara, and a folder without a file."""
    return Exports(bridge, tmp_path)


@pytest.fixture
def new_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written just now still is so after some extracts, however busy the machine is."""
    monkeypatch.setattr("totara_bridge.totara.report_file.source.SETTLED_AFTER", 3600)


def source_of(text: str | bytes, folder: Path, **report: Any) -> ReportFileSource:
    """A source whose only file has these contents."""
    path = folder / FILE
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    os.utime(path, (1_790_000_000,) * 2)
    return ReportFileSource(connection(str(path), **report), lambda digest: False)


@pytest.mark.parametrize("name", ["Lab_completions_21112026_1.csv", "Lab_completions_21112026_2.csv"])
def test_the_sandbox_writes_what_was_recorded(exports: Exports, name: str) -> None:
    recorded = (RECORDED / name).read_text().splitlines()
    statuses = {"Complete", '"Complete via rpl"'} if name.endswith("_2.csv") else None
    path = exports.write(id=1)
    assert path is not None
    assert path.name == f"Lab_completions_{exports.bridge.now:%d%m%Y}_1.csv"
    assert path.parent.name == "admin"
    written = path.read_text().splitlines()
    if statuses:
        written = [written[0], *(line for line in written if line.split(",")[7] in statuses)]
    assert written[: len(recorded)] == recorded


def test_every_recorded_file_is_read() -> None:
    source = ReportFileSource(connection(str(RECORDED / "*.csv")), lambda digest: False)
    files = set()
    for path in sorted(RECORDED.glob("*.csv")):
        refused, read = refused_of(ReportFileSource(connection(str(path)), lambda digest: False))
        assert refused == []
        files |= {(file.name, file.rows) for file in read}
    assert files == {(f"Lab_completions_21112026_{number}.csv", 29) for number in (1, 2, 4)}
    with source.snapshot() as snapshot:
        assert snapshot.more
        assert (snapshot.gives.dates, snapshot.gives.history, snapshot.gives.row_ids) == (Dates.DAY, False, False)
        assert "progress" not in snapshot.gives.columns
        assert {"grade", "rpl", "time_started", "time_completed_until"} <= snapshot.gives.columns


def test_links_that_lead_nowhere_and_folders_stop_no_file(exports: Exports) -> None:
    path = exports.put("report.csv", f"{HEADER}\n{SOUND}\n")
    path.with_name("loop.csv").symlink_to(path.with_name("loop.csv"))
    path.with_name("gone.csv").symlink_to(path.with_name("nowhere.csv"))
    path.with_name("folder.csv").mkdir()
    assert exports.extract().read == 1


def test_a_link_to_a_file_is_no_report(exports: Exports, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("what only this user may read\n")
    os.utime(elsewhere, (1_790_000_000,) * 2)
    link = exports.folder / "admin" / "link.csv"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    assert files(str(exports.folder)) == files(exports.connection.report.place) == []
    assert exports.extract().read == 0
    assert check(connection(str(link))) == f"There is no report file at {link} yet: an empty report writes none."


def test_a_link_that_takes_a_files_place_meanwhile_is_not_followed(exports: Exports) -> None:
    path = exports.put("report.csv", f"{HEADER}\n{SOUND}\n")
    [found] = files(str(path))
    path.rename(moved := path.with_suffix(".moved"))
    path.symlink_to(moved)
    with ExitStack() as opened:
        assert open_file(found, opened) is None


def test_a_folder_that_is_a_link_is_read(exports: Exports) -> None:
    path = exports.put("report.csv", f"{HEADER}\n{SOUND}\n")
    exports.folder.joinpath("linked").symlink_to(path.parent)
    assert [each.name for each in files(str(exports.folder / "linked"))] == ["report.csv"]


def test_a_name_that_is_no_text_is_shown_as_far_as_it_can_be(exports: Exports) -> None:
    exports.put(os.fsdecode(b"\xff.csv"), f"{HEADER}\n{SOUND}\n")
    assert exports.extract().read == 1
    assert exports.loaded() == ["admin/\ufffd.csv"]


def test_lines_of_a_row(tmp_path: Path) -> None:
    more = ",user_emailunobscured,course_completion_rplnote,course_completion_grade,course_completion_progressnumeric"
    row = '8,"o""neil, a",E8,3,"C,3","Complete via rpl","29 Mar 2026",-,"two\nlines \\ here",55.5%,90%'
    source = source_of(f"{HEADER}{more}\n{row}\n{SOUND},a@example.com,,70.0%,-\n", tmp_path, zone="Europe/Berlin")
    assert lines_of(source, "completions") == [
        [
            "2",
            "8",
            "3",
            "complete_rpl",
            "90",
            "55.5",
            "two\\nlines \\\\ here",
            "\\N",
            "\\N",
            "1774738800",
            "1774821600",
        ],
        ["4", "7", "2", "complete", "\\N", "\\N", "\\N", "\\N", "\\N", "1762729200", "1762815600"],
    ]
    assert lines_of(source, "learners") == [
        ["8", 'o"neil, a', "E8", "\\N", "\\N", "\\N", "\\N", "\\N"],
        ["7", "anna", "E7", "a@example.com", "\\N", "\\N", "\\N", "\\N"],
    ]
    assert lines_of(source, "courses") == [
        ["3", "\\N", "\\N", "C,3", "\\N", "\\N", "\\N"],
        ["2", "\\N", "\\N", "C001", "\\N", "\\N", "\\N"],
    ]


@pytest.mark.parametrize(
    "text",
    [
        f"\ufeff{HEADER}\n{SOUND}\n".encode(),
        f"{HEADER}\r\n{SOUND}\r\n".encode(),
        f"{HEADER}\n\n{SOUND}\n\n\n".encode(),
        f'"{HEADER.replace(",", chr(34) + "," + chr(34))}"\n{SOUND}\n'.encode(),
        f"{HEADER.upper()}\n{SOUND}\n".encode(),
    ],
    ids=["BOM", "Windows", "empty lines", "quoted header", "capitals"],
)
def test_shapes_of_a_file(text: bytes, tmp_path: Path) -> None:
    assert [line[1:4] for line in lines_of(source_of(text, tmp_path), "completions")] == [["7", "2", "complete"]]


@pytest.mark.parametrize(
    "text",
    [f"{HEADER}\n{SOUND}\n7,Jörg,E7,2,C001,Complete,-\n".encode("latin-1"), f"{HEADER}\n{SOUND}\n".encode("utf-16")],
)
def test_not_utf_8(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(TotaraRefused, match=r"not text in UTF-8 \(line [13]\)"), source_of(text, tmp_path).snapshot():
        pass


def test_one_endless_line(tmp_path: Path) -> None:
    with (
        pytest.raises(TotaraRefused, match=r"Line 2 .* is longer than 1 MiB"),
        source_of(f"{HEADER}\n{'x' * (2 << 20)}\n", tmp_path).snapshot(),
    ):
        pass


def test_bad_rows_are_set_aside_and_the_rest_loads(exports: Exports) -> None:
    rows = [
        "8,bea,E8,2,C001,Complete,10 Nov 2025",
        '9,"carl\ncarlson",E9,2,C001,Complete,10 Nov 2025',
        "Anna Garcia,anna,E1,2,C001,Complete,10 Nov 2025",
        "10,dora,E10,,C001,Complete,10 Nov 2025",
        "11,emil,E11,2,C001,Erledigt,10 Nov 2025",
        "12,fred,E12,2,C001,Complete,10/11/2025",
        "13,gerd,E13,2,C001",
        '14,"hans,E14,2,C001,Complete,10 Nov 2025',
        "0,ida,E15,2,C001,Complete,10 Nov 2025",
        "16,jan,E16,2,C001,Complete,",
    ]
    exports.put(FILE, "\n".join([HEADER, *rows]) + "\n")
    extracted = exports.extract()
    assert (extracted.read, extracted.set_aside) == (3, 7)
    staged = exports.bridge.rows("SELECT user_id FROM bridge.completion ORDER BY user_id")
    assert [row["user_id"] for row in staged] == [8, 9, 16]
    found = exports.set_aside()
    assert {feed for feed, _, _ in found} == {f"admin/{FILE}"}
    reasons = {place: reason for _, place, reason in found}
    assert sorted(reasons) == [5, 6, 7, 8, 9, 10, 11]
    assert "learner's id is no number" in reasons[5]
    assert "course's id is no number" in reasons[6]
    assert 'the status "Erledigt" is not known' in reasons[7]
    assert 'which number of "10/11/2025" is the day' in reasons[8]
    assert "not as many columns as the header" in reasons[9]
    assert "not as many columns as the header" in reasons[10]
    assert "learner's id is no number" in reasons[11]
    assert not any("Garcia" in reason for reason in reasons.values()), "nobody is known who could be erased"
    assert all(reason.endswith(".") for reason in reasons.values())
    (file,) = exports.bridge.rows("SELECT rows FROM bridge.loaded_file")
    assert file["rows"] == 3
    assert not exports.extract().changed


def test_a_row_of_which_the_pair_is_known_says_so(tmp_path: Path) -> None:
    refused, (file,) = refused_of(source_of(f"{HEADER}\n{SOUND}\n8,b,E8,3,C3,Nope,-\n", tmp_path))
    assert refused == [[FILE, "3", "8", "3", refused[0][4]]]
    assert file.rows == 1


def test_when_every_row_is_bad_the_file_is_refused(exports: Exports) -> None:
    exports.put(FILE, f"{HEADER}\n{SOUND.replace('Complete', 'Erledigt')}\n")
    with pytest.raises(TotaraRefused, match=r"Not one of the 1 rows .* line 2: the status \"Erledigt\" is not known"):
        exports.extract()
    assert exports.loaded() == []
    assert exports.set_aside() == []
    fixed = Report(place=exports.connection.report.place, words={"Erledigt": "complete"})
    assert exports.extract(report=fixed).read == 1


def test_missing_columns_refuse_the_file(exports: Exports) -> None:
    exports.write(columns=("user_username", "course_id", "course_completion_completeddate"))
    with pytest.raises(TotaraRefused) as refused:
        exports.extract()
    said = str(refused.value)
    for words in ('user_id ("user_id")', 'status ("course_completion_status")', "by their ids, not by names"):
        assert words in said
    assert '"user_username", "course_id", "course_completion_completeddate"' in said
    assert exports.loaded() == []


def test_headings_as_a_person_sees_them(exports: Exports) -> None:
    exports.write(headings=True)
    with pytest.raises(TotaraRefused, match=r'user_id .*its columns are "User ID", "Username"'):
        exports.extract()
    columns = {
        "user_id": "User ID",
        "course_id": "Course ID",
        "status": "completion STATUS",
        "time_completed": "Completion date",
    }
    place = exports.connection.report.place
    assert exports.extract(report=Report.model_validate({"place": place, "columns": columns})).instances.new == 999


def test_a_column_that_the_connection_names_must_be_there(tmp_path: Path) -> None:
    source = source_of(f"{HEADER}\n{SOUND}\n", tmp_path, columns={"grade": "Note"})
    with pytest.raises(TotaraRefused, match=r"grade \(\"Note\"\)"), source.snapshot():
        pass


def test_one_heading_over_two_columns(tmp_path: Path) -> None:
    text = "ID,ID,Status\n7,2,Complete\n"
    source = source_of(text, tmp_path, columns={"user_id": "ID", "course_id": "ID", "status": "Status"})
    with pytest.raises(TotaraRefused, match='2 columns with the heading "ID"'), source.snapshot():
        pass


def test_without_a_date_column(tmp_path: Path) -> None:
    source = source_of("user_id,course_id,course_completion_status\n7,2,Complete\n", tmp_path)
    with source.snapshot() as snapshot:
        assert snapshot.gives.dates is Dates.NONE
    assert lines_of(source, "completions")[0][-2:] == ["\\N", "\\N"]


def test_days_in_the_learners_time_zones(tmp_path: Path) -> None:
    zones = ["Pacific/Auckland", "99", "", "Mars/Olympus"]
    rows = "".join(f"{number},x,x,2,C,Complete,10 Nov 2025,{zone}\n" for number, zone in enumerate(zones, 1))
    text = f"{HEADER},user_timezone\n{rows}"
    source = source_of(text, tmp_path, zone="Europe/Berlin")
    assert {line[-2] for line in lines_of(source, "completions")} == {_first("Europe/Berlin")}
    theirs = replace(connection(str(tmp_path / FILE), zone="Europe/Berlin"), days_of="learner")
    source = ReportFileSource(theirs, lambda digest: False)
    starts = [line[-2] for line in lines_of(source, "completions")]
    assert starts == [_first("Pacific/Auckland"), _first("Europe/Berlin"), _first("Europe/Berlin")]
    ((_, place, user, course, reason),), _ = refused_of(source)
    assert (place, user, course) == ("5", "4", "2")
    assert 'time zone "Mars/Olympus" is not known' in reason


def _first(zone: str) -> str:
    return str(int(datetime(2025, 11, 10, tzinfo=ZoneInfo(zone)).timestamp()))


def test_a_deleted_learner_is_known_by_the_name_that_totara_gives(tmp_path: Path) -> None:
    header = f"{HEADER},user_emailunobscured"
    rows = "7,deleted_x1,,2,C,Complete,-,\n8,deleted_y,E8,2,C,Complete,-,y@example.com\n9,anna,,2,C,Complete,-,\n"
    learners = lines_of(source_of(f"{header}\n{rows}", tmp_path), "learners")
    assert [line[-1] for line in learners] == ["t", "\\N", "\\N"]


@pytest.mark.usefixtures("new_for_long")
def test_half_written_and_completed_later(exports: Exports) -> None:
    with exports.builder.half_written(Schedule(), exports.bridge.now) as path:
        exports.settle(path)
        assert exports.extract().read == 0
        assert exports.loaded() == []
    assert exports.extract().read == 0, "it has only just been written"
    exports.settle(path)
    assert exports.extract().read == 1600
    assert len(exports.loaded()) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is empty"),
        (HEADER, "its last line has no end"),
        (f"{HEADER}\n{SOUND}", "its last line has no end"),
        (f"{HEADER}\n{SOUND}\n8,bea,E8,2\n", "the last row, of line 3, has not all its columns"),
        (f'{HEADER}\n{SOUND}\n8,"bea\n', "the last row, of line 3, has not all its columns"),
    ],
)
def test_what_is_not_whole_yet_waits(text: str, why: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = source_of(text, tmp_path)
    assert lines_of(source, "completions") == []
    assert f"The report file {FILE} waits for the next run, as {why}" in caplog.text
    with source.snapshot() as snapshot:
        assert (snapshot.more, snapshot.whole, list(snapshot.read_files())) == (False, False, [])
    assert check(connection(str(tmp_path / FILE))).endswith(f"waits, as {why}.")


def test_wherever_it_is_cut_it_waits(tmp_path: Path) -> None:
    rows = ['7,jörg,E7,2,"C\n1",Complete,10 Nov 2025', "8,日本,E8,2,C1,Complete,10 Nov 2025"]
    whole = f"{HEADER}\n{rows[0]}\n{rows[1]}\n".encode()
    ends = {len(HEADER) + 1, len(f"{HEADER}\n{rows[0]}\n".encode()), len(whole)}
    for cut in range(len(whole) + 1):
        with source_of(whole[:cut], tmp_path).snapshot() as snapshot:
            b"".join(snapshot.completions(None))
            assert bool(snapshot.read_files()) == (cut in ends), cut


@pytest.mark.usefixtures("new_for_long")
def test_what_was_written_just_now_waits_and_holds_up_no_other(exports: Exports) -> None:
    older = exports.put("older.csv", f"{HEADER}\n{SOUND}\n")
    newer = exports.put("newer.csv", f"{HEADER}\n{SOUND.replace('7', '8', 1)}\n")
    os.utime(newer)
    exports.extract()
    exports.extract()
    assert exports.loaded() == [f"admin/{older.name}"]
    ahead = time.time() + 3600
    os.utime(newer, (ahead, ahead))
    assert exports.extract().read == 0, "written in the future: clocks differ, so nobody knows how long ago"
    exports.settle(newer)
    assert exports.extract().read == 1


def test_written_after_the_folder_was_looked_at(exports: Exports) -> None:
    exports.put("first.csv", f"{HEADER}\n{SOUND}\n")
    second = exports.put("second.csv", f"{HEADER}\n{SOUND}\n{SOUND}\n")
    asked = []

    def write_the_second(digest: str) -> bool:
        asked.append(digest)
        second.write_text(f"{HEADER}\n{SOUND.replace('7', '8', 1)}\n")
        return True

    with ReportFileSource(exports.connection, write_the_second).snapshot():
        assert len(asked) == 1, "what the second was when the folder was looked at it is no more"


def test_a_file_that_shrinks_while_it_is_read(tmp_path: Path) -> None:
    source = source_of(f"{HEADER}\n" + f"{SOUND}\n" * 50_000, tmp_path)
    with source.snapshot() as snapshot:
        lines = snapshot.learners(None)
        next(lines)
        (tmp_path / FILE).write_text(f"{HEADER}\n{SOUND}\n")
        with pytest.raises(TotaraUnavailable, match="was written while it was read"):
            b"".join(snapshot.completions(None))
        assert list(snapshot.read_files()) == []


def test_a_place_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid, match="depends on where the task runs"):
        check(connection("exports/*.csv"))
    for place in ("missing", "missing/*.csv", "missing/*/x_*.csv"):
        with pytest.raises(TotaraRefused, match=f"{tmp_path}/missing of report files cannot be read"):
            check(connection(str(tmp_path / place)))
    assert "an empty report writes none" in check(connection(str(tmp_path)))
    assert "an empty report writes none" in check(connection(str(tmp_path / "*" / "x_*.csv")))


def test_only_names_that_fit(exports: Exports) -> None:
    for name in ("a.csv", ".b.csv", "c.txt", "Other.csv"):
        exports.put(name, f"{HEADER}\n{SOUND}\n")
    (exports.folder / "admin" / "folder.csv").mkdir()
    source = ReportFileSource(connection(str(exports.folder / "admin")), lambda digest: False)
    with source.snapshot() as snapshot:
        assert snapshot.more
    source = ReportFileSource(connection(str(exports.folder / "admin" / "O*.csv")), lambda digest: False)
    assert refused_of(source)[1][0].name == "Other.csv"


def test_the_check_says_what_is_there(exports: Exports) -> None:
    exports.write()
    said = check(connection(exports.connection.report.place, zone="Europe/Berlin"))
    written = datetime.fromtimestamp(1_790_000_001, UTC)
    assert f"written {written:%Y-%m-%d %H:%M} UTC has 1600 rows, with days in Europe/Berlin." in said


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def most(rows: int) -> int:
        text = "".join(f"{n % 50 + 1},x,x,{n % 7 + 2},C,Complete,{n % 28 + 1} Nov 2025\n" for n in range(rows))
        source = source_of(f"{HEADER}\n{text}", tmp_path)
        tracemalloc.start()
        with source.snapshot() as snapshot:
            for lines in (snapshot.learners(None), snapshot.courses(None), snapshot.completions(None)):
                assert sum(map(len, lines))
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert most(12_000) < 1.5 * most(2_000)
