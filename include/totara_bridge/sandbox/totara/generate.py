"""A Totara site of any size, made by PostgreSQL itself: a million completions in less than a minute.

Proportions are those of the recorded site: 879 of 1 600 completed, 120 through RPL, 316 in progress, 285 not
begun; about 7.7 completions per learner; 2.4 lines of the change log per completion; 3 archived per 1 000.
"""

from datetime import UTC, date, datetime

from sqlalchemy import Connection, Engine, select

from totara_bridge.sandbox.totara import generated_completions, generated_log, generated_site
from totara_bridge.sandbox.totara.generated_plan import Plan
from totara_bridge.sandbox.totara.schema import Tables, tables
from totara_bridge.sandbox.totara.seed import move_sequences, write_config


def generate(
    engine: Engine, completions: int, random_seed: int, prefix: str = "ttr_", *, today: date | None = None
) -> None:
    """Fill the empty schema. The same arguments on the same day (UTC) give the same rows.

    Nothing in it happened within the last hour. Beyond the recorded site there are: courses with three criteria
    and one with none, pairs with archived completions but no current one, and pairs archived twice.

    :param today: the day that the site's past ends on, this day unless said otherwise.
    :raises ValueError: not PostgreSQL, no completions, or the schema is not empty.
    """
    if engine.dialect.name != "postgresql":
        raise ValueError(f"generate() needs PostgreSQL, this is {engine.dialect.name}: use seed() there.")
    if completions < 1:
        raise ValueError(f"A site of {completions} completions cannot be generated: ask for at least 1.")
    site = tables(prefix)
    plan = Plan.on(today or datetime.now(UTC).date(), completions, random_seed)
    with engine.begin() as connection:
        if connection.scalar(select(site.user.c.id).limit(1)) is not None:
            raise ValueError(f"The tables {prefix}* have rows already: generate into an empty schema.")
        _fill(connection, site, plan)


def _fill(connection: Connection, site: Tables, plan: Plan) -> None:
    """Indexes are built after the rows, which halves the time."""
    indexes = [index for table in site.metadata.sorted_tables for index in table.indexes]
    for setting in ("work_mem = '256MB'", "maintenance_work_mem = '256MB'", "jit = off"):
        connection.exec_driver_sql(f"SET LOCAL {setting}")
    for index in indexes:
        index.drop(connection)
    for statement in (
        *generated_site.statements(site, plan),
        *generated_completions.statements(site, plan),
        generated_log.statement(site),
    ):
        # Without parameters, or the driver would take the statement's % for their places.
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
    for index in indexes:
        index.create(connection)
    write_config(connection, site)
    move_sequences(connection, site)
    for table in site.metadata.sorted_tables:
        connection.exec_driver_sql(f"ANALYZE {table}")
