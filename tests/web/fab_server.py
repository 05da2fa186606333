"""Airflow's API server as production has it, with the FAB auth manager: a process of its own over real databases."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

_PROJECT = Path(__file__).parents[2]

#: Seconds for it to begin, on a busy machine.
_PATIENCE = 200.0


@contextmanager
def fab_server(folder: Path, *, metadata: str, staging: str, roles: Sequence[str]) -> Iterator[str]:
    """Its address; there is somebody of each role, called like it, with that password too.

    :param folder: an empty one.
    :param metadata: the address of an empty database, ``postgresql+psycopg://…``.
    :param staging: the address of a migrated one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = _environment(folder, port, metadata, staging)
    people = [sys.executable, str(Path(__file__).with_name("fab_people.py")), *roles]
    _run(people, environment, folder / "people.log")
    program = str(Path(sys.executable).with_name("airflow"))
    with (folder / "api-server.log").open("ab") as log:
        process = subprocess.Popen(
            [program, "api-server", "--apps", "core"], env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}", folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def _environment(folder: Path, port: int, metadata: str, staging: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW_", "TOTARA_BRIDGE_"))}
    return kept | {
        "AIRFLOW_HOME": str(folder),
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__DAGS_FOLDER": str(_PROJECT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(_PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API_AUTH__JWT_SECRET": "as long as the hash of a signature, or there would be a warning of each",
        "TOTARA_BRIDGE_DATABASE_URL": staging,
    }


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
    with log.open("ab") as said:
        ended = subprocess.run(command, env=environment, stdout=said, stderr=said, timeout=_PATIENCE, check=False)
    assert ended.returncode == 0, log.read_text(errors="replace")[-2000:]


def _wait(process: subprocess.Popen[bytes], address: str, folder: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    with requests.Session() as session:
        session.trust_env = False
        while True:
            assert process.poll() is None, (folder / "api-server.log").read_text(errors="replace")[-2000:]
            assert time.monotonic() < deadline, f"The API server does not begin: see {folder}/api-server.log"
            try:
                session.get(f"{address}/api/v2/version", timeout=_PATIENCE).close()
            except requests.ConnectionError:
                time.sleep(0.1)
            else:
                return
