"""A role of the staging database is refused what the processes that are it need not; each migration sees to that."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import URL, Engine, NullPool, create_engine, text

from tests.staging_roles import PANEL, PULL, TASKS, as_role, close
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.staging.grants import SEQUENCES, TABLES, Granted, grant
from totara_bridge.staging.migrate import migrate

AsRole = Callable[[str], psycopg.Connection]

#: What nobody but the owner may do.
FOR_NOBODY = (
    "CREATE TABLE bridge.mine (id bigint)",
    "CREATE TABLE public.mine (id bigint)",
    "CREATE SCHEMA mine",
    "CREATE FUNCTION bridge.mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "ALTER TABLE bridge.completion ADD COLUMN mine text",
    "ALTER TABLE bridge.export_queue DISABLE TRIGGER count_moved_items_update",
    "DROP TABLE bridge.audit_log",
    "DROP INDEX bridge.export_queue_due_ix",
    "DROP SCHEMA bridge CASCADE",
    "TRUNCATE bridge.export_log",
    "TRUNCATE bridge.delivery",
    "UPDATE bridge.totara_bridge_alembic_version SET version_num = '0001'",
    "UPDATE bridge.compatibility SET oldest_code = '0001'",
    "SELECT setval('bridge.change_seq', 1)",
    "CREATE ROLE mine",
    f"ALTER ROLE {PULL} SUPERUSER",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('postgresql.conf')",
    "COPY bridge.completion TO '/tmp/completion'",
    "COPY bridge.completion TO PROGRAM 'true'",
    "SELECT lo_import('/etc/passwd')",
)

#: What no process changes but by adding: what was delivered, who is erased, who did what, what things are called.
FOR_GOOD = (
    "UPDATE bridge.audit_log SET actor = 'somebody else'",
    "UPDATE bridge.erased_learner SET erased_by = 'somebody else'",
    "DELETE FROM bridge.erased_learner",
    "UPDATE bridge.delivery SET sent_at = now()",
    "DELETE FROM bridge.delivery",
    "UPDATE bridge.completion_instance SET record_key = ''",
    "DELETE FROM bridge.completion_instance",
    "UPDATE bridge.export_queue SET idempotency_key = ''",
    "UPDATE bridge.export_queue SET instance_id = 1",
    "DELETE FROM bridge.completion",
    "UPDATE bridge.payload_template SET definition = '{}'",
    "DELETE FROM bridge.api_token",
    "UPDATE bridge.api_token SET sha256 = ''",
    "UPDATE bridge.api_token SET scopes = '{read,acknowledge}'",
    "UPDATE bridge.api_token SET networks = '{}'",
)

#: What only tasks change.
FOR_TASKS = (
    "INSERT INTO bridge.export_queue DEFAULT VALUES",
    "UPDATE bridge.export_queue SET state = 'queued'",
    "UPDATE bridge.export_queue SET payload = ''",
    "DELETE FROM bridge.export_queue",
    "INSERT INTO bridge.item_event DEFAULT VALUES",
    "INSERT INTO bridge.item_count DEFAULT VALUES",
    "DELETE FROM bridge.item_count",
    "INSERT INTO bridge.delivery DEFAULT VALUES",
    "INSERT INTO bridge.completion DEFAULT VALUES",
    "UPDATE bridge.completion SET status = 'complete'",
    "INSERT INTO bridge.completion_instance DEFAULT VALUES",
    "UPDATE bridge.completion_instance SET ended_at = now()",
    "UPDATE bridge.learner SET email = ''",
    "DELETE FROM bridge.learner",
    "INSERT INTO bridge.erased_learner DEFAULT VALUES",
    "UPDATE bridge.watermark SET log_id = 0",
    "UPDATE bridge.baseline SET instance_id = 0",
    "UPDATE bridge.destination_state SET breaker_open_until = NULL",
    "INSERT INTO bridge.export_log DEFAULT VALUES",
    "DELETE FROM bridge.export_log",
    "DELETE FROM bridge.kept_body",
    "UPDATE bridge.alert SET resolved_at = now()",
    "INSERT INTO bridge.mapping DEFAULT VALUES",
    "SELECT FROM bridge.mapping",
    "SELECT FROM bridge.crawled_pair",
    "DELETE FROM bridge.reconciled_difference",
    "DELETE FROM bridge.audit_log",
    "DELETE FROM bridge.acknowledgement",
    "DELETE FROM bridge.api_token_pace",
    "SELECT nextval('bridge.change_seq')",
    "CREATE TEMPORARY TABLE mine (id bigint)",
)

#: What callers of the Pull API could never see, and what no caller is to change by whatever hole there is in it.
NOT_FOR_PULL = (
    "SELECT payload FROM bridge.export_queue",
    "SELECT reference, error_words FROM bridge.export_queue",
    "SELECT words FROM bridge.item_event",
    "SELECT FROM bridge.delivery",
    "SELECT FROM bridge.export_log",
    "SELECT FROM bridge.kept_body",
    "SELECT FROM bridge.payload_template",
    "SELECT FROM bridge.alert",
    "SELECT FROM bridge.set_aside",
    "SELECT FROM bridge.audience_member",
    "SELECT FROM bridge.reconciled_difference",
    "SELECT actor FROM bridge.audit_log",
    "SELECT created_by, hint FROM bridge.api_token",
    "INSERT INTO bridge.api_token DEFAULT VALUES",
    "UPDATE bridge.api_token SET revoked_at = NULL",
    "UPDATE bridge.api_token SET expires_at = NULL",
    "INSERT INTO bridge.audit_log DEFAULT VALUES",
    "INSERT INTO bridge.setting DEFAULT VALUES",
    "UPDATE bridge.setting SET value = 'true'",
    "DELETE FROM bridge.setting",
)

#: What tasks have no business with.
NOT_FOR_TASKS = (
    "SELECT FROM bridge.api_token_pace",
    "INSERT INTO bridge.acknowledgement DEFAULT VALUES",
    "UPDATE bridge.acknowledgement SET message = ''",
)

REFUSED = [
    *((role, each) for role in Granted._fields for each in (*FOR_NOBODY, *FOR_GOOD)),
    *((role, each) for role in (PANEL, PULL) for each in FOR_TASKS),
    *((PULL, each) for each in NOT_FOR_PULL),
    *((TASKS, each) for each in NOT_FOR_TASKS),
]


@pytest.fixture(scope="module")
def as_each(
    postgres: EmbeddedPostgres, administrator: psycopg.Connection, staging_template: str
) -> Iterator[Callable[[str], psycopg.Connection]]:
    """A connection of each role to one staging database, in which nothing stays of what it does."""
    administrator.execute(f"CREATE DATABASE roles TEMPLATE {staging_template}")
    owner = create_engine(postgres.dsn("roles").replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)
    addresses = {role: as_role(owner, role).url.set(drivername="postgresql") for role in Granted._fields}
    connections = {role: psycopg.connect(url.render_as_string(hide_password=False)) for role, url in addresses.items()}
    yield lambda role: connections[role]
    for connection in connections.values():
        connection.close()
    close(owner)
    postgres.drop_database("roles")


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_it_is_refused(as_each: AsRole, role: str, statement: str) -> None:
    connection = as_each(role)
    with pytest.raises(InsufficientPrivilege), connection.transaction(force_rollback=True):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (PULL, "SELECT state, lane, staged_at FROM bridge.export_queue"),
        (PULL, "SELECT at, details FROM bridge.audit_log"),
        (PULL, "UPDATE bridge.api_token SET last_used_at = now()"),
        (PANEL, "SELECT payload FROM bridge.export_queue"),
        (PANEL, "DELETE FROM bridge.setting"),
        (TASKS, "DELETE FROM bridge.export_queue"),
        (TASKS, "SELECT nextval('bridge.change_seq')"),
        (TASKS, "CREATE TEMPORARY TABLE mine (id bigint)"),
    ],
)
def test_nothing_but_the_privilege_was_missing(as_each: AsRole, role: str, statement: str) -> None:
    connection = as_each(role)
    with connection.transaction(force_rollback=True):
        connection.execute(statement.encode())


def test_every_table_and_sequence_is_decided(staging: Engine) -> None:
    with staging.connect() as connection:
        there = connection.execute(
            text(
                """
                SELECT c.relkind::text AS kind, c.relname AS name FROM pg_class c
                WHERE c.relnamespace = 'bridge'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
                  -- the numbers of a table's own rows need no privilege
                  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i')
                """
            )
        ).all()
    assert {row.name for row in there if row.kind == "S"} == set(SEQUENCES)
    assert {row.name for row in there if row.kind != "S"} == set(TABLES)


def test_the_next_migration_takes_back_what_was_granted_besides(staging: Engine) -> None:
    url = staging.url.render_as_string(hide_password=False)
    besides = (
        f"GRANT ALL ON bridge.delivery TO {PULL} WITH GRANT OPTION",
        f"GRANT UPDATE (record_key) ON bridge.completion_instance TO {TASKS}",
        f"GRANT SELECT (payload) ON bridge.export_queue TO {PULL}",
        f"GRANT UPDATE ON SEQUENCE bridge.change_seq TO {PANEL}",
        f"GRANT CREATE ON SCHEMA bridge TO {PANEL}",
        "GRANT SELECT ON bridge.kept_body TO PUBLIC",
    )
    before = _privileges(staging)
    with staging.begin() as owner:
        for statement in besides:
            owner.execute(text(statement))
    with as_role(staging, PULL).begin() as pull:
        pull.execute(text(f"GRANT DELETE ON bridge.delivery TO {PANEL}"))
    assert _privileges(staging) != before
    migrate(url)
    assert _privileges(staging) == before
    with as_role(staging, PANEL).connect() as panel, pytest.raises(Exception, match="permission denied"):
        panel.execute(text("DELETE FROM bridge.delivery"))


def test_it_grants_nothing_to_who_else_was_let_in(staging: Engine) -> None:
    with staging.begin() as owner:
        owner.execute(text("CREATE ROLE warehouse"))
        owner.execute(text("GRANT SELECT ON bridge.completion TO warehouse"))
    try:
        before = _privileges(staging)
        migrate(staging.url.render_as_string(hide_password=False))
        assert _privileges(staging) == before
    finally:
        with staging.begin() as owner:
            owner.execute(text("DROP OWNED BY warehouse"))
            owner.execute(text("DROP ROLE warehouse"))


def test_only_the_roles_that_there_are_get_anything(tcp_postgres: URL, caplog: pytest.LogCaptureFixture) -> None:
    """On a server of its own, which begins without any."""
    caplog.set_level("INFO", "totara_bridge.staging.grants")

    def said() -> list[str]:
        return [each.getMessage() for each in caplog.records if each.name == "totara_bridge.staging.grants"]

    with psycopg.connect(_plain(tcp_postgres), autocommit=True) as administrator:
        administrator.execute("CREATE DATABASE roles")
        url = tcp_postgres.set(database="roles")
        migrate(url.render_as_string(hide_password=False))
        assert said() == []
        owner = create_engine(url, poolclass=NullPool)
        administrator.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(PULL)))
        assert grant(owner) == [PULL]
        administrator.execute(sql.SQL("CREATE ROLE {} SUPERUSER").format(sql.Identifier(TASKS)))
        caplog.clear()
        assert grant(owner) == [PULL]
        assert said() == [
            "The role bridge_tasks may do everything in the staging database, as it owns it, is a member of the role "
            "that does, or is a superuser: give the process that is it a role of its own.",
            "May do in the staging database what they need, and nothing else: bridge_pull.",
        ]
        administrator.execute("DROP DATABASE roles")
        for role in (PULL, TASKS):
            administrator.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_a_process_that_is_not_the_owner_cannot_migrate(staging: Engine) -> None:
    with pytest.raises(ConfigurationInvalid, match="may not change the staging database: permission denied"):
        migrate(as_role(staging, TASKS).url.render_as_string(hide_password=False))


def _privileges(staging: Engine) -> object:
    """All that anybody was granted in the schema, as the catalogues have it, whatever the order."""
    statement = text(
        """
        SELECT 'schema', nspname, '', acl::text FROM pg_namespace, unnest(nspacl) acl WHERE nspname = 'bridge'
        UNION SELECT 'relation', relname, '', acl::text FROM pg_class, unnest(relacl) acl
        WHERE relnamespace = 'bridge'::regnamespace
        UNION SELECT 'column', attrelid::regclass::text, attname, acl::text FROM pg_attribute, unnest(attacl) acl
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'bridge'::regnamespace)
        UNION SELECT 'routine', proname, '', acl::text FROM pg_proc, unnest(proacl) acl
        WHERE pronamespace = 'bridge'::regnamespace
        """
    )
    with staging.connect() as connection:
        return sorted(map(tuple, connection.execute(statement)))


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)
