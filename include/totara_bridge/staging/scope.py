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
    return (
        f"(({alias}.user_id, {alias}.course_id) IN (SELECT user_id, course_id FROM incoming_pair)"
        f" OR {alias}.course_id IN (SELECT course_id FROM incoming_whole_course)) AND {not_left_out}"
    )


def note_left_out(transaction: Transaction) -> None:
    """Note the pairs that Totara has and the connection's query leaves out."""
    transaction.execute(
        text(
            """
            CREATE TEMPORARY TABLE left_out ON COMMIT DROP AS
            SELECT user_id, course_id FROM incoming_present
            EXCEPT (SELECT user_id, course_id FROM incoming_completion
                    UNION SELECT user_id, course_id FROM incoming_history)
            """
        )
    )
