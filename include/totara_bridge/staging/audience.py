"""Who is in the audiences that routes name, as last read: the others are not staged."""

from collections.abc import Sequence

from sqlalchemy import TextClause, text

from totara_bridge.staging.engine import Transaction


def known(transaction: Transaction, *, site: str) -> set[str]:
    """The audiences of the site that have a staged member, by their id numbers."""
    found = transaction.execute(
        text("SELECT DISTINCT audience FROM bridge.audience_member WHERE site = :site"), {"site": site}
    )
    return set(found.scalars())


def merge(transaction: Transaction, *, site: str) -> int:
    """Bring the members up to what was read: who left is removed; how many rows were written or removed."""
    return sum(transaction.execute(statement, {"site": site}).rowcount for statement in _MERGE)


_NOT_READ = """
    NOT EXISTS (SELECT FROM incoming_audience_member i WHERE i.user_id = m.user_id AND i.audience = m.audience)
"""

_MERGE: Sequence[TextClause] = (
    text(
        f"""
        DELETE FROM bridge.audience_member m
        WHERE m.site = :site AND m.audience IN (SELECT a.audience FROM incoming_audience a WHERE a.whole)
          AND {_NOT_READ}
        """
    ),
    text(
        f"""
        DELETE FROM bridge.audience_member m
        USING incoming_learner l, incoming_audience a
        WHERE m.site = :site AND m.user_id = l.user_id AND m.audience = a.audience AND NOT a.whole AND {_NOT_READ}
        """
    ),
    text(
        """
        INSERT INTO bridge.audience_member (site, user_id, audience)
        SELECT :site, i.user_id, i.audience FROM incoming_audience_member i
        JOIN incoming_audience a USING (audience)  -- MySQL compares without case: it may give another's members too
        ON CONFLICT DO NOTHING
        """
    ),
)
