"""The files of a folder whose names fit a pattern, oldest first."""

import errno
import glob
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from totara_bridge.errors import ConfigurationInvalid, ReportUnreadable
from totara_bridge.printable import one_line

#: Seconds for which nothing was written to a file that is taken for whole: Totara copies it to its place bit by bit.
SETTLED_AFTER = 10

_EVERY_FILE = "*.csv"


@dataclass(frozen=True)
class Found:
    """A file as it stands in its folder."""

    path: Path
    name: str  #: its path below the part of the place that is no pattern
    inode: int
    size: int
    written_at: int  #: nanoseconds

    @property
    def age(self) -> float:
        """Seconds since it was written, by the clock of its file system."""
        return (_clock(self.path.parent) - self.written_at) / 1e9


def files(place: str) -> list[Found]:
    """The files, those that were written first before the others.

    :param place: a folder, or one with a pattern of names.
    :raises ConfigurationInvalid: it is no absolute path.
    :raises ReportUnreadable: there is no such folder, or it may not be read.
    """
    if not os.path.isabs(place):
        raise ConfigurationInvalid(
            f'The connection\'s Report has the place "{place}", which depends on where the task runs: write the whole '
            'path, as in {"place": "/exports/*.csv"}, or an https:// address.'
        )
    names_a_folder = os.path.isdir(place) or not (glob.has_magic(place) or Path(place).suffix)
    pattern = os.path.join(place, _EVERY_FILE) if names_a_folder else place
    folders, names = os.path.split(pattern)
    base = _plain_part(folders)
    try:
        os.scandir(base).close()
        found = [each for folder in sorted(_matching(folders)) for each in _files(folder, names, base)]
    except OSError as error:
        raise ReportUnreadable(
            f"The folder {error.filename or base} of report files cannot be read ({error.strerror}): mount it where "
            "extract_completions runs, let that user read it, or correct the place in the connection's Report."
        ) from error
    return sorted(found, key=lambda each: (each.written_at, each.name))


def open_file(found: Found, opened: ExitStack) -> BinaryIO | None:
    """The file, closed with the stack; none: it has just gone.

    :raises ReportUnreadable: it may not be read.
    """
    try:
        return opened.enter_context(open(found.path, "rb", opener=_open_no_link))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP):  # a link in its place may lead to anything
            return None
        raise ReportUnreadable(
            f"The report file {found.name} cannot be read ({error.strerror}): let the user who runs "
            "extract_completions read it."
        ) from error


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _matching(folders: str) -> list[str]:
    return [each for each in glob.glob(folders) if os.path.isdir(each)] if glob.has_magic(folders) else [folders]


def _files(folder: str, names: str, base: str) -> Iterator[Found]:
    with os.scandir(folder) as entries:
        for entry in entries:
            # a name with a dot before it is one that a copying program has not given its own yet
            if fnmatch(entry.name, names) and not entry.name.startswith(".") and _is_file(entry):
                try:
                    stat = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # it has just gone
                # a name in another encoding, or with a line break in it, is shown and stored as far as it can be
                name = one_line(os.fsencode(os.path.relpath(entry.path, base)).decode(errors="replace"))
                yield Found(Path(entry.path), name, stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file(follow_symlinks=False)
    except OSError:  # it has just gone
        return False


def _plain_part(folders: str) -> str:
    while glob.has_magic(folders):
        folders = os.path.dirname(folders)
    return folders


def _clock(folder: Path) -> int:
    """The file system's, which may be another machine's; this one's where nothing may be written there."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            return os.fstat(probe.fileno()).st_mtime_ns
    except OSError:
        return time.time_ns()
