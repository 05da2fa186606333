"""A large site next to a small one: what 100 changes cost, and what memory and time a first load takes."""

from collections.abc import Iterator

import sqlalchemy as sa

from benchmarks import bridge, peak_memory, report
from benchmarks.report import Line
from benchmarks.server import Server

SMALL, LARGE = 10_000, 1_000_000
_ROUNDS = 15

#: A round: 100 changes in Totara, and what an extract has to make of them. Each becomes one line of the log.
_COMPLETED, _EDITED, _DELETED = 80, 10, 10
_EXPECTED = {
    "read": _COMPLETED + _EDITED,
    "completions_changed": _COMPLETED + _EDITED,
    "completions_deleted": _DELETED,
    "instances_new": _COMPLETED,
    "instances_revised": _EDITED,
    "instances_lost": _DELETED,
    "queued": _COMPLETED,
    "reported": _EDITED + _DELETED,
}


def memory(server: Server, large: int) -> Iterator[Line]:
    """Peak memory of the extracting process, and how its time grows: ten times the rows take ten times as long."""
    loads = {
        size: peak_memory.of_first_load(server, server.totara(size), server.copy(server.staging(), f"staging_{size}"))
        for size in sorted({SMALL, large // 10, large})
    }
    peaks = loads[large].mebibytes, loads[SMALL].mebibytes
    yield report.memory(f"memory, first load of {_words(large)}", *peaks, at=_words(SMALL), at_most=20)
    tenth = loads[large // 10].seconds * 10
    at = f"{_words(large // 10)}, ten times"
    yield report.growth(f"time, first load of {_words(large)}", [loads[large].seconds], [tenth], at=at, at_most=1.3)


def incremental(server: Server, large: int) -> Iterator[Line]:
    """An extract of 100 changes, everything before them being staged and delivered."""
    seconds: dict[int, list[float]] = {SMALL: [], large: []}
    for size in seconds:
        _prepare(server, size)
    for counted in (False, *[True] * _ROUNDS):
        for size, of_size in seconds.items():
            took = _round(server, size)
            if counted:
                of_size.append(took)
    what, at = f"100 changes in {_words(large)}", f"in {_words(SMALL)}"
    yield report.growth(what, seconds[large], seconds[SMALL], at=at, at_most=1.3)


def _words(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _prepare(server: Server, size: int) -> None:
    """A site that was loaded long ago, and whose instances are all delivered."""
    totara, staging = server.copy(server.totara(size), f"live_{size}"), f"staging_{size}"
    if not server.has(staging):
        server.copy(server.staging(), staging)
        bridge.extract(server, totara=totara, staging=staging, full_compare=True)
    with server.engine(staging).begin() as connection:
        for statement in _DELIVER_ALL:
            connection.execute(statement, {"destination": bridge.DESTINATION})
    server.settle(staging)
    server.settle(totara)


def _round(server: Server, size: int) -> float:
    with server.engine(f"live_{size}").begin() as connection:
        for statement in (_COMPLETE, _EDIT, _DELETE):
            connection.execute(statement)
    seconds, extracted = bridge.extract(server, totara=f"live_{size}", staging=f"staging_{size}", full_compare=False)
    found = {name: number for name, number in extracted.counts().items() if number}
    if found != _EXPECTED or extracted.full_compare:
        raise SystemExit(f"An extract of 100 changes in {size} found {found} instead of {_EXPECTED}.")
    return seconds


_DELIVER_ALL = (
    sa.text(
        """
        INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at)
        SELECT :destination, id, 'completion', revision, first_seen_at
        FROM bridge.completion_instance WHERE NOT after_deletion
        """
    ),
    sa.text(
        """
        INSERT INTO bridge.export_queue (destination, instance_id, kind, revision, idempotency_key, state, lane,
                                         payload, attempts, next_attempt_at, staged_at, queued_at,
                                         first_posted_at, sent_at)
        SELECT :destination, id, 'completion', revision, record_key, 'sent', 'backfill', repeat(record_key, 14), 0,
               first_seen_at, first_seen_at, first_seen_at, first_seen_at, first_seen_at
        FROM bridge.completion_instance WHERE NOT after_deletion
        """
    ),
)


def _change(what: str) -> sa.TextClause:
    """The change and its lines in the log.

    They are an hour old, so that the next round's overlap does not go back to them: each round reads 100 changes.
    """
    return sa.text(
        f"""
        WITH changed AS ({what} RETURNING userid, course)
        INSERT INTO ttr_course_completion_log (courseid, userid, changeuserid, description, timemodified)
        SELECT course, userid, 0, '', extract(epoch FROM now())::bigint - 3600 FROM changed
        """
    )


def _some(status: int, number: int) -> str:
    """Rows of learners that exist, from all over the table; never the same twice, as what is changed no longer fits."""
    return f"""
        (SELECT row.id FROM ttr_course_completions AS row JOIN ttr_user AS learner ON learner.id = row.userid
         WHERE row.status = {status} AND row.rpl IS NULL AND row.reaggregate <> 1 AND learner.deleted = 0
         ORDER BY hashint8(row.id) LIMIT {number})
    """


_COMPLETE = _change(
    f"""
    UPDATE ttr_course_completions
    SET status = 50, reaggregate = 1, timecompleted = extract(epoch FROM now())::bigint - 3600
    WHERE id IN {_some(25, _COMPLETED)}
    """
)
_EDIT = _change(
    f"""
    UPDATE ttr_course_completions SET reaggregate = 1, timecompleted = timecompleted - 86400
    WHERE id IN {_some(50, _EDITED)}
    """
)
_DELETE = _change(f"DELETE FROM ttr_course_completions WHERE id IN {_some(50, _DELETED)}")
