"""dlt with Arrow tables, as its manual shows: pages of rows from the database's driver, merged by primary key.

It loads each completion joined with its learner and course, 15 columns. What favours it: it loads no archived
completions, makes no instances, and keeps no unique constraint.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.server import Server
from benchmarks.totara_selects import selects
from totara_bridge.completion import COMPLETION_COLUMNS

_PAGE = 20_000
_KEY = ("user_id", "course_id")
_LEARNER_AND_COURSE = ("username", "learner_id_number", "email", "short_name", "full_name")


def load(folder: Path, server: Server, totara: str, database: str) -> float:
    """Load the site into the table ``bridge.completion``; the seconds that the pipeline's run took.

    :param folder: where the pipeline keeps its state, from the first load to the next.
    """
    # dlt reads its settings when it is imported: nothing is to be sent anywhere, or kept in anybody's home
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(folder)}
    import dlt  # noqa: PLC0415

    pipeline = dlt.pipeline(
        "totara",
        pipelines_dir=str(folder),
        destination=dlt.destinations.postgres(server.tcp(database)),
        dataset_name="bridge",
    )
    pages = dlt.resource(_pages(server.dsn(totara)), name="completion", primary_key=_KEY, write_disposition="merge")
    begun = time.perf_counter()
    pipeline.run(pages).raise_on_failed_jobs()
    return time.perf_counter() - begun


def _pages(address: str) -> Iterator[Any]:
    """Arrow tables, times as timestamps."""
    import pyarrow  # noqa: PLC0415

    kinds = dict.fromkeys(COMPLETION_COLUMNS, pyarrow.int64()) | dict.fromkeys(_LEARNER_AND_COURSE, pyarrow.string())
    kinds |= {"status": pyarrow.string(), "rpl": pyarrow.string(), "grade": pyarrow.decimal128(10, 5)}
    wanted = pyarrow.schema(
        pyarrow.field(
            name, pyarrow.timestamp("s", "UTC") if name.startswith("time_") else kind, nullable=name not in _KEY
        )
        for name, kind in kinds.items()
    )
    with psycopg.connect(address) as connection, connection.cursor("pages") as cursor:
        cursor.execute(_joined().encode())
        while rows := cursor.fetchmany(_PAGE):
            columns = zip(kinds.items(), zip(*rows, strict=True), strict=True)
            arrays = {name: pyarrow.array(values, kind) for (name, kind), values in columns}
            yield pyarrow.table(arrays).cast(wanted)


def _joined() -> str:
    return f"""
        SELECT completion.*, learner.username, learner.idnumber, learner.email, course.shortname, course.fullname
        FROM ({selects()["completion"].text}) AS completion ({", ".join(COMPLETION_COLUMNS)})
        JOIN ttr_user AS learner ON learner.id = completion.user_id
        JOIN ttr_course AS course ON course.id = completion.course_id
    """
