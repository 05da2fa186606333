"""Folders for what lives no longer than the tests: in memory where there is room, elsewhere on disk.

Half of the processor time of all tests went into the disk's file system: a copy of a database is 300 files.
"""

import shutil
import tempfile
from pathlib import Path

import psutil

#: Where Linux keeps files in memory; a container may have 64 MB there.
_MEMORY = Path("/dev/shm")
#: Bytes that must be free there, and twice as many in the machine, for all processes of tests.
_ROOM = 4 * 1024**3


def _place() -> Path:
    roomy = _MEMORY.is_dir() and min(shutil.disk_usage(_MEMORY).free, psutil.virtual_memory().available // 2) > _ROOM
    return _MEMORY if roomy else Path("/tmp")


#: Short, as the path of a Unix socket in it must be.
PLACE = _place()

#: How PostgreSQL copies a database best: as files where files are in memory, else as pages in its own memory.
STRATEGY = "file_copy" if PLACE == _MEMORY else "wal_log"


def new_folder(prefix: str) -> Path:
    """Make a folder with a short path, for whoever asks to remove."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=PLACE))
