"""What was completed since the last extract, by a source without a change log: the next extract stages it.

Its date says so, of which maybe only the day is known; or, without one, the book of the crawls does: the last one heard
that it was not complete, or one that was killed heard of it, and the next goes on with that.
"""

from totara_bridge.staging.incoming import Incoming
from totara_bridge.staging.instance_rules import COMPLETE

#: SQL: user_id, course_id and true of these pairs; expects ``:site`` and ``:read_at``.
COMPLETED_SINCE = f"""
    SELECT n.user_id, n.course_id, true
    FROM {Incoming.COMPLETION} n
    LEFT JOIN bridge.completion_instance i ON i.site = :site AND i.user_id = n.user_id AND i.course_id = n.course_id
                                          AND i.archived_at IS NULL AND i.ended_at IS NULL
    LEFT JOIN bridge.crawl w ON w.site = :site AND n.time_completed IS NULL
    LEFT JOIN bridge.crawled_pair b ON b.site = w.site AND b.course_id = n.course_id AND b.user_id = n.user_id
    WHERE {COMPLETE} AND i.id IS NULL
      AND (coalesce(n.time_completed_until, n.time_completed + 1) > :read_at
           OR NOT b.complete AND (b.checked_at >= w.began_at OR w.ended_at IS NULL)
           OR b.checked_at > w.began_at AND w.ended_at IS NULL)
"""
