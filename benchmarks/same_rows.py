"""Both sides wrote the same: rows, constraints and commits, or there is nothing to compare."""

import psycopg

#: What the two sides must agree on; left out are ids, record keys, counters and the times of staging.
_COLUMNS = {
    "learner": "site, user_id, username, id_number, email, first_name, last_name, suspended, deleted_at IS NULL",
    "course": "site, course_id, category_id, short_name, id_number, full_name, visible",
    "completion": """site, user_id, course_id, row_id, status, progress, grade, rpl, time_enrolled, time_started,
                     time_completed, deleted_at""",
    "completion_instance": """site, user_id, course_id, row_id, history_id, status, time_completed,
                              first_time_completed, ordinal, revision, after_deletion, revised_at,
                              archived_at IS NULL, ended_at""",
}

Contents = dict[str, object]


def contents(address: str) -> Contents:
    """What a staging database holds: rows and their checksum per table, constraints, and how many commits wrote it."""
    with psycopg.connect(address) as connection:
        found: Contents = {table: _rows(connection, table, columns) for table, columns in _COLUMNS.items()}
        found["constraints and indexes"] = connection.execute(
            """
            SELECT array_agg(line ORDER BY line)
            FROM (SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) AS line FROM pg_constraint
                  WHERE connamespace = 'bridge'::regnamespace
                  UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'bridge') AS lines
            """
        ).fetchone()
        writers = " UNION ".join(f"SELECT xmin::text FROM bridge.{table}" for table in _COLUMNS)
        found["transactions"] = connection.execute(f"SELECT count(*) FROM ({writers}) AS writer").fetchone()  # type: ignore[arg-type]
    return found


def completions(address: str) -> Contents:
    """The completions that a database of any side holds in ``bridge.completion``, and their checksum."""
    with psycopg.connect(address) as connection:
        # dlt makes its own choice of types
        columns = _COLUMNS["completion"].removeprefix("site,").removesuffix(", deleted_at")
        columns = columns.replace("progress", "progress::bigint").replace("grade", "grade::numeric(10,5)")
        return {"completion": _rows(connection, "completion", columns)}


def require_same(what: str, ours: Contents, theirs: Contents) -> None:
    """Stop unless they are equal, and not empty.

    :raises SystemExit: they differ; says in what.
    """
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if different or not ours:
        raise SystemExit(
            f"{what}: the two sides did not write the same ({', '.join(different) or 'nothing was written'}), "
            "so their times cannot be compared."
        )


def _rows(connection: "psycopg.Connection[tuple[object, ...]]", table: str, columns: str) -> object:
    """The sum of the rows' hashes is the same in any order."""
    return connection.execute(
        f"SELECT count(*), sum(hashtextextended(ROW({columns})::text, 0)) FROM bridge.{table}"  # type: ignore[arg-type]
    ).fetchone()
