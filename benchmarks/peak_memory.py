"""The most memory that a process ever had, and its time, for a process that does one full extract and nothing else."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from benchmarks import bridge
from benchmarks.server import Server

_PREFIX = "VmHWM:"


class Load(NamedTuple):
    """What an extract took."""

    mebibytes: float  #: of resident memory at its peak
    seconds: float


def of_first_load(server: Server, totara: str, staging: str) -> Load:
    """Extract a whole site in a process of its own."""
    arguments = [str(server.folder), str(server.port), totara, staging]
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak_memory", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return Load(*map(float, child.stdout.split()))


def _peak() -> float:
    """MiB.

    Not ``getrusage``: measured on Linux 6, a child's ``ru_maxrss`` begins with what its parent had when it started
    it, so that a large parent would hide any growth of the child.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    kibibytes = next(line for line in lines if line.startswith(_PREFIX)).removeprefix(_PREFIX).split()[0]
    return int(kibibytes) / 1024


if __name__ == "__main__":
    folder, port, totara, staging = sys.argv[1:]
    server = Server(Path(folder), int(port), password="")
    seconds, _ = bridge.extract(server, totara=totara, staging=staging, full_compare=True)
    print(_peak(), seconds)
