"""A bridge in which there is a row of every kind that a puller can meet."""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import Engine, text

from tests.bridge import SITE, Bridge
from totara_bridge import api_token
from totara_bridge.erase import erase

#: What spreadsheets, browsers, shells and parsers trip over.
AWKWARD = '=cmd|"/C"!A1,\r\n\t\u2028\u202e<script>\\u0000\U0001f600\u00e9;\'--'

_PAST = 1_600_000_000


def stage(bridge: Bridge) -> None:
    """Extract a Totara in which everything has happened that can happen."""
    totara = bridge.totara
    bridge.extract()
    todo = [totara.pair_with(status=25, nth=number) for number in range(7)]
    done, no_date, recognised, again, edited, gone, erased = todo
    totara.complete(*done)
    totara.complete_without_date(*no_date)
    totara.complete_by_rpl(*recognised, at=_PAST, note=AWKWARD, grade=Decimal("87.5"))
    for pair in (again, edited, gone, erased):
        totara.complete(*pair, at=_PAST)
    bridge.later(minutes=1)
    bridge.extract()
    totara.archive(*again)
    totara.recreate(*again)
    totara.complete(*again)
    totara.edit_date(*edited, at=_PAST + 86_400)
    totara.delete_completion(*gone)
    learners = [user for user in totara.learners() if user not in {erased[0], *(each[0] for each in todo[:3])}]
    totara.rename_user(done[0], AWKWARD)
    totara.suspend_user(no_date[0])
    totara.delete_user(learners[0])
    bridge.later(minutes=1)
    bridge.full_compare()
    with bridge.staging.begin() as transaction:
        transaction.execute(text("DELETE FROM bridge.course WHERE course_id = :course"), {"course": edited[1]})
    erase(bridge.staging, site=SITE, user_id=erased[0], by="ann", dry_run=False, now=datetime.now(UTC))


def new_token(staging: Engine) -> str:
    """A token of the caller ``warehouse``, who may ask as often as can be asked."""
    with staging.begin() as transaction:
        transaction.execute(
            text(
                "INSERT INTO bridge.setting (scope, name, value, changed_by, changed_at)"
                " VALUES ('bridge', 'pull_per_minute', '10000000', 'ann', now())"
            )
        )
        return api_token.issue(transaction, caller="warehouse", by="ann", now=datetime.now(UTC)).token
