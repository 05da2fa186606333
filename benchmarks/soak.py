"""`python -m benchmarks.soak`: 32 callers pull for half an hour while extracts write.

It ends with 1 where any request failed, or the server's memory grew. Every minute it says how it goes.
"""

import argparse
import json
import logging
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from benchmarks import bridge, pull_rows, pull_server, server
from benchmarks.pull_rows import Pulled
from benchmarks.pull_server import Serving
from benchmarks.server import Server

_COMPLETIONS = 20_000
_CALLERS, _PROCESSES = 32, 4
_REST = 1.0  #: seconds between two extracts
_SAMPLE = 2.0  #: seconds between two looks at the server's memory
_GROWTH = 10.0  #: MiB, of the last third of the time against the second


def main() -> None:
    """Soak for as long as was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--completions", type=int, default=_COMPLETIONS, help="how large the site is")
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    with server.running(autovacuum="on") as running:
        pulled = pull_rows.staged(running, asked.completions)
        totara = running.copy(running.totara(asked.completions), "soak_totara")
        with pull_server.alone(running, pulled) as serving:
            sys.exit(0 if _soak(running, totara, pulled, serving, 60 * asked.minutes) else 1)


def _soak(running: Server, totara: str, pulled: Pulled, serving: Serving, seconds: float) -> bool:
    """Whether all went well."""
    began = time.monotonic()
    memory: list[float] = []
    with _extracting(running, totara, pulled) as extracts, _calling(serving, pulled) as done:
        print("  minute     memory  extracts", flush=True)
        while (passed := time.monotonic() - began) < seconds:
            memory.append(serving.memory())
            if int(passed // 60) != int((passed - _SAMPLE) // 60):
                print(f"  {passed / 60:6.0f} {memory[-1]:6.1f} MiB {len(extracts):9}", flush=True)
            time.sleep(_SAMPLE)
    return _told(done, extracts, memory, seconds, serving.peak_memory())


@contextmanager
def _calling(serving: Serving, pulled: Pulled) -> Iterator[dict[str, Any]]:
    """Callers at work; what they did is there after."""
    command = [sys.executable, "-m", "benchmarks.soak_caller", str(serving.port), pulled.token]
    processes = [
        subprocess.Popen([*command, str(_CALLERS // _PROCESSES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(_PROCESSES)
    ]
    done: dict[str, Any] = {"took": defaultdict(list), "errors": 0, "told": []}
    try:
        yield done
    finally:
        for process in processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in processes:
            assert process.stdout is not None
            said = json.loads(process.stdout.read())
            process.wait()
            done["errors"] += said["errors"]
            done["told"] += said["told"]
            for what, took in said["took"].items():
                done["took"][what] += took


@contextmanager
def _extracting(running: Server, totara: str, pulled: Pulled) -> Iterator[list[float]]:
    """Totara changes, and extracts take it over, one after the other; how long each took."""
    stop, took, failed = threading.Event(), list[float](), list[BaseException]()

    def extract() -> None:
        try:
            while not stop.wait(_REST):
                with running.engine(totara).begin() as connection:
                    for change in _CHANGES:
                        connection.execute(change)
                seconds, _ = bridge.extract(running, totara=totara, staging=pulled.database, full_compare=False)
                took.append(seconds)
        except Exception as error:  # it is raised where it is seen
            failed.append(error)

    thread = threading.Thread(target=extract)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()
    if failed:
        raise failed[0]


def _told(done: dict[str, Any], extracts: list[float], memory: list[float], seconds: float, peak: float) -> bool:
    """Say what came of it; whether it is as it should be."""
    requests = sum(map(len, done["took"].values()))
    print(
        f"\n{requests} requests by {_CALLERS} callers in {seconds / 60:.0f} minutes, beside {len(extracts)} extracts\n"
    )
    print(f"  {'':20} {'requests':>9} {'p50':>9} {'p99':>9}")
    for what, took in sorted({**done["took"], "extract": extracts}.items()):
        waits = [1000 * sorted(took)[int(len(took) * share)] for share in (0.5, 0.99)] if took else [0.0, 0.0]
        print(f"  {what:20} {len(took):9} {waits[0]:6.0f} ms {waits[1]:6.0f} ms")
    third = len(memory) // 3
    growth = statistics.median(memory[-third:]) - statistics.median(memory[third : 2 * third])
    print(f"\n  memory of the server: {memory[third]:.0f} MiB after a third, {memory[-1]:.0f} MiB at the end,")
    print(f"  {peak:.0f} MiB at most; the last third has {growth:+.1f} MiB of the second, {_GROWTH:.0f} are allowed")
    print(f"  errors: {done['errors']}")
    for error in done["told"]:
        print(f"    {error}")
    return not done["errors"] and growth <= _GROWTH and requests > 0 and bool(extracts)


def _logged(what: str) -> sa.TextClause:
    """A change and its lines in Totara's log, an hour old: the next extract does not go back to them."""
    return sa.text(
        f"""
        WITH changed AS ({what} RETURNING userid, course)
        INSERT INTO ttr_course_completion_log (courseid, userid, changeuserid, description, timemodified)
        SELECT course, userid, 0, '', extract(epoch FROM now())::bigint - 3600 FROM changed
        """
    )


def _some(status: int) -> str:
    return f"""
        (SELECT row.id FROM ttr_course_completions AS row JOIN ttr_user AS learner ON learner.id = row.userid
         WHERE row.status = {status} AND row.rpl IS NULL AND learner.deleted = 0 ORDER BY random() LIMIT 20)
    """


#: As many completions are taken back as are made, so that it can go on for ever.
_CHANGES = (
    _logged(
        f"""
        UPDATE ttr_course_completions SET status = 50, timecompleted = extract(epoch FROM now())::bigint - 3600
        WHERE id IN {_some(25)}
        """
    ),
    _logged(f"UPDATE ttr_course_completions SET timecompleted = timecompleted - 86400 WHERE id IN {_some(50)}"),
    _logged(f"UPDATE ttr_course_completions SET status = 25, timecompleted = NULL WHERE id IN {_some(50)}"),
    sa.text(
        f"""
        UPDATE ttr_user SET lastname = 'Renamed ' || extract(epoch FROM now())
        WHERE id IN (SELECT userid FROM ttr_course_completions WHERE id IN {_some(50)})
        """
    ),
)


if __name__ == "__main__":
    main()
