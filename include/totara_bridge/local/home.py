"""The data folder of a local run: where everything that it keeps is, and the one who works in it now."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from totara_bridge.errors import BridgeError
from totara_bridge.local.postgres import LONGEST_FOLDER, UNFINISHED

#: The repository: an editable installation runs from it.
CHECKOUT = Path(__file__).parents[3]

#: What the data, the logs and Airflow's metadata of a local run need to begin with.
_BYTES_NEEDED = 1_000_000_000


class LocalRunFailed(BridgeError):
    """The local run cannot go on; one sentence says why and what to do."""


@dataclass(frozen=True)
class Home:
    """The folders and files of one local run."""

    root: Path
    postgres: Path

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.root / "airflow"

    @property
    def passwords(self) -> Path:
        """What the UI's users log in with, as Airflow's simple auth manager reads it."""
        return self.root / "passwords.json"

    @property
    def oracle(self) -> Path:
        """What the sandbox Oracle received."""
        return self.root / "oracle.sqlite"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.root / "logs"

    @property
    def processes(self) -> Path:
        """One file per process, holding its id."""
        return self.root / "processes"

    def remembered_ports(self) -> dict[str, int]:
        """The ports of the last run, by service; none before the first."""
        file = self.root / "ports.json"
        return dict(json.loads(file.read_text())) if file.is_file() else {}

    def remember_ports(self, ports: dict[str, int]) -> None:
        """Keep these for the next run."""
        (self.root / "ports.json").write_text(json.dumps(ports))

    def keys(self) -> dict[str, str]:
        """Airflow's keys, which its processes share: made once, readable by their owner only."""
        file = self.root / "keys.json"
        if not file.is_file():
            fernet = secrets.token_urlsafe(32) + "="  # 32 bytes in padded URL-safe base64, as Fernet wants them
            made = {"fernet": fernet, "jwt": secrets.token_hex(64), "session": secrets.token_hex(32)}
            write_private(file, json.dumps(made))
        return dict(json.loads(file.read_text()))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Work in it alone.

        :raises LocalRunFailed: another ``make up``, ``down`` or ``reset`` works in it now.
        """
        if not self.root.is_dir():  # nobody can be at work in it
            yield
            return
        with (self.root / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LocalRunFailed(
                    f"Another `make up`, `make down` or `make reset` is at work in {self.root}: "
                    "wait until it is done, or interrupt it with Ctrl-C."
                ) from error
            yield

    def require_space(self) -> None:
        """Refuse a disk that would be full soon.

        :raises LocalRunFailed: there is too little free space.
        """
        free = shutil.disk_usage(self.root).free
        if free < _BYTES_NEEDED:
            raise LocalRunFailed(
                f"The disk of {self.root} has {free / 1e9:.1f} GB left, and a local run needs "
                f"{_BYTES_NEEDED / 1e9:.0f} GB: free some, or name a folder on another disk in TOTARA_BRIDGE_HOME."
            )

    def delete(self) -> None:
        """Remove what a local run made; a file of somebody else's stays, and so does the folder then."""
        unfinished = self.postgres.parent.glob(f"{self.postgres.name}{UNFINISHED}*")
        for folder in (self.postgres, *unfinished, self.airflow, self.logs, self.processes):
            shutil.rmtree(folder, ignore_errors=not folder.exists())
        for file in (
            *self.root.glob(f"{self.oracle.name}*"),
            *(self.root / name for name in ("passwords.json", "keys.json", "ports.json", "lock")),
        ):
            file.unlink(missing_ok=True)
        if not any(self.root.iterdir()):
            self.root.rmdir()


def find_home() -> Home:
    """The data folder that ``TOTARA_BRIDGE_HOME`` names, or ``.bridge`` in the repository; it may not exist yet."""
    root = Path(os.environ.get("TOTARA_BRIDGE_HOME") or CHECKOUT / ".bridge").expanduser().resolve()
    postgres = root / "postgres"
    if len(os.fsencode(postgres)) > LONGEST_FOLDER:  # a Unix socket's path is short, so only this part moves
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:12]
        postgres = Path("/tmp") / f"totara-bridge-{name}"  # noqa: S108  its owner is checked before it is used
    return Home(root, postgres)


def make_home() -> Home:
    """The data folder, there and ours.

    :raises LocalRunFailed: it cannot be made, or belongs to somebody else.
    """
    home = find_home()
    try:
        for folder in (home.root, home.airflow, home.logs, home.processes):
            folder.mkdir(parents=True, exist_ok=True)
        if home.postgres.parent != home.root:
            _claim(home.postgres)
    except OSError as error:
        raise LocalRunFailed(
            f"The data folder {home.root} cannot be used ({error.strerror}: {error.filename}): "
            "name another in TOTARA_BRIDGE_HOME."
        ) from error
    return home


def _claim(folder: Path) -> None:
    """Make a folder where others may write too; one that is there must be ours."""
    folder.mkdir(mode=0o700, exist_ok=True)
    ours = folder.stat(follow_symlinks=False).st_uid == os.geteuid() or os.geteuid() == 0
    if folder.is_symlink() or not ours:
        raise LocalRunFailed(
            f"{folder}, where PostgreSQL's data would go, belongs to somebody else: "
            "name a shorter data folder in TOTARA_BRIDGE_HOME."
        )


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, from its first moment on."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as opened:
        opened.write(text)
