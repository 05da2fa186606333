"""Test connection for Totara says what is there, or which step failed and what to do: one cause per test."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import URL, Engine, NullPool, create_engine

from totara_bridge.errors import BridgeError, TotaraRefused, TotaraUnavailable
from totara_bridge.sandbox.totara import schema
from totara_bridge.sandbox.totara.schema_shape import Shape, reshape
from totara_bridge.totara.check import check
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.database import DatabaseSource

_PASSWORD = "reader-Pa55word"
_NUMBERS = count(1)
_READ = (
    "user",
    "course",
    "course_categories",
    "course_completions",
    "course_completion_history",
    "course_completion_log",
    "course_completion_criteria",
    "course_completion_crit_compl",
)


@dataclass
class Totara:
    """A Totara of its own in a real server, and an account that may read all of it that is needed."""

    address: URL
    prefix: str = "ttr_"
    admin: Engine = field(init=False)
    reader: URL = field(init=False)

    def __post_init__(self) -> None:
        number = next(_NUMBERS)
        self.run_at(self.address, f"CREATE DATABASE totara_{number}")
        inside = self.address.set(database=f"totara_{number}")
        self.admin = create_engine(inside, poolclass=NullPool)
        schema.create(self.admin, self.prefix)
        site = schema.tables(self.prefix)
        with self.admin.begin() as connection:
            connection.execute(sa.insert(site.config).values(name="totara_release", value=schema.RELEASE))
            connection.execute(
                sa.insert(site.course).values(id=1, category=0, fullname="Site", timecreated=1_600_000_000)
            )
            for user in (3, 4):
                connection.execute(sa.insert(site.course_completions).values(userid=user, course=2))
            connection.execute(
                sa.insert(site.course_completion_log).values(
                    id=77, courseid=2, userid=3, changeuserid=0, description="", timemodified=1_700_000_000
                )
            )
        self.reader = inside.set(username=f"reader_{number}", password=_PASSWORD)
        self.run(self.new_user(f"reader_{number}"), *(self.grant(table) for table in _READ))

    @property
    def is_postgres(self) -> bool:
        return self.address.get_backend_name() == "postgresql"

    def new_user(self, name: str) -> str:
        if self.is_postgres:
            return f"CREATE ROLE {name} LOGIN PASSWORD '{_PASSWORD}'"
        return f"CREATE USER {name} IDENTIFIED BY '{_PASSWORD}'"

    def grant(self, table: str) -> str:
        name = self.admin.dialect.identifier_preparer.quote(self.prefix + table)
        return f"GRANT SELECT ON {name} TO {self.reader.username}"

    def revoke(self, table: str) -> str:
        return f"REVOKE SELECT ON {self.prefix}{table} FROM {self.reader.username}"

    def run(self, *statements: str) -> None:
        self.run_at(self.admin.url, *statements)

    @staticmethod
    def run_at(address: URL, *statements: str) -> None:
        engine = create_engine(address, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def connection(self, url: URL | None = None, **fields: object) -> TotaraConnection:
        """What a person types: an address without the password, and the password in its own field."""
        url = url or self.reader
        shown = url.set(drivername=url.get_backend_name())._replace(password=None).render_as_string()
        extra = {
            "database_url": shown,
            "database_password": url.password,
            "table_prefix": self.prefix,
            **fields,
        }
        return TotaraConnection.from_fields("This connection", extra=extra)

    def told(self, kind: type[BridgeError], url: URL | None = None, **fields: object) -> str:
        """The sentence of a check that fails."""
        with pytest.raises(kind) as caught:
            check(self.connection(url, **fields))
        assert _PASSWORD not in str(caught.value)
        return str(caught.value)


@pytest.fixture(params=["tcp_postgres", "mariadb"], scope="module")
def whole(request: pytest.FixtureRequest) -> Totara:
    """A Totara that no test changes."""
    return Totara(request.getfixturevalue(request.param))


@pytest.fixture(params=["tcp_postgres", "mariadb"])
def totara(request: pytest.FixtureRequest) -> Totara:
    """A Totara to break."""
    return Totara(request.getfixturevalue(request.param))


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that accepts and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_what_is_there(totara: Totara) -> None:
    totara.run(totara.grant("config"))
    assert check(totara.connection()) == (
        "Totara 17.3 (Build: 20230130): 2 completions, newest log row 77 of 2023-11-14 22:13 UTC, "
        "site made 2020-09-13 12:26 UTC."
    )


def test_the_release_is_unknown_where_config_may_not_be_read(whole: Totara) -> None:
    assert check(whole.connection()) == (
        "Totara, release unknown (no permission on config): 2 completions, newest log row 77 of "
        "2023-11-14 22:13 UTC, site made 2020-09-13 12:26 UTC."
    )


def test_an_empty_change_log_and_a_query(totara: Totara) -> None:
    totara.run(f"DELETE FROM {totara.prefix}course_completion_log", totara.grant("config"))
    found = check(totara.connection(query={"course_ids": [2]}))
    assert "2 completions before the query's limits, the change log is empty" in found


def test_dns(whole: Totara) -> None:
    said = whole.told(TotaraUnavailable, whole.reader.set(host="totara.invalid"))
    assert said.startswith(
        f"The host totara.invalid:{whole.reader.port} of Totara's database is not known to DNS on this "
        'machine: correct it in "Database URL"'
    )


def test_refused(whole: Totara, unused_port: int) -> None:
    said = whole.told(TotaraUnavailable, whole.reader.set(port=unused_port))
    assert said == (
        f"Nothing listens at 127.0.0.1:{unused_port}, where Totara's database should be: correct host and "
        'port in "Database URL", or start the database.'
    )


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that is taken, so that nobody else gets it, but not listened at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_no_answer(whole: Totara, silent: int) -> None:
    said = whole.told(TotaraUnavailable, whole.reader.set(port=silent), timeout_ms=300)
    assert said.startswith(f"Totara's database at 127.0.0.1:{silent} did not answer in time: open the way to it")


def test_tls_is_wanted_but_not_offered(whole: Totara) -> None:
    wanted = {"sslmode": "require"} if whole.is_postgres else {"ssl_check_hostname": "false"}
    said = whole.told(TotaraRefused, whole.reader.update_query_dict(wanted))
    assert said.startswith(f"The TLS connection to Totara's database at 127.0.0.1:{whole.reader.port} cannot be made")
    assert "support" in said
    assert said.endswith("or ask for no TLS there.")


def test_wrong_password(whole: Totara) -> None:
    said = whole.told(TotaraRefused, whole.reader.set(password="wrong-Pa55word"))
    assert "wrong-Pa55word" not in said
    assert said == (
        f'Totara\'s database at 127.0.0.1:{whole.reader.port} refuses the user "{whole.reader.username}" '
        'with this password: correct the user in "Database URL" or the "Database password".'
    )


def test_no_password(whole: Totara) -> None:
    assert "with this password" in whole.told(TotaraRefused, database_password=None)


def test_unknown_database(whole: Totara) -> None:
    said = whole.told(TotaraRefused, whole.reader.set(database="lms"))
    assert said.startswith(
        f'There is no database lms at 127.0.0.1:{whole.reader.port} that the user "{whole.reader.username}" may open'
    )


def test_postgres_does_not_let_this_machine_in(tcp_postgres: URL) -> None:
    Totara.run_at(tcp_postgres, "CREATE ROLE outsider LOGIN")
    said = _told_at(tcp_postgres.set(username="outsider"))
    assert 'does not let the user "outsider" in from this machine' in said


def test_mysql_does_not_let_this_machine_in() -> None:
    """What MySQL sends at once to a host that no account is for."""
    words = b"\xff\x6a\x04Host '10.1.2.3' is not allowed to connect to this MySQL server"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def turn_away() -> None:
            client, _ = listener.accept()
            with client:
                client.sendall(len(words).to_bytes(3, "little") + b"\0" + words)

        server = threading.Thread(target=turn_away)
        server.start()
        said = _told_at(URL.create("mysql", "reader", host="127.0.0.1", port=listener.getsockname()[1], database="lms"))
        server.join()
    assert "does not let the user \"reader\" in from this machine (Host '10.1.2.3' is not allowed" in said


def _told_at(url: URL) -> str:
    shown = url._replace(password=None).render_as_string()
    with pytest.raises(TotaraRefused) as caught:
        check(TotaraConnection.from_fields("This connection", extra={"database_url": shown}))
    return str(caught.value)


def test_a_permission_is_missing_and_the_grants_in_the_sentence_help(totara: Totara) -> None:
    totara.run(totara.revoke("user"), totara.revoke("course_completion_log"))
    said = totara.told(TotaraRefused)
    assert said.startswith(
        f'The user "{totara.reader.username}" may not read ttr_user, ttr_course_completion_log: run GRANT '
    )
    totara.run(*re.findall(r"GRANT [^;]*[^;.]", said.partition(": run ")[2]))
    assert "2 completions" in check(totara.connection())


@pytest.mark.parametrize("table", ["course_completion_history", "course_completion_log"])
def test_what_may_not_be_read_is_never_taken_for_absent(totara: Totara, table: str) -> None:
    totara.run(totara.revoke(table))
    source = DatabaseSource(totara.connection())
    with pytest.raises(TotaraRefused, match=f"may not read ttr_{table}: run GRANT SELECT ON"), source.snapshot():
        pass


def test_a_column_that_may_not_be_read_is_never_taken_for_absent(totara: Totara) -> None:
    columns = "id, userid, course, status, timeenrolled, timestarted, timecompleted, rpl"
    totara.run(
        totara.revoke("course_completions"),
        f"GRANT SELECT ({columns}) ON ttr_course_completions TO {totara.reader.username}",
    )
    assert "may not read ttr_course_completions: run GRANT SELECT ON" in totara.told(TotaraRefused)


def test_a_table_of_a_reserved_name_is_granted_as_the_server_wants_it(tcp_postgres: URL) -> None:
    totara = Totara(tcp_postgres, prefix="")
    totara.run(f'REVOKE SELECT ON "user" FROM {totara.reader.username}')
    said = totara.told(TotaraRefused)
    totara.run(*re.findall(r"GRANT [^;]*[^;.]", said.partition(": run ")[2]))
    assert "2 completions" in check(totara.connection())


def test_audiences_need_two_tables_more(whole: Totara) -> None:
    said = whole.told(TotaraRefused, query={"audience_idnumbers": ["A1"]})
    assert "may not read ttr_cohort, ttr_cohort_members: run GRANT SELECT" in said


def test_wrong_prefix(whole: Totara) -> None:
    said = whole.told(TotaraRefused, table_prefix="mdl_")
    assert said == (
        f"No table in the database {whole.reader.database} at 127.0.0.1:{whole.reader.port} begins with "
        '"mdl_", but there are Totara\'s tables with the prefix "ttr_": correct the table prefix.'
    )


def test_no_totara(whole: Totara) -> None:
    name = f"empty_{next(_NUMBERS)}"
    whole.run(f"CREATE DATABASE {name}")
    if not whole.is_postgres:
        whole.run(f"GRANT SELECT ON {name}.* TO {whole.reader.username}")
    said = whole.told(TotaraRefused, whole.reader.set(database=name))
    assert said.startswith(
        f"There is no Totara in the database {name} at 127.0.0.1:{whole.reader.port} that the user "
        f'"{whole.reader.username}" may see: correct'
    )


def test_a_table_and_a_column_are_missing(totara: Totara) -> None:
    totara.run("DROP TABLE ttr_user", "ALTER TABLE ttr_course_completions DROP COLUMN status")
    assert totara.told(TotaraRefused) == (
        f"The database {totara.reader.database} at 127.0.0.1:{totara.reader.port} lacks the tables ttr_user and the "
        "columns ttr_course_completions.status beside Totara's others, and nothing can be read without: name the "
        "database of a Totara that is fully installed, not one of Moodle or of a release before 12."
    )


def test_what_may_be_absent_is_said(totara: Totara) -> None:
    totara.run(totara.grant("config"), "DROP TABLE ttr_course_completion_history")
    totara.run("ALTER TABLE ttr_course_completions DROP COLUMN rplgrade")
    assert check(totara.connection()) == (
        "Totara 17.3 (Build: 20230130): 2 completions, newest log row 77 of 2023-11-14 22:13 UTC, site made "
        "2020-09-13 12:26 UTC; no history table: archived completions are not seen; no grades of recognised prior "
        "learning."
    )


def test_a_totara_without_all_that_may_be_absent(totara: Totara) -> None:
    reshape(totara.admin, Shape.LEAST)
    found = check(totara.connection())
    assert ": 2 completions, site made 2020-09-13 12:26 UTC; no change log: each extract reads everything" in found
    assert "no history table: archived completions are not seen" in found
    assert "progress is known only of what is complete" in found


def test_a_totara_12_lacks_nothing(totara: Totara) -> None:
    totara.run(totara.grant("config"))
    reshape(totara.admin, Shape.TOTARA_12)
    assert check(totara.connection()).endswith("site made 2020-09-13 12:26 UTC.")


def test_no_site_course(totara: Totara) -> None:
    totara.run("DELETE FROM ttr_course")
    assert totara.told(TotaraRefused).startswith("The table ttr_course has no row 1, the site itself")


def test_no_connection_left(totara: Totara) -> None:
    user = totara.reader.username
    if totara.is_postgres:
        totara.run(f"ALTER ROLE {user} CONNECTION LIMIT 1")
    else:
        totara.run(f"ALTER USER {user} WITH MAX_USER_CONNECTIONS 1")
    with totara.connection().engine().connect():
        said = totara.told(TotaraUnavailable)
    assert "has no connection left" in said


def test_a_statement_that_takes_too_long(totara: Totara) -> None:
    lock = {
        True: "LOCK TABLE ttr_course_completion_log IN ACCESS EXCLUSIVE MODE",
        False: "LOCK TABLES ttr_course_completion_log WRITE",
    }
    with totara.admin.begin() as other:
        other.exec_driver_sql(lock[totara.is_postgres])
        said = totara.told(TotaraUnavailable, timeout_ms=500)
    assert ("stopped a statement that took too long" if totara.is_postgres else "did not answer in time") in said


@pytest.fixture
def socket_address(new_database: Callable[[str], str]) -> str:
    """A database behind a Unix socket, as the embedded server has it."""
    return new_database("totara").replace("postgres:@", "postgres@")


def test_a_unix_socket_with_nobody_behind_it(socket_address: str) -> None:
    there = TotaraConnection.from_fields("This connection", extra={"database_url": socket_address})
    with pytest.raises(TotaraRefused, match="There is no Totara in the database totara_"):
        check(there)
    nobody = TotaraConnection.from_fields(
        "This connection", extra={"database_url": "postgresql://postgres@/totara?host=/nowhere"}
    )
    with pytest.raises(TotaraUnavailable, match="Nothing listens at /nowhere"):
        check(nobody)


def test_the_grants_in_the_documentation_are_enough(totara: Totara) -> None:
    page = (Path(__file__).parents[2] / "docs" / "connections.md").read_text()
    blocks = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)
    (block,) = [each for each in blocks if ("CREATE ROLE" in each) == totara.is_postgres]
    here = block.replace(" totara.", f" {totara.reader.database}.").strip()
    totara.run(*here.rstrip(";").split(";\n"))
    found = check(totara.connection(totara.reader.set(username="totara_bridge", password="choose-one")))
    assert "2 completions" in found
