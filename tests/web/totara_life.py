"""What may happen in a Totara at any moment, to whom the dice say."""

import random
from collections.abc import Callable, Mapping

from sqlalchemy import text

from totara_bridge.sandbox.totara.actions import TotaraActs

Act = Callable[[TotaraActs, random.Random], object]

#: Of all that may be in a completion's status.
_NOT_STARTED, _IN_PROGRESS, _COMPLETE, _RECOGNISED = 10, 25, 50, 75

#: Unix seconds: some years, long ago.
_PAST = range(1_500_000_000, 1_700_000_000)


def _pair(totara: TotaraActs, dice: random.Random, *status: int) -> tuple[int, int]:
    statement = text(
        """
        SELECT c.userid, c.course FROM ttr_course_completions c JOIN ttr_user u ON u.id = c.userid
        WHERE u.deleted = 0 AND c.status = ANY(:status) ORDER BY c.id
        """
    )
    with totara.engine.connect() as connection:
        found = connection.execute(statement, {"status": list(status)}).all()
    if not found:
        raise LookupError("nobody")
    user, course = dice.choice(found)
    return user, course


def _enrol(totara: TotaraActs, dice: random.Random) -> None:
    user = totara.new_user(lastname=f"Ørsted-{dice.randrange(10**6)}")
    totara.enrol(user, dice.choice(totara.courses()))


def _recognise(totara: TotaraActs, dice: random.Random) -> None:
    pair = _pair(totara, dice, _NOT_STARTED, _IN_PROGRESS)
    totara.complete_by_rpl(*pair, at=dice.choice(_PAST), note="a certificate")


def _recertify(totara: TotaraActs, dice: random.Random) -> None:
    pair = _pair(totara, dice, _COMPLETE, _RECOGNISED)
    totara.archive(*pair)
    totara.recreate(*pair)
    if dice.random() < 0.5:
        totara.complete(*pair, at=dice.choice(_PAST))


def _import_history(totara: TotaraActs, dice: random.Random) -> None:
    user, course = _pair(totara, dice, _NOT_STARTED, _IN_PROGRESS, _COMPLETE)
    statement = text(
        "INSERT INTO ttr_course_completion_history (courseid, userid, timecompleted) VALUES (:course, :user, :at)"
    )
    with totara.engine.begin() as connection:
        connection.execute(statement, {"course": course, "user": user, "at": dice.choice(_PAST)})


#: By the words of a plan; an act that finds nobody raises `LookupError`.
ACTS: Mapping[str, Act] = {
    "enrol": _enrol,
    "start": lambda totara, dice: totara.start(*_pair(totara, dice, _NOT_STARTED)),
    "complete": lambda totara, dice: totara.complete(*_pair(totara, dice, _NOT_STARTED, _IN_PROGRESS)),
    "recognise": _recognise,
    "edit": lambda totara, dice: totara.edit_date(*_pair(totara, dice, _COMPLETE), at=dice.choice(_PAST)),
    "edit unseen": lambda totara, dice: totara.sql_update_without_log(
        *_pair(totara, dice, _COMPLETE), at=dice.choice(_PAST)
    ),
    "regress": lambda totara, dice: totara.regress(*_pair(totara, dice, _COMPLETE, _RECOGNISED)),
    "delete": lambda totara, dice: totara.delete_completion(*_pair(totara, dice, _IN_PROGRESS, _COMPLETE)),
    "recertify": _recertify,
    "import history": _import_history,
    "reset": lambda totara, dice: totara.reset_course(_pair(totara, dice, _IN_PROGRESS, _COMPLETE)[1]),
    "rename": lambda totara, dice: totara.rename_user(dice.choice(totara.learners()), f"O’{dice.randrange(10**6)}"),
    "suspend": lambda totara, dice: totara.suspend_user(dice.choice(totara.learners())),
    "delete learner": lambda totara, dice: totara.delete_user(dice.choice(totara.learners())),
}
