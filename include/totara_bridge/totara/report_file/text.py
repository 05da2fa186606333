"""A file that is open: looked through once, then read as often as needed, and the same each time or not at all."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from totara_bridge.errors import ReportUnreadable, TotaraUnavailable
from totara_bridge.totara.report_file.records import Record, header_of, records

_LONGEST_LINE = 1 << 20


@dataclass(frozen=True)
class Inspected:
    """What was seen when it was looked through."""

    digest: str  #: SHA-256, hexadecimal
    size: int  #: bytes
    header: tuple[str, ...]
    rows: int
    unfinished: str  #: why it is not whole yet; empty: it is


class ReportText:
    """A CSV file under the name that a person knows it by."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        """:param file: open, and closed by whoever opened it."""
        self.name = name
        self._file = file
        self.stamp = self._stamp()  #: size and time of writing, in nanoseconds
        self._digest = ""

    def inspect(self) -> Inspected:
        """Look through all of it.

        :raises ReportUnreadable: it is no text in UTF-8.
        """
        digest = hashlib.sha256()
        ending = b""

        def hear(line: bytes) -> None:
            nonlocal ending
            ending = line
            digest.update(line)

        lines = self._lines(hear)
        header, taken = header_of(lines)
        rows, last = 0, Record(1, header)
        for last in records(lines, width=len(header), first=taken + 1):  # noqa: B007  the last one is wanted
            rows += 1
        return self.known(
            Inspected(digest.hexdigest(), self._file.tell(), tuple(header), rows, _unfinished(ending, last))
        )

    def known(self, inspected: Inspected) -> Inspected:
        """It is the one that was looked through before."""
        self._digest = inspected.digest
        return inspected

    def rows(self) -> Iterator[Record]:
        """Its records after the header.

        :raises TotaraUnavailable: at its end, where it is not what was inspected any more.
        """
        digest = hashlib.sha256()
        lines = self._lines(digest.update)
        header, taken = header_of(lines)
        yield from records(lines, width=len(header), first=taken + 1)
        if digest.hexdigest() != self._digest or self._stamp() != self.stamp:
            raise self._changed()

    def _lines(self, hear: Callable[[bytes], object]) -> Iterator[str]:
        self._file.seek(0)
        number = 0
        while line := self._file.readline(_LONGEST_LINE):
            number += 1
            hear(line)
            try:
                yield line.decode()
            except UnicodeDecodeError:
                if not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
                    yield line.decode(errors="replace")  # it is not whole yet, and a character is cut in two
                    continue
                if self._stamp() != self.stamp:
                    raise self._changed() from None
                raise ReportUnreadable(
                    f"The report file {self.name} is not text in UTF-8 (line {number}), so nothing of it was read: "
                    "export the report as CSV, and convert no file on its way here."
                ) from None
            if len(line) == _LONGEST_LINE:
                raise ReportUnreadable(
                    f"Line {number} of the report file {self.name} is longer than {_LONGEST_LINE >> 20} MiB, so "
                    "nothing of it was read: export the report as CSV."
                )

    def _stamp(self) -> tuple[int, int]:
        stat = os.fstat(self._file.fileno())
        return stat.st_size, stat.st_mtime_ns

    def _changed(self) -> TotaraUnavailable:
        return TotaraUnavailable(
            f"The report file {self.name} was written while it was read, so nothing of it was loaded: the next run "
            "reads it; let the export end before extract_completions runs."
        )


def _unfinished(ending: bytes, last: Record) -> str:
    if not ending:
        return "it is empty"
    if not ending.endswith(b"\n"):
        return "its last line has no end"
    return "" if last.cells is not None else f"the last row, of line {last.place}, has not all its columns"
