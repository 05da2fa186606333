"""dlt, as it is fastest here: Arrow tables in pages, merged by primary key, completions only.

What favours it: it loads neither learners, courses, history nor instances, keeps no unique constraint, and has its
rows parsed from CSV by Arrow, without a Python object per row.
"""

import io
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.dialects import postgresql

from benchmarks.server import Server
from totara_bridge.completion import COMPLETION_COLUMNS
from totara_bridge.totara.database.statements import Statements
from totara_bridge.totara.query import ReadQuery

_PAGE = 20_000


def load(folder: Path, server: Server, totara: str, database: str) -> float:
    """Load the completions into ``bridge.completion``; the seconds that the pipeline's run took.

    :param folder: where the pipeline keeps its state, from the first load to the next.
    """
    # dlt reads its settings when it is imported: nothing is to be sent anywhere, or kept in anybody's home
    os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "DLT_DATA_DIR": str(folder)}
    import dlt  # noqa: PLC0415

    pipeline = dlt.pipeline(
        "completions",
        pipelines_dir=str(folder),
        destination=dlt.destinations.postgres(server.tcp(database)),
        dataset_name="bridge",
    )
    resource = dlt.resource(
        _pages(server.dsn(totara)),
        name="completion",
        primary_key=("user_id", "course_id"),
        write_disposition="merge",
    )
    begun = time.perf_counter()
    pipeline.run(resource, loader_file_format="csv").raise_on_failed_jobs()
    return time.perf_counter() - begun


def _pages(address: str) -> Iterator[Any]:
    """Arrow tables, times as timestamps."""
    import pyarrow  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    types = dict.fromkeys(COMPLETION_COLUMNS, pyarrow.int64())
    types |= {"status": pyarrow.string(), "rpl": pyarrow.string(), "grade": pyarrow.decimal128(10, 5)}
    reading = csv.ReadOptions(column_names=list(COMPLETION_COLUMNS))
    converting = csv.ConvertOptions(
        column_types=types, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
    )
    wanted = pyarrow.schema(
        (name, pyarrow.timestamp("s", "UTC") if name.startswith("time_") else kind) for name, kind in types.items()
    )
    select = Statements("ttr_", ReadQuery()).completions(None)
    compiled = select.compile(dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True})
    with (
        psycopg.connect(address) as connection,
        connection.cursor().copy(f"COPY ({compiled}) TO STDOUT (FORMAT csv)".encode()) as copy,
    ):
        while page := b"".join(islice(copy, _PAGE)):
            yield csv.read_csv(io.BytesIO(page), read_options=reading, convert_options=converting).cast(wanted)
