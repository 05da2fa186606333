"""What one report file says of a Totara; no file says nothing, and nothing is gone by it."""

import logging
import time
from collections.abc import Iterator, Sequence

from totara_bridge.errors import ConfigurationInvalid, ReportUnreadable
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report_file.columns import gives
from totara_bridge.totara.report_file.table import Table
from totara_bridge.totara.report_file.text import Inspected, ReportText
from totara_bridge.totara.source import ReadFile, SourceKind, Window
from totara_bridge.totara.without_log import WithoutLog

log = logging.getLogger(__name__)


class ReportFileSnapshot(WithoutLog):
    """One report file, or nothing; see `totara_bridge.totara.source.Snapshot`."""

    kind = SourceKind.REPORT_FILE

    def __init__(
        self, connection: TotaraConnection, text: ReportText | None, inspected: Inspected | None, more: bool
    ) -> None:
        """:raises ReportUnreadable: the file lacks a column that is needed."""
        super().__init__(connection)
        self.more = more
        self.clock = int(time.time())
        self._inspected = inspected
        self._table = None if text is None or inspected is None else Table(text, inspected.header, connection)
        self.gives = gives(frozenset({"time_completed"})) if self._table is None else self._table.gives
        # an empty report writes no file: one without rows says nothing, least of all that everything is gone
        self.whole = connection.report.whole and inspected is not None and inspected.rows > 0
        self._is_read = False

    def completions(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COMPLETION_COLUMNS`.

        :raises ReportUnreadable: not one row can be understood.
        :raises TotaraUnavailable: the file was written meanwhile.
        """
        if self._table is None:
            return
        yield from self._table.completions()
        bad = self._table.misunderstood
        if bad and not (self._table.understood or self._table.left_out):
            raise ReportUnreadable(
                f"Not one of the {bad} rows of the report file {self._table.name} can be understood, so nothing of it "
                f"was loaded: {self._table.first_refused()}."
            )
        if bad:
            log.warning(
                "Bad rows in the report file %s, which are set aside (table bridge.set_aside): %d, the first: %s.",
                self._table.name,
                bad,
                self._table.first_refused(),
            )
        self._is_read = True

    def learners(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `LEARNER_COLUMNS`."""
        return iter(()) if self._table is None else self._table.learners()

    def courses(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COURSE_COLUMNS`."""
        return iter(()) if self._table is None else self._table.courses()

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        """user_id and course_id of each row, whatever the connection's query says."""
        return iter(()) if self._table is None else self._table.pairs()

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        """None is known.

        :raises ConfigurationInvalid: one is asked for: without its members a route would send nothing, and not say so.
        """
        if id_numbers:
            raise ConfigurationInvalid(
                f"A route in bridge.toml names the audiences {', '.join(id_numbers)}, but a report file says nothing "
                "of audiences: take them out of the route for this site, or read the site another way."
            )
        return frozenset()

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        """Nothing."""
        return iter(())

    def refused(self) -> Iterator[bytes]:
        """Lines with `REFUSED_COLUMNS`, known by their line in the file."""
        return self._table.refused() if self._table is not None and self._table.misunderstood else iter(())

    def read_files(self) -> Sequence[ReadFile]:
        """The file, once its completions were read."""
        if self._table is None or self._inspected is None or not self._is_read:
            return ()
        return (ReadFile(self._table.name, self._inspected.digest, self._inspected.size, self._table.understood),)
