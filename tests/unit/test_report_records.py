"""A CSV file comes apart into its records with their lines, and a broken one takes no other with it."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from totara_bridge.sandbox.totara.report_builder import csv_line
from totara_bridge.totara.report_file.records import header_of, records

CELL = st.text(st.sampled_from('ab ,"\n;é\u2028\x85'), max_size=6)
ROW = st.lists(CELL, min_size=3, max_size=3).filter(any)
SOUND = ["7", "sound", "x"]


def _read(text: str, width: int = 3, first: int = 1) -> list[tuple[int, list[str] | None]]:
    lines = [line.decode() for line in io.BytesIO(text.encode())]
    return [tuple(each) for each in records(lines, width=width, first=first)]  # type: ignore[misc]


@given(st.lists(ROW), st.sampled_from(["\n", "\r\n"]))
def test_records_come_back_with_their_lines(rows: list[list[str]], end: str) -> None:
    text = io.StringIO()
    writer, expected, place = csv.writer(text, lineterminator=end), [], 5
    for row in rows:
        before = text.tell()
        writer.writerow(row)
        expected.append((place, row))
        place += text.getvalue()[before:].count("\n")
    assert _read(text.getvalue(), first=5) == expected


@given(st.lists(st.text(st.sampled_from('a\\ ",\n'), max_size=5), min_size=3, max_size=3).filter(any))
def test_what_totara_writes_swallows_no_neighbour(row: list[str]) -> None:
    after = [csv_line([str(number), "sound", "x"]) for number in range(8)]
    found = [cells for _, cells in _read(csv_line(SOUND) + csv_line(row) + "".join(after))]
    assert found[0] == SOUND
    assert found[-8:] == [[str(number), "sound", "x"] for number in range(8)]
    if not any("\\" in cell for cell in row):
        assert found == [SOUND, row, *found[-8:]]


def test_a_quotation_mark_after_a_backslash_is_not_doubled() -> None:
    row = ["1", 'C:\\"a" and \\"b"', "x"]
    assert csv_line(row) == '1,"C:\\"a"" and \\"b""",x\n'
    assert _read(csv_line(row)) == [(1, row)]
    assert _read(csv_line(["1", "ends with \\", "x"])) == [(1, ["1", "ends with \\", "x"])]


@pytest.mark.parametrize("broken", ["1,2", "1,2,3,4", '1,"2,3', '"1,2,3', '1,2,"', '1,"2"3"",x,y'])
def test_a_broken_line_stands_alone(broken: str) -> None:
    sound = ",".join(SOUND)
    assert _read(f"{sound}\n{broken}\n{sound}\n\n{sound}\n") == [(1, SOUND), (2, None), (3, SOUND), (5, SOUND)]


def test_quotation_marks_that_nothing_closes() -> None:
    found = _read('1,"2,3\n' * 3 + ",".join(SOUND) + "\n")
    assert [place for place, cells in found if cells is None] == [1, 2, 3]
    assert found[-1] == (4, SOUND)


def test_a_header() -> None:
    lines = iter(['\ufeff"User ID", Name ,"two\n', 'lines"\n', "1,2,3\n"])
    assert header_of(lines) == (["User ID", "Name", "two\nlines"], 2)
    assert list(lines) == ["1,2,3\n"]
    assert header_of(iter(())) == ([], 0)
