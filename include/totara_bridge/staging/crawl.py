"""Crawls of a site: when one began and ended, and what was last heard of each learner in each course."""

from collections.abc import Collection, Mapping
from datetime import datetime

from sqlalchemy import text

from totara_bridge.completion import Crawled
from totara_bridge.staging.engine import Transaction


def begin(transaction: Transaction, site: str, *, now: datetime, since: datetime) -> datetime:
    """When the crawl began that goes on now: one that did not end and began since then, or this one."""
    began: datetime = transaction.execute(_BEGIN, {"site": site, "now": now, "since": since}).scalar_one()
    return began


def end(transaction: Transaction, site: str, *, now: datetime) -> None:
    """The crawl has come to its end."""
    transaction.execute(text("UPDATE bridge.crawl SET ended_at = :now WHERE site = :site"), {"site": site, "now": now})


def found(transaction: Transaction, site: str, course_id: int) -> dict[int, Crawled]:
    """What is known of a course's learners, by user id."""
    rows = transaction.execute(_FOUND, {"site": site, "course_id": course_id})
    return {user_id: Crawled(complete, progress, checked_at) for user_id, complete, progress, checked_at in rows}


def write(transaction: Transaction, site: str, course_id: int, heard: Mapping[int, Crawled]) -> None:
    """Write down what was heard of some of a course's learners, but for those who are erased."""
    complete, progress, checked_at = zip(*heard.values(), strict=True) if heard else ((), (), ())
    transaction.execute(
        _WRITE,
        {
            "site": site,
            "course_id": course_id,
            "users": [*heard],
            "complete": [*complete],
            "progress": [*progress],
            "checked_at": [*checked_at],
        },
    )


def forget(transaction: Transaction, site: str, course_id: int, user_ids: Collection[int]) -> None:
    """These learners are not in the course any more."""
    transaction.execute(_FORGET, {"site": site, "course_id": course_id, "users": [*user_ids]})


def forget_all(transaction: Transaction, site: str) -> None:
    """What was heard may not be so any more: the next crawl asks about everybody."""
    transaction.execute(text("DELETE FROM bridge.crawled_pair WHERE site = :site"), {"site": site})


_BEGIN = text(
    """
    INSERT INTO bridge.crawl AS c (site, began_at, ended_at) VALUES (:site, :now, NULL)
    ON CONFLICT (site) DO UPDATE SET
        began_at = CASE WHEN c.ended_at IS NULL AND c.began_at >= :since THEN c.began_at ELSE excluded.began_at END,
        ended_at = NULL
    RETURNING began_at
    """
)

_FOUND = text(
    """
    SELECT user_id, complete, progress, extract(epoch FROM checked_at)::bigint
    FROM bridge.crawled_pair WHERE site = :site AND course_id = :course_id
    """
)

_WRITE = text(
    """
    INSERT INTO bridge.crawled_pair (site, course_id, user_id, complete, progress, checked_at)
    SELECT :site, :course_id, h.user_id, h.complete, h.progress, to_timestamp(h.checked_at)
    FROM unnest(cast(:users AS bigint[]), cast(:complete AS boolean[]), cast(:progress AS smallint[]),
                cast(:checked_at AS bigint[])) AS h (user_id, complete, progress, checked_at)
    WHERE NOT EXISTS (SELECT FROM bridge.erased_learner e WHERE e.site = :site AND e.user_id = h.user_id)
    ON CONFLICT (site, course_id, user_id) DO UPDATE SET
        complete = excluded.complete, progress = excluded.progress, checked_at = excluded.checked_at
    """
)

_FORGET = text(
    "DELETE FROM bridge.crawled_pair WHERE site = :site AND course_id = :course_id AND user_id = ANY(:users)"
)
