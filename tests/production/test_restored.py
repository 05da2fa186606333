"""Both databases are backed up and restored by the commands of docs/backup.md."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from tests.debian_postgres import NEEDS_DEBIAN_POSTGRES, DebianPostgres, debian_postgres
from totara_bridge.staging.migrate import migrate

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "backup.md"
SCRIPT = "production/databases.sh"

#: Of every role, so that it says nothing of which it is.
PASSWORD = "secret"
VARIABLES = {
    f"{name}_PASSWORD": PASSWORD
    for name in ("AIRFLOW_DATABASE", "BRIDGE_OWNER", "BRIDGE_TASKS", "BRIDGE_PANEL", "BRIDGE_PULL")
}

pytestmark = NEEDS_DEBIAN_POSTGRES


@pytest.fixture
def server() -> Iterator[DebianPostgres]:
    """One without the databases of a bridge."""
    with debian_postgres(PASSWORD) as running:
        yield running


@pytest.fixture
def run(server: DebianPostgres, tmp_path: Path) -> Callable[[str], None]:
    """Run commands of the page, with this server in the place of the one that is made up there."""

    def run(commands: str) -> None:
        here = commands.replace("@db.example.com", f"@127.0.0.1:{server.port}").replace(SCRIPT, str(PROJECT / SCRIPT))
        command = ["bash", "-euxo", "pipefail", "-c", here]
        subprocess.run(command, cwd=tmp_path, env={**server.environment(), **VARIABLES}, check=True)

    return run


@pytest.fixture
def airflow(server: DebianPostgres, tmp_path: Path) -> Callable[..., str]:
    """A command of Airflow, on its database there; what it says."""
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.cfg").touch()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
        "AIRFLOW__CORE__FERNET_KEY": Fernet.generate_key().decode(),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": address(server, "airflow", "airflow"),
    }

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "airflow", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def address(server: DebianPostgres, database: str, role: str) -> str:
    return server.url(database, role, PASSWORD).render_as_string(hide_password=False)


def documented(program: str) -> str:
    """The block of commands that has this program in it, but that for compose."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.DOTALL)
    [found] = [each for each in blocks if program in each and "docker" not in each]
    return found


@pytest.mark.timeout(600)
def test_what_was_backed_up_is_there_again(
    server: DebianPostgres, run: Callable[[str], None], airflow: Callable[..., str]
) -> None:
    run(f"bash {SCRIPT}")
    owner = address(server, "bridge", "bridge_owner")
    migrate(owner)
    airflow("db", "migrate")
    airflow("connections", "add", "oracle", "--conn-type", "http", "--conn-password", "hunter2")
    sql(run, "bridge", "INSERT INTO bridge.site VALUES ('sbx', 'totara', 1, now())")
    run(documented("pg_dump"))

    restore = documented("pg_restore")
    run(restore)  # drops what there is
    migrate(owner)
    sql(run, "bridge", "SELECT 1 / count(*) FROM bridge.site WHERE code = 'sbx'", role="bridge_pull")
    run(restore.replace("bridge_owner", "airflow").replace("bridge", "airflow"))
    airflow("db", "migrate")
    assert "hunter2" in airflow("connections", "get", "oracle", "--output", "json")


def sql(run: Callable[[str], None], database: str, statement: str, role: str = "bridge_owner") -> None:
    run(f'psql --set=ON_ERROR_STOP=1 "postgresql://{role}@db.example.com/{database}" --command "{statement}"')
