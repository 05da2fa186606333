"""Both sides wrote the same: rows, constraints and commits, or there is nothing to compare."""

import psycopg

#: What two staging databases must agree on; left out are ids, record keys, counters and the times of staging.
_STAGED = {
    "learner": "site, user_id, username, id_number, email, first_name, last_name, suspended, deleted_at IS NULL",
    "course": "site, course_id, category_id, category_path, short_name, id_number, full_name, visible",
    "completion": """site, user_id, course_id, row_id, status, progress, grade, rpl, time_enrolled, time_started,
                     time_completed, deleted_at IS NULL""",
    "completion_instance": """site, user_id, course_id, row_id, history_id, status, time_completed,
                              first_time_completed, ordinal, revision, after_deletion, revised_at,
                              archived_at IS NULL, ended_at""",
}
#: A completion with its learner and course. An empty text counts as none: dlt's files do not tell them apart.
_JOINED = """row_id, user_id, course_id, status, progress::bigint, grade::numeric(10,5), rpl, time_enrolled,
             time_started, time_completed, username,
             nullif(learner_id_number, ''), nullif(email, ''), short_name, full_name"""

Contents = dict[str, object]
_Connection = psycopg.Connection[tuple[object, ...]]


def staged(address: str) -> Contents:
    """What a staging database holds: rows and their checksum per table, constraints, and how many commits wrote it."""
    with psycopg.connect(address) as connection:
        found = {table: _sum(connection, columns, f"bridge.{table}") for table, columns in _STAGED.items()}
        found["constraints and indexes"] = connection.execute(
            """
            SELECT array_agg(line ORDER BY line)
            FROM (SELECT conrelid::regclass || ': ' || pg_get_constraintdef(oid) AS line FROM pg_constraint
                  WHERE connamespace = 'bridge'::regnamespace
                  UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'bridge') AS lines
            """
        ).fetchone()
        writers = " UNION ".join(f"SELECT xmin::text FROM bridge.{table}" for table in _STAGED)
        found["transactions"] = connection.execute(f"SELECT count(*) FROM ({writers}) AS writer".encode()).fetchone()
    return found


def joined(address: str) -> Contents:
    """The completions of a staging database, joined with their learners and courses, and their checksum."""
    rows = """
        (SELECT *, learner.id_number AS learner_id_number
         FROM bridge.completion JOIN bridge.learner USING (site, user_id) JOIN bridge.course USING (site, course_id)
         WHERE completion.deleted_at IS NULL)  -- of some Totara has nothing but history
    """
    with psycopg.connect(address) as connection:
        return {"completion": _sum(connection, _JOINED, rows)}


def already_joined(address: str) -> Contents:
    """The same of a database whose table ``completion`` holds them joined."""
    with psycopg.connect(address) as connection:
        return {"completion": _sum(connection, _JOINED, "bridge.completion")}


def require_same(what: str, ours: Contents, theirs: Contents) -> None:
    """Stop unless they are equal, and not empty.

    :raises SystemExit: they differ; says in what.
    """
    different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
    if different or (0, None) in ours.values():
        raise SystemExit(
            f"{what}: the two sides did not write the same ({', '.join(different) or 'a table is empty'}), "
            "so their times cannot be compared."
        )


def _sum(connection: _Connection, columns: str, rows: str) -> object:
    """How many rows, and the sum of their hashes, which is the same in any order."""
    return connection.execute(
        f"SELECT count(*), sum(hashtextextended(ROW({columns})::text, 0)) FROM {rows} AS found".encode()
    ).fetchone()
