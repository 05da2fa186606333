"""The roles and databases of production are made by one script, which shows nobody a password."""

import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL

from tests.debian_postgres import NEEDS_DEBIAN_POSTGRES, SUPERUSER, DebianPostgres, debian_postgres
from totara_bridge.staging.grants import Granted
from totara_bridge.staging.migrate import migrate

SCRIPT = Path(__file__).parents[2] / "production" / "databases.sh"
SECURITY = Path(__file__).parents[2] / "docs" / "security.md"

#: The roles, and the variable that has the password of each.
SECRETS = {
    "airflow": "AIRFLOW_DATABASE_PASSWORD",
    "bridge_owner": "BRIDGE_OWNER_PASSWORD",
    "bridge_tasks": "BRIDGE_TASKS_PASSWORD",
    "bridge_panel": "BRIDGE_PANEL_PASSWORD",
    "bridge_pull": "BRIDGE_PULL_PASSWORD",
}

#: What a shell, psql, SQL and an address each take for something else.
_NASTY = """it's "quoted" $(id) `id` \\ \\' %40 @:/?#[]& é; -- :'x'\n$$ end"""
PASSWORDS = {role: f"{role} {_NASTY}" for role in SECRETS}

ENVIRONMENT = {SECRETS[role]: password for role, password in PASSWORDS.items()}

pytestmark = NEEDS_DEBIAN_POSTGRES


@pytest.fixture(scope="module")
def server() -> Iterator[DebianPostgres]:
    """One that writes every statement into its log, for every reason there is; the script has run twice."""
    reasons = {"log_statement": "all", "log_min_duration_statement": "0", "log_min_duration_sample": "0"}
    with debian_postgres("secret of the superuser", **reasons, log_transaction_sample_rate="1") as running:
        for _ in range(2):
            done = run(running, ENVIRONMENT)
            assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        yield running


