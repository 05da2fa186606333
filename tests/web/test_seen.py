"""What is wrong with what a puller has seen is found."""

from pathlib import Path

from tests.web.seen import Journal, Seen, State, Step, Written, disorder, last_of, missed, skipped
from totara_bridge.web.pull import cursor
from totara_bridge.web.pull.cursor import Cursor


def place(after: int) -> str:
    return cursor.written(Cursor("completions", after, 0, {}))


def page(*versions: tuple[str, int], at: float = 0) -> Step:
    return Step([Seen(*each, False) for each in versions], place(max((each[1] for each in versions), default=0)), at=at)


def test_versions_that_grow_are_in_order() -> None:
    assert [*disorder([page(("a", 1), ("b", 2)), page(("a", 3))])] == []


def test_a_version_below_another_one_is_out_of_order() -> None:
    assert len([*disorder([page(("a", 2), ("b", 1))])]) == 1
    assert len([*disorder([page(("a", 2)), page(("b", 1))])]) == 1


def test_a_version_that_comes_twice_is_out_of_order() -> None:
    assert len([*disorder([page(("a", 1)), page(("a", 1))])]) == 1


def test_an_answer_that_broke_off_may_begin_again_but_no_item_goes_back() -> None:
    broken = [page(("a", 1)), Step([], None, begins=True), Step([Seen("b", 5, False), Seen("c", 6, False)], None)]
    again = Step([], None, begins=True)
    assert [*disorder([*broken, again, page(("b", 5), ("c", 6))])] == []
    assert [*disorder([*broken, again, page(("c", 6), ("b", 7))])] == []
    assert len([*disorder([*broken, again, page(("b", 4))])]) == 1
    assert len([*disorder([*broken, again, page(("d", 1))])]) == 1


def test_what_is_believed_and_is_not_so_is_missed() -> None:
    steps = [page(("a", 1), ("b", 2), ("c", 3))]
    truth = {"a": State(1, False), "b": State(4, False), "c": State(3, True), "d": State(5, False)}
    assert [fault.partition(" ")[0] for fault in missed(steps, truth)] == ["b", "c", "d"]
    assert [*missed(steps, last_of(steps))] == []


def test_a_version_that_was_passed_while_it_was_the_newest_was_skipped_though_a_later_one_came() -> None:
    steps = [page(("b", 2), at=10.0), page(("a", 3), at=20.0)]
    assert (
        len([*skipped(steps, [Written("a", 1, 5.0), Written("b", 2, 5.0), Written("a", 3, 15.0)], "completions")]) == 1
    )
    assert [*skipped(steps, [Written("a", 1, 5.0), Written("b", 2, 5.0), Written("a", 3, 9.0)], "completions")] == []
    assert len([*skipped(steps, [Written("a", 1, 15.0), Written("b", 2, 5.0)], "completions")]) == 1


def test_a_line_that_was_not_finished_never_was(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    journal = Journal(file)
    assert journal.cursor() is None
    journal.add(first := page(("a", 1)), Step([Seen("b", 7, True)], None))
    whole = file.stat().st_size
    journal.add(second := page(("a", 2)))
    written = file.read_bytes()
    for length in range(whole, len(written)):
        file.write_bytes(written[:length])
        assert (len(journal.steps()), journal.cursor()) == (2, first.cursor)
        journal.repair()
        journal.add(second)
        assert file.read_bytes() == written
