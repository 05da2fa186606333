"""The code that worked with the schema before the newest migration, packed beside this file.

`make previous` packs it anew, from the last commit before that migration came: for whoever writes the next one.
"""

import lzma
import subprocess
import tarfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PACKED = Path(__file__).with_name("previous.tar.xz")

MIGRATIONS = "include/totara_bridge/staging/migrations/versions"

#: The product, and how tests drive it; not what no test of an upgrade runs, and what a sandbox begins with.
_IN_IT = ["include/totara_bridge", "tests/bridge.py"]
_NOT_IN_IT = [
    f"include/totara_bridge/{folder}"
    for folder in ("local", "orchestration", "sandbox/totara/captured", "web/panel", "web/static")
]


def unpack(folder: Path) -> None:
    """Put the packed code there."""
    with tarfile.open(PACKED) as packed:
        # as an argument it is newer than the Python of Debian 12; without one, Python 3.12 warns
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)


def newest_migration(checkout: Path) -> str:
    """The revision of the code in a checkout."""
    return max(file.name[:4] for file in (checkout / MIGRATIONS).glob("[0-9]*.py"))


def pack() -> str:
    """Pack it; from where."""
    [newest] = (CHECKOUT / MIGRATIONS).glob(f"{newest_migration(CHECKOUT)}_*.py")
    came = _git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest)).decode().strip()
    before = f"{came}^" if came else "HEAD"  # as long as it is in no commit
    code = _git("archive", "--format=tar", before, "--", *_IN_IT, *(f":(exclude){each}" for each in _NOT_IN_IT))
    PACKED.write_bytes(lzma.compress(code, preset=9 | lzma.PRESET_EXTREME))
    return _git("show", "--no-patch", "--format=%h %s", before).decode().strip()


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=CHECKOUT, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    print(f"Packed {pack()} as {PACKED.relative_to(CHECKOUT)}, {PACKED.stat().st_size // 1024} KiB.")  # noqa: T201
