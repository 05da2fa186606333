"""A staging database as the processes of production see it: each connects as a role that may do what it needs."""

from collections.abc import Iterator

import psycopg
from psycopg import sql
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url, text

from totara_bridge.staging.grants import Granted, grant

TASKS, PANEL, PULL = Granted._fields

#: By the owner's address: those that tests have made.
_ENGINES: dict[URL, dict[str, Engine]] = {}


def make_roles(url: str) -> None:
    """Make the roles that the server has not got; a migration then gives each what it may do.

    :param url: of a superuser, on a server of tests, which trusts everybody without a password.
    """
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as administrator:
        for role in Granted._fields:
            if administrator.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                administrator.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))


def grant_to_roles(url: str) -> None:
    """Give each role what it may do in a migrated staging database, and make those that the server has not got.

    :param url: as in `make_roles`.
    """
    make_roles(url)
    engine = create_engine(url, poolclass=NullPool)
    grant(engine)


def as_role(engine: Engine, role: str) -> Engine:
    """The same database as this role, over connections of its own; whoever drops the database has them closed.

    :param engine: of the owner.
    """
    if engine.url not in _ENGINES:
        with engine.begin() as owner:
            for statement in _connect(str(engine.url.database)):
                owner.execute(text(statement))
    engines = _ENGINES.setdefault(engine.url, {})
    if role not in engines:
        engines[role] = create_engine(engine.url.set(username=role), pool_size=20, hide_parameters=True)
    return engines[role]


def address_as(engine: Engine, role: str) -> str:
    """The address of the same database for this role."""
    return as_role(engine, role).url.render_as_string(hide_password=False)


def close(engine: Engine) -> None:
    """Close all connections that were made to the same database as a role."""
    for each in _ENGINES.pop(engine.url, {}).values():
        each.dispose()


def _connect(database: str) -> Iterator[str]:
    """What production's script says of a database; a copy of one has none of it."""
    yield f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC'
    yield f'GRANT CONNECT ON DATABASE "{database}" TO {", ".join(Granted._fields)}'
    yield f'GRANT TEMPORARY ON DATABASE "{database}" TO {TASKS}'
