"""The most memory that a process ever had, for a process that does one full extract and nothing else."""

import subprocess
import sys
from pathlib import Path

from benchmarks import bridge
from benchmarks.server import Server

_PREFIX = "VmHWM:"


def of_first_load(server: Server, totara: str, staging: str) -> float:
    """Extract a whole site in a process of its own; MiB of resident memory at its peak."""
    arguments = [str(server.folder), str(server.port), totara, staging]
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak_memory", *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(child.stdout)


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
    bridge.extract(Server(Path(folder), int(port), password=""), totara=totara, staging=staging, full_compare=True)
    print(_peak())