def run(server: DebianPostgres, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the script against the server, with nothing in the environment but that."""
    return subprocess.run(
        [SCRIPT], env={**server.environment(), **environment}, capture_output=True, text=True, check=False
    )


def connect(
    server: DebianPostgres, database: str, role: str, password: str | None = None
) -> psycopg.Connection[tuple[object, ...]]:
    """Log in as somebody."""
    return psycopg.connect(
        host="127.0.0.1", port=server.port, dbname=database, user=role, password=password or PASSWORDS[role]
    )


@pytest.fixture
def as_superuser(server: DebianPostgres) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """What the superuser finds."""
    address = server.url()
    with psycopg.connect(
        host="127.0.0.1", port=server.port, dbname="postgres", user=SUPERUSER, password=address.password
    ) as connection:
        yield lambda statement: connection.execute(statement.encode()).fetchall()


@pytest.mark.parametrize("role", SECRETS)
def test_each_logs_in_where_it_belongs_and_nowhere_else(server: DebianPostgres, role: str) -> None:
    own, other = ("airflow", "bridge") if role == "airflow" else ("bridge", "airflow")
    with connect(server, own, role) as connection:
        assert connection.execute("SELECT current_user").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match=f'permission denied for database "{other}"'):
        connect(server, other, role)


def test_no_role_is_more_than_a_role(as_superuser: Callable[[str], list[tuple[object, ...]]]) -> None:
    made = as_superuser(
        "SELECT rolname FROM pg_roles WHERE rolname = 'airflow' OR rolname LIKE 'bridge%' ORDER BY rolname"
    )
    assert made == [(role,) for role in sorted(SECRETS)]
    assert as_superuser(
        "SELECT rolname FROM pg_roles WHERE rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls"
    ) == [(SUPERUSER,)]
    assert as_superuser("SELECT FROM pg_auth_members WHERE member::regrole::text LIKE 'bridge%'") == []


def test_each_database_has_its_owner_and_can_hold_every_name(
    as_superuser: Callable[[str], list[tuple[object, ...]]],
) -> None:
    assert as_superuser(
        "SELECT datname, datdba::regrole::text, pg_encoding_to_char(encoding) FROM pg_database "
        "WHERE datname IN ('airflow', 'bridge') ORDER BY datname"
    ) == [("airflow", "airflow", "UTF8"), ("bridge", "bridge_owner", "UTF8")]


@pytest.mark.parametrize(("role", "may"), [("bridge_tasks", True), ("bridge_panel", False), ("bridge_pull", False)])
def test_only_tasks_have_tables_of_their_own_for_a_while(server: DebianPostgres, role: str, may: bool) -> None:
    with connect(server, "bridge", role) as connection:
        if may:
            connection.execute("CREATE TEMPORARY TABLE mine (id bigint)")
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="temporary tables"):
                connection.execute("CREATE TEMPORARY TABLE mine (id bigint)")


def test_a_password_is_in_no_log_of_the_server(server: DebianPostgres) -> None:
    log = server.log.read_text(errors="replace")
    assert "current_setting('is_superuser')" in log  # it has what the script asks
    assert [role for role, password in PASSWORDS.items() if password.split("\n")[0] in log] == []
    assert "PASSWORD" not in log
    assert "SCRAM" not in log


def test_a_password_is_in_no_argument_of_a_program(server: DebianPostgres, tmp_path: Path) -> None:
    # instead of psql: what it was called with
    called = tmp_path / "psql"
    called.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    called.chmod(0o755)
    environment = {**server.environment(), **ENVIRONMENT, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert "--set=ON_ERROR_STOP=1" in told.stdout
    assert _NASTY.split("\n", maxsplit=1)[0] not in told.stdout + told.stderr


@pytest.mark.parametrize("name", SECRETS.values())
@pytest.mark.parametrize("value", [None, ""])
def test_without_a_password_nothing_is_made(server: DebianPostgres, name: str, value: str | None) -> None:
    environment = {each: secret for each, secret in ENVIRONMENT.items() if each != name}
    done = run(server, environment | ({} if value is None else {name: value}))
    assert done.returncode != 0
    assert f"the environment has no {name}" in done.stderr
    assert _NASTY.split("\n", maxsplit=1)[0] not in done.stderr


def test_run_again_it_sets_the_passwords_anew(server: DebianPostgres) -> None:
    assert run(server, ENVIRONMENT | {SECRETS["bridge_pull"]: "another"}).returncode == 0
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(server, "bridge", "bridge_pull")
    connect(server, "bridge", "bridge_pull", "another").close()
    assert run(server, ENVIRONMENT).returncode == 0
    connect(server, "bridge", "bridge_pull").close()


def test_the_owner_migrates_and_the_others_can_use_it(server: DebianPostgres) -> None:
    migrate(url_of(server, "bridge_owner").render_as_string(hide_password=False))
    for role in Granted._fields:
        with connect(server, "bridge", role) as connection:
            connection.execute("SELECT version_num FROM bridge.totara_bridge_alembic_version")
            for schema in ("bridge", "public"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                    connection.execute(sql.SQL("CREATE TABLE {}.mine ()").format(sql.Identifier(schema)))


def test_who_is_no_superuser_may_run_it() -> None:
    """As the administrator of a server that somebody else runs."""
    with debian_postgres("secret") as other:
        with connect(other, "postgres", SUPERUSER, "secret") as connection:
            connection.execute("CREATE ROLE administrator LOGIN CREATEDB CREATEROLE PASSWORD 'secret'")
        for _ in range(2):
            done = run(other, ENVIRONMENT | {"PGUSER": "administrator"})
            assert (done.returncode, done.stderr) == (0, "")
        migrate(url_of(other, "bridge_owner").render_as_string(hide_password=False))
        with connect(other, "bridge", "bridge_tasks") as connection:
            connection.execute("SELECT FROM bridge.completion")


def test_an_installation_with_one_role_goes_over_to_them() -> None:
    """By the commands of docs/security.md."""
    with debian_postgres("secret") as other:
        with connect(other, "postgres", SUPERUSER, "secret") as connection:
            connection.autocommit = True
            connection.execute("CREATE ROLE single LOGIN PASSWORD 'secret'")
            connection.execute("CREATE DATABASE one OWNER single")
        migrate(other.url("one", "single", "secret").render_as_string(hide_password=False))
        with connect(other, "one", "single", "secret") as connection:
            connection.execute("INSERT INTO bridge.site VALUES ('sbx', 'totara', 1, now())")
        assert run(other, ENVIRONMENT).returncode == 0
        environment = {**other.environment(), "OLD": "secret", "NEW": PASSWORDS["bridge_owner"]}
        subprocess.run(["bash", "-euo", "pipefail", "-c", documented()], env=environment, check=True)
        migrate(url_of(other, "bridge_owner").render_as_string(hide_password=False))
        with connect(other, "bridge", "bridge_pull") as connection:
            assert connection.execute("SELECT code FROM bridge.site").fetchall() == [("sbx",)]


def documented() -> str:
    """The copying, with this server instead of the one that is made up; passwords come from OLD and NEW."""
    section = SECURITY.read_text().split("**An installation with one role**")[1]
    command = section.split("```sh\n")[1].split("```")[0]
    for role, database, secret in (("the_old_role", "the_old_database", "OLD"), ("bridge_owner", "bridge", "NEW")):
        known = {"the_old_role": "single", "the_old_database": "one"}
        address = f"'postgresql://{role}@db.example.com/{database}'"
        assert address in command
        here = f"postgresql://{known.get(role, role)}@/{known.get(database, database)}"
        command = command.replace(address, here)
        program = "pg_dump" if secret == "OLD" else "psql"
        command = command.replace(program, f'PGPASSWORD="${secret}" {program}', 1)
    return command


def url_of(server: DebianPostgres, role: str) -> URL:
    """The address of the bridge's database for a role."""
    return server.url("bridge", role, PASSWORDS[role])
