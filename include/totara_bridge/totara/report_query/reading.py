"""A report is read twice, or until two readings agree: only then was no row lost between two of its pages.

Totara gives the page of a report from where the rows stand when it is asked. A row that goes moves those behind it
one place up, and the first of the next page is on the one that was read already. Which learner and course stand where
is compared from reading to reading, so that such a move is seen wherever it was. Rows that are added at the end move
nothing, and rows that change stay where they are unless the report is sorted by what changed.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile
from types import TracebackType
from typing import NamedTuple, Self

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.report import ColumnName
from totara_bridge.totara.report_query.columns import columns_of
from totara_bridge.totara.report_query.report_page import ReportPage, report_page
from totara_bridge.totara.report_values import quoted

log = logging.getLogger(__name__)

_MOST_READINGS = 6


class Row(NamedTuple):
    """A row of the report, and where it stood."""

    page: int  #: from 1
    number: int  #: on the page, from 1
    cells: list[str]


class _Stood(NamedTuple):
    """Who stood on a page."""

    rows: int
    digest: bytes


class _Moved(Exception):
    """The report changed in a way that one reading cannot be all of it."""


@dataclass
class _Reading:
    """What one reading has found so far, page by page."""

    stood: list[_Stood]
    moved: bool = False  #: somebody stands elsewhere than before
    broken_off: bool = False


class ReportReading:
    """For ``with``: a report's rows as they stood, kept in a temporary file that only this process can see."""

    def __init__(self, client: GraphqlClient, connection: TotaraConnection) -> None:
        """Nothing is asked before it is entered."""
        self._client = client
        self._connection = connection
        self._file = TemporaryFile()  # noqa: SIM115  closed when it is left
        self._first: ReportPage
        self.places: Mapping[ColumnName, int]
        self.readings = 0
        self.rows_read = 0

    def __enter__(self) -> Self:
        """Read, until two readings agree.

        :raises TotaraUnavailable: they do not, or Totara does not answer.
        :raises TotaraRefused: the report may not be read, or lacks a column.
        """
        try:
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    @property
    def title(self) -> str:
        """What the report is called."""
        return self._first.title

    def rows(self) -> Iterator[Row]:
        """The rows, as often as they are asked for."""
        self._file.seek(0)
        for line in self._file:
            yield Row(*json.loads(line))

    def _read(self) -> None:
        before: Sequence[_Stood] | None = None
        while self.readings < _MOST_READINGS:
            self.readings += 1
            found = self._once(before)
            if not found.moved and (before is not None or len(found.stood) == 1):
                log.info(
                    "report %s: %d rows on %d pages, read %d times until no row had moved",
                    self._connection.report.id, self.rows_read, len(found.stood), self.readings,
                )  # fmt: skip
                return
            # of a reading that broke off, the rest is not known
            before = None if found.broken_off else found.stood
        raise TotaraUnavailable(
            f"The report {quoted(self.title)} of {self._client.place} changed while it was read, {_MOST_READINGS} "
            "times, so rows could be lost between its pages: it will be read again later; give it more records per "
            "page, sort it by user id, and let extract_completions run when Totara's cron archives nothing."
        )

    def _once(self, before: Sequence[_Stood] | None) -> _Reading:
        """Read all pages; whether anybody stands elsewhere than before."""
        self._file.seek(0)
        self._file.truncate()
        self.rows_read = 0
        found = _Reading([])
        try:
            for number, page in self._pages():
                people = [(row[self.places["user_id"]], row[self.places["course_id"]]) for row in page.rows]
                if found.stood and people and found.stood[-1] == _stood(people, len(people)):
                    raise self._same_page_again(number)
                found.stood.append(_stood(people, len(people)))
                if before is not None and number <= len(before):
                    rows = before[number - 1].rows
                    found.moved |= _stood(people, rows) != before[number - 1]
                self._keep(number, page)
        except _Moved:
            found.moved = found.broken_off = True
        found.moved |= before is not None and len(found.stood) < len(before)
        return found

    def _pages(self) -> Iterator[tuple[int, ReportPage]]:
        """Page by page up to the last one, that of which Totara says so."""
        number, expected = 1, 1
        while True:
            page = self._page(number, counted=number >= expected)
            if len(page.rows) < page.size and page.total_pages is None and number < expected:
                page = self._page(number, counted=True)
            expected = page.total_pages if page.total_pages is not None else expected
            yield number, page
            if len(page.rows) < page.size:
                if (page.total_pages or 0) > number:
                    raise _Moved
                return
            if page.total_pages is not None and page.total_pages <= number:
                return
            number += 1

    def _page(self, number: int, *, counted: bool) -> ReportPage:
        page = report_page(self._client, self._connection.report, number, counted=counted)
        if number == 1 and self.readings == 1:
            self._first = page
            self.places = columns_of(page, self._connection)
        elif (page.keys, page.size) != (self._first.keys, self._first.size):
            raise TotaraUnavailable(
                f"The report {quoted(self.title)} of {self._client.place} was edited while it was read (its columns, "
                "or its records per page), so nothing was taken: it will be read again."
            )
        return page

    def _keep(self, number: int, page: ReportPage) -> None:
        self.rows_read += len(page.rows)
        lines = (json.dumps([number, at, cells], ensure_ascii=False) for at, cells in enumerate(page.rows, 1))
        self._file.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))

    def _same_page_again(self, number: int) -> TotaraRefused:
        return TotaraRefused(
            f"{self._client.place} gives the same rows as page {number - 1} and as page {number} of the report "
            f"{quoted(self.title)}, so the rest of it cannot be had: this release pages otherwise; choose another "
            '"Source", or give the report enough records per page to show all on one.'
        )


def _stood(people: Sequence[tuple[str, str]], rows: int) -> _Stood:
    """Who the first of these rows are, in their order."""
    digest = hashlib.blake2b(json.dumps(people[:rows]).encode(), digest_size=16).digest()
    return _Stood(min(rows, len(people)), digest)
