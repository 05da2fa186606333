"""A Totara read through the files of a scheduled report: each file once, and no file before it is whole."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report_columns import refuse_what_no_report_shows
from totara_bridge.totara.report_file.download import downloaded, is_address
from totara_bridge.totara.report_file.folder import SETTLED_AFTER, Found, files, open_file
from totara_bridge.totara.report_file.snapshot import ReportFileSnapshot
from totara_bridge.totara.report_file.text import Inspected, ReportText

log = logging.getLogger(__name__)

_WAITS = "The report file %s waits for the next run, as %s: if it stays so, export it again or take it away."


class ReportFileSource:
    """The place where one Totara's report files are."""

    def __init__(self, connection: TotaraConnection, is_loaded: Callable[[str], bool]) -> None:
        """:param is_loaded: whether a file with this SHA-256 was read."""
        self._connection = connection
        self._is_loaded = is_loaded
        self._inspected: dict[Found, Inspected] = {}

    @contextmanager
    def snapshot(self) -> Iterator[ReportFileSnapshot]:
        """The oldest file that was not read yet; see `totara_bridge.totara.source.Source`.

        :raises ConfigurationInvalid: the connection's query, or the place, cannot be.
        """
        refuse_what_no_report_shows(self._connection.query)
        with ExitStack() as opened:
            given = self._one(opened) if is_address(self._connection.report.place) else self._oldest(opened)
            if given is None:
                log.info("No report file is there that was not read yet.")
            yield ReportFileSnapshot(self._connection, *(given or (None, None, False)))

    def _one(self, opened: ExitStack) -> tuple[ReportText, Inspected, bool] | None:
        text = ReportText(*opened.enter_context(downloaded(self._connection)))
        inspected = text.inspect()
        if inspected.unfinished:
            log.warning(_WAITS, text.name, inspected.unfinished)
            return None
        return None if self._is_loaded(inspected.digest) else (text, inspected, False)

    def _oldest(self, opened: ExitStack) -> tuple[ReportText, Inspected, bool] | None:
        given = None
        for found in files(self._connection.report.place):
            with ExitStack() as looked_at:
                file = open_file(found, looked_at)
                if file is None:
                    continue
                text = ReportText(found.name, file)
                inspected = self._inspect(text, found)
                if inspected is None or self._is_loaded(inspected.digest):
                    continue
                if given is not None:
                    return *given, True
                given = text, inspected
                opened.push(looked_at.pop_all())
        return None if given is None else (*given, False)

    def _inspect(self, text: ReportText, found: Found) -> Inspected | None:
        """What is in a file; none: it is not whole yet."""
        if found.age < SETTLED_AFTER or text.stamp != (found.size, found.written_at):
            unfinished = f"it was written less than {SETTLED_AFTER} seconds ago"
        else:
            inspected = self._inspected.get(found)
            inspected = text.inspect() if inspected is None else text.known(inspected)
            if not inspected.unfinished:
                self._inspected[found] = inspected
                return inspected
            unfinished = inspected.unfinished
        log.warning(_WAITS, text.name, unfinished)
        return None
