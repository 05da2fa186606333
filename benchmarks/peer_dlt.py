"""dlt, as it is fastest here: Arrow tables in pages, loaded as CSV, merged by primary key.

It loads what the bridge reads: completions, archived completions, learners and courses. What favours it: it makes no
instances of them and keeps no unique constraints, and its rows are parsed by Arrow, without a Python object per row.
"""

import io
import os
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.server import Server
from benchmarks.totara_selects import Select, selects

_PAGE = 20_000
_FLAGS = {"suspended", "deleted", "visible"}
_TEXTS = {"status", "rpl", "username", "id_number", "email", "first_name", "last_name", "short_name", "full_name"}


def load(folder: Path, server: Server, totara: str, database: str) -> float:
    """Load the site into the schema ``bridge``; the seconds that the pipeline's run took.

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
    resources = [
        dlt.resource(_pages(server.dsn(totara), select), name=name, primary_key=select.key, write_disposition="merge")
        for name, select in selects().items()
    ]
    begun = time.perf_counter()
    pipeline.run(resources, loader_file_format="csv").raise_on_failed_jobs()
    return time.perf_counter() - begun


def _pages(address: str, select: Select) -> Iterator[Any]:
    """Arrow tables, times as timestamps."""
    import pyarrow  # noqa: PLC0415
    from pyarrow import csv  # noqa: PLC0415

    wanted = pyarrow.schema(
        pyarrow.field(name, _type(name), nullable=name not in select.key) for name in select.columns
    )
    reading = csv.ReadOptions(column_names=list(select.columns))
    converting = csv.ConvertOptions(
        column_types={name: pyarrow.int64() if _is_time(name) else _type(name) for name in select.columns},
        null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False,
        true_values=["t"], false_values=["f"],
    )  # fmt: skip
    with (
        psycopg.connect(address) as connection,
        connection.cursor().copy(f"COPY ({select.text}) TO STDOUT (FORMAT csv)".encode()) as copy,
    ):
        while page := b"".join(islice(copy, _PAGE)):
            yield csv.read_csv(io.BytesIO(page), read_options=reading, convert_options=converting).cast(wanted)


def _type(column: str) -> Any:
    import pyarrow  # noqa: PLC0415

    if _is_time(column):
        return pyarrow.timestamp("s", "UTC")
    if column == "grade":
        return pyarrow.decimal128(10, 5)
    if column in _FLAGS:
        return pyarrow.bool_()
    return pyarrow.string() if column in _TEXTS else pyarrow.int64()


def _is_time(column: str) -> bool:
    return column.startswith("time_")
