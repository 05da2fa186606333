"""What the sandbox was sent and what it accepted, in one SQLite file that outlives a restart."""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS request (      -- every request to the completions endpoint
    id INTEGER PRIMARY KEY,
    received_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    idempotency_key TEXT,
    bytes INTEGER NOT NULL,
    items INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'in_flight',  -- in_flight, answered, closed; lost: a restart came in between
    status INTEGER
);
CREATE TABLE IF NOT EXISTS receipt (      -- every item of every request, accepted or not
    request INTEGER NOT NULL REFERENCES request (id),
    key TEXT NOT NULL,
    user_id INTEGER
);
CREATE INDEX IF NOT EXISTS receipt_key ON receipt (key);
CREATE TABLE IF NOT EXISTS item (         -- what was accepted: one row per idempotency key
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    user_id INTEGER,
    payload TEXT NOT NULL,
    request INTEGER NOT NULL REFERENCES request (id),
    conflicts INTEGER NOT NULL DEFAULT 0  -- times that the key came again with another payload
);
CREATE TABLE IF NOT EXISTS acceptance (   -- every item that was stored, or answered as a duplicate, each time
    request INTEGER NOT NULL REFERENCES request (id),
    key TEXT NOT NULL,
    word TEXT NOT NULL                    -- stored, duplicate
);
UPDATE request SET state = 'lost' WHERE state = 'in_flight';
"""


class Sent(NamedTuple):
    """One item of a request, as far as it can be told: it may be malformed in every other way."""

    key: str
    user_id: int | None
    item: Any


class Stored(NamedTuple):
    """What became of one item."""

    word: str  #: stored or duplicate
    reference: str


class Store:
    """The file, used by one thread."""

    def __init__(self, file: Path) -> None:
        """Open the file, making it if need be; requests that were in flight when it was left are lost."""
        self._database = sqlite3.connect(file, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")  # a crash of the machine may lose data, a kill not
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def begin(self, idempotency_key: str | None, size: int, items: Sequence[Sent]) -> int:
        """Write down that a request is here, before anything is done about it; its number."""
        with self._transaction() as database:
            number = database.execute(
                "INSERT INTO request (idempotency_key, bytes, items) VALUES (?, ?, ?)",
                (idempotency_key, size, len(items)),
            ).lastrowid
            assert number is not None  # noqa: S101  SQLite gives one for every insert
            database.executemany(
                "INSERT INTO receipt (request, key, user_id) VALUES (?, ?, ?)",
                [(number, sent.key, sent.user_id) for sent in items],
            )
        return number

    def finish(self, request: int, status: int | None) -> None:
        """Write down the answer; no status: the connection was closed without one."""
        self._database.execute(
            "UPDATE request SET state = ?, status = ? WHERE id = ?",
            ("closed" if status is None else "answered", status, request),
        )

    def store(self, request: int, items: Iterable[Sent]) -> dict[str, Stored]:
        """Keep each item whose key is new; a known key keeps its first payload."""
        with self._transaction() as database:
            became = {sent.key: _store(database, request, sent) for sent in items}
            database.executemany(
                "INSERT INTO acceptance (request, key, word) VALUES (?, ?, ?)",
                [(request, key, each.word) for key, each in became.items()],
            )
        return became

    def counts(self, *, key: str | None = None, user_id: int | None = None) -> dict[str, Any]:
        """Requests by state and status, distinct keys stored, keys and items received, duplicates, conflicts."""
        limits = {"key": key, "user": user_id}
        requests = self._rows("SELECT state, status, count(*) AS n FROM request GROUP BY state, status")
        received = self._rows(
            "SELECT count(*) AS items, count(DISTINCT key) AS keys FROM receipt"
            " WHERE (:key IS NULL OR key = :key) AND (:user IS NULL OR user_id = :user)",
            limits,
        )[0]
        stored = self._rows(
            "SELECT count(*) AS keys, coalesce(sum(conflicts), 0) AS conflicts FROM item"
            " WHERE (:key IS NULL OR key = :key) AND (:user IS NULL OR user_id = :user)",
            limits,
        )[0]
        duplicates = self._rows(
            "SELECT count(*) AS n FROM acceptance JOIN item USING (key) WHERE word = 'duplicate'"
            " AND (:key IS NULL OR key = :key) AND (:user IS NULL OR user_id = :user)",
            limits,
        )[0]
        return {
            "requests": sum(row["n"] for row in requests),
            "in_flight": sum(row["n"] for row in requests if row["state"] == "in_flight"),
            "closed": sum(row["n"] for row in requests if row["state"] == "closed"),
            "lost": sum(row["n"] for row in requests if row["state"] == "lost"),
            "by_status": {str(row["status"]): row["n"] for row in requests if row["status"] is not None},
            "items_received": received["items"],
            "keys_received": received["keys"],
            "keys_stored": stored["keys"],
            "duplicates": duplicates["n"],
            "conflicts": stored["conflicts"],
        }

    def times_received(self) -> dict[str, int]:
        """How often each key came, accepted or not."""
        rows = self._rows("SELECT key, count(*) AS n FROM receipt GROUP BY key ORDER BY min(rowid)")
        return {row["key"]: row["n"] for row in rows}

    def stored_keys(self) -> list[str]:
        """The keys that were accepted, in the order they came."""
        return [row["key"] for row in self._rows("SELECT key FROM item ORDER BY id")]

    def items(self, *, key: str | None = None, user_id: int | None = None, limit: int) -> list[dict[str, Any]]:
        """What was accepted, newest first."""
        rows = self._rows(
            "SELECT id, key, user_id, payload, request, conflicts,"
            " (SELECT count(*) FROM receipt WHERE receipt.key = item.key) AS times_received FROM item"
            " WHERE (:key IS NULL OR key = :key) AND (:user IS NULL OR user_id = :user)"
            " ORDER BY id DESC LIMIT :limit",
            {"key": key, "user": user_id, "limit": limit},
        )
        return [dict(row) | {"payload": json.loads(row["payload"]), "reference": _reference(row["id"])} for row in rows]

    def requests(self, *, state: str | None = None, status: int | None = None, limit: int) -> list[dict[str, Any]]:
        """Requests, newest first, each with the keys of its items."""
        rows = self._rows(
            "SELECT *, (SELECT json_group_array(key) FROM receipt WHERE receipt.request = sent.id) AS keys"
            " FROM request AS sent"
            " WHERE (:state IS NULL OR state = :state) AND (:status IS NULL OR status = :status)"
            " ORDER BY id DESC LIMIT :limit",
            {"state": state, "status": status, "limit": limit},
        )
        return [dict(row) | {"keys": json.loads(row["keys"])} for row in rows]

    def _rows(self, statement: str, parameters: dict[str, Any] | None = None) -> list[sqlite3.Row]:
        return self._database.execute(statement, parameters or {}).fetchall()

    def _transaction(self) -> sqlite3.Connection:
        self._database.execute("BEGIN IMMEDIATE")
        return self._database  # as a context manager it commits, or rolls back


def _store(database: sqlite3.Connection, request: int, sent: Sent) -> Stored:
    payload = json.dumps(sent.item, ensure_ascii=False, sort_keys=True)
    new = database.execute(
        "INSERT INTO item (key, user_id, payload, request) VALUES (?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        (sent.key, sent.user_id, payload, request),
    )
    if new.rowcount and new.lastrowid:
        return Stored("stored", _reference(new.lastrowid))
    known = database.execute("SELECT id, payload FROM item WHERE key = ?", (sent.key,)).fetchone()
    if known["payload"] != payload:
        database.execute("UPDATE item SET conflicts = conflicts + 1 WHERE id = ?", (known["id"],))
    return Stored("duplicate", _reference(known["id"]))


def _reference(number: int) -> str:
    return f"SBX{number:09d}"
