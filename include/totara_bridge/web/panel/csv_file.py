"""CSV that is read piece by piece as it goes out, for a browser to keep as a file."""

from collections.abc import Iterator
from itertools import chain

from totara_bridge.web.problem import PRIVATE
from totara_bridge.web.pull.streamed import Streamed


def csv_file(name: str, header: str, pieces: Iterator[str]) -> Streamed:
    """The file: what cannot be begun is a problem, what breaks off has no end.

    :param name: without its ending.
    :param header: its first line, with the line's end.
    :param pieces: of whole lines.
    """
    begun = [header, next(pieces, "")]
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Streamed(chain(begun, pieces), media_type="text/csv; charset=utf-8", headers=headers)
