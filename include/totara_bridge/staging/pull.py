"""A page of a feed: what changed after a position, in the order of the changes, as text that is ready to be sent.

A position is a ``change_seq``. Of two changes the one that was committed first has the lower number
(`completion.begin_merge`), so nothing is ever committed behind a position.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from sqlalchemy import Connection, text

from totara_bridge.staging.engine import as_sent, asked, in_driver
from totara_bridge.staging.pull_form import Fields, Form, collected, joined, written

#: Changes that one page reads at most, where no index finds those that are wanted.
EXAMINED = 100_000


@dataclass(frozen=True, eq=False)
class Feed:
    """What can be pulled."""

    rows: str  #: SQL: where its rows are from; each has a ``change_seq``
    fields: Fields  #: of an item, over the row ``c``
    deleted: str  #: SQL: the row ``c`` says that something is no more


@dataclass(frozen=True)
class Wanted:
    """Which rows of a feed are wanted."""

    conditions: tuple[str, ...] = ()  #: SQL, over the row ``c``
    rows: str | None = None  #: SQL: rows that an index has found, instead of all of the feed's
    until: bool = False  #: only what changed before the value ``until``
    values: Mapping[str, object] = field(default_factory=dict, compare=False)  #: of the conditions, the rows and fields


@dataclass(frozen=True)
class Page:
    """Some items, and where to go on."""

    text: bytes  #: the items
    count: int
    position: int  #: nothing that is wanted and not in the page is at it or before it
    newest: int  #: the position of the newest change of all
    at: int  #: when the last change up to the position was made, in microseconds since 1970; 0: there is none
    after_at: int  #: the same of the position that was asked for; 0: it was a moment

    @property
    def more(self) -> bool:
        """Whether there can be more already."""
        return self.position < self.newest


def page(
    connection: Connection,
    feed: Feed,
    form: Form,
    wanted: Wanted,
    *,
    after: int | datetime,
    limit: int,
    end: int | None = None,
) -> Page:
    """What comes next, as one statement sees it.

    :param after: a position; or a moment, from which on all changes are wanted.
    :param end: the position of the last change that is wanted.
    """
    statement = _page(feed, form, wanted, by_time=isinstance(after, datetime), ends=end is not None, limit=limit)
    values = {**wanted.values, "after": after} | ({} if end is None else {"end": end})
    with asked(connection, statement, values) as cursor:
        items, *numbers = as_sent(cursor)
    return Page(items, *map(int, numbers))


def span(connection: Connection, feed: Feed, *, after: int | datetime) -> tuple[int, Page]:
    """The position itself, or that of a moment; and an empty page that goes on behind the newest change."""
    by_time = isinstance(after, datetime)
    start = _before("after", feed) if by_time else "cast(:after AS bigint)"
    statement = f"""
        WITH newest AS MATERIALIZED ({_newest(feed)})
        SELECT {start} AS start, seq AS newest, {_at("seq", feed)} AS at,
               {"0" if by_time else _at(":after", feed)} AS after_at FROM newest
    """
    row = connection.execute(text(statement), {"after": after}).one()
    return row.start, Page(b"", 0, row.newest, row.newest, row.at, row.after_at)


def one(connection: Connection, feed: Feed, wanted: Wanted) -> bytes | None:
    """The text of the item that alone fulfils the conditions."""
    found = connection.execute(
        text(
            f"""
            SELECT {written(feed.fields, Form.JSON)}
            FROM {feed.rows} c {joined(feed.fields, Form.JSON)} WHERE {" AND ".join(wanted.conditions)}
            """
        ),
        wanted.values,
    ).scalar_one_or_none()
    return None if found is None else str(found).encode()


@lru_cache(maxsize=256)
def _page(feed: Feed, form: Form, wanted: Wanted, *, by_time: bool, ends: bool, limit: int) -> str:
    """The statement.

    The limit is written out: not knowing it, PostgreSQL would plan for a tenth of the table once it keeps the plan.
    """
    start = _before("after", feed) if by_time else ":after"
    within = [f"c.change_seq > {start}"]
    within += ["c.change_seq <= :end"] if ends else []
    within += [f"c.change_seq <= {_before('until', feed)}"] if wanted.until else []
    window = f"FROM {feed.rows} c WHERE {' AND '.join(within)} ORDER BY c.change_seq"
    last = ":end" if ends else "(SELECT seq FROM newest)"
    if wanted.rows is not None:
        found = f"SELECT c.* FROM {wanted.rows} c WHERE {' AND '.join((*within, *wanted.conditions))}"
    elif wanted.conditions:
        found = f"SELECT c.* FROM (SELECT c.* {window} LIMIT {EXAMINED}) c WHERE {' AND '.join(wanted.conditions)}"
        last = f"coalesce((SELECT c.change_seq {window} LIMIT 1 OFFSET {EXAMINED - 1}), {last})"
    else:
        found = f"SELECT c.* FROM {feed.rows} c WHERE {' AND '.join(within)}"
    return in_driver(
        text(
            f"""
        WITH newest AS MATERIALIZED ({_newest(feed)})
        SELECT items, found, position, (SELECT seq FROM newest) AS newest, {_at("page.position", feed)} AS at,
               {"0" if by_time else _at(":after", feed)} AS after_at
        FROM (SELECT {collected(form, "item")} AS items, count(*) AS found,
                     CASE WHEN count(*) = {limit} THEN max(change_seq) ELSE {last} END AS position
              FROM (SELECT c.change_seq, {written(feed.fields, form)} AS item
                    FROM ({found} ORDER BY c.change_seq LIMIT {limit}) c {joined(feed.fields, form)}) told) page
        """
        )
    )


def _newest(feed: Feed) -> str:
    return f"SELECT coalesce(max(n.change_seq), 0) AS seq FROM {feed.rows} n"


def _at(position: str, feed: Feed) -> str:
    """SQL: when the last change up to a position was made; 0: there is none."""
    return f"""
        coalesce((SELECT cast(extract(epoch FROM a.changed_at) * 1000000 AS bigint) FROM {feed.rows} a
                  WHERE a.change_seq <= {position} ORDER BY a.change_seq DESC LIMIT 1), 0)
    """


def _before(moment: str, feed: Feed) -> str:
    """SQL: the position of the last change before a moment, found by halving.

    Moments grow with positions (`completion.merge_time`). All up to ``low`` is before it, nothing behind ``high`` is.
    """
    return f"""(
        WITH RECURSIVE halving (low, high) AS (
            SELECT coalesce(min(b.change_seq) - 1, 0), coalesce(max(b.change_seq), 0) FROM {feed.rows} b
            UNION ALL
            SELECT CASE WHEN probe.before THEN least(probe.change_seq, high) ELSE low END,
                   CASE WHEN probe.before THEN high ELSE low + (high - low) / 2 END
            FROM halving CROSS JOIN LATERAL (
                SELECT b.change_seq, b.changed_at < cast(:{moment} AS timestamptz) AS before
                FROM {feed.rows} b WHERE b.change_seq > low + (high - low) / 2 ORDER BY b.change_seq LIMIT 1) probe
            WHERE low < high)
        SELECT low FROM halving WHERE low >= high)"""
