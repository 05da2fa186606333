"""Which staged rows a read speaks for: only for those may "not read" mean "gone"."""

from sqlalchemy import text

from totara_bridge.staging.engine import Transaction


def condition(alias: str, *, whole_site: bool) -> str:
    """SQL: the staged row ``alias`` is one that this read would have shown, if Totara still had it.

    A pair that Totara has and the connection's query leaves out (a learner who left the audience) is no loss.
    """
    pair = f"user_id = {alias}.user_id AND course_id = {alias}.course_id"
    not_left_out = f"NOT EXISTS (SELECT FROM left_out WHERE {pair})"
    if whole_site:
        return not_left_out
    return f"({alias}.user_id, {alias}.course_id) IN (SELECT user_id, course_id FROM read_again) AND {not_left_out}"


def note_left_out(transaction: Transaction, *, site: str) -> None:
    """Note the pairs that Totara has and were not read, and those that were read again.

    Not read is what the connection's query leaves out, and what was set aside because it cannot be true.

    The latter as one list of known length, which leads to the staged rows by their key: the cost of finding what is
    gone grows with the change, not with the table.
    """
    transaction.execute(
        text(
            """
            CREATE TEMPORARY TABLE left_out ON COMMIT DROP AS
            SELECT user_id, course_id FROM incoming_present
            EXCEPT (SELECT user_id, course_id FROM incoming_completion
                    UNION SELECT user_id, course_id FROM incoming_history)
            UNION SELECT user_id, course_id FROM incoming_set_aside
            """
        )
    )
    for statement in _READ_AGAIN:
        transaction.execute(statement, {"site": site})


_READ_AGAIN = (
    text("CREATE TEMPORARY TABLE read_again (user_id bigint, course_id bigint) ON COMMIT DROP"),
    text(
        """
        INSERT INTO read_again
        SELECT user_id, course_id FROM incoming_pair
        UNION SELECT user_id, course_id FROM bridge.completion
              WHERE site = :site AND course_id IN (SELECT course_id FROM incoming_whole_course)
        UNION SELECT user_id, course_id FROM bridge.completion_instance
              WHERE site = :site AND course_id IN (SELECT course_id FROM incoming_whole_course)
        """
    ),
    text("ANALYZE read_again"),
)
