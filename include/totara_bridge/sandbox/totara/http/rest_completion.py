"""``core_completion_get_course_completion_status``: whether, and by which criteria; never when or how otherwise."""

from typing import Any

from sqlalchemy import and_, select

from totara_bridge.sandbox.totara.http.refusal import not_possible
from totara_bridge.sandbox.totara.http.rest_call import Call, Row
from totara_bridge.sandbox.totara.http.rest_enrolments import active
from totara_bridge.sandbox.totara.http.rest_parameters import Scalar, Structure, integer

COMPLETION_STATUS = Structure({"courseid": Scalar(integer), "userid": Scalar(integer)})

#: A course's criteria must all be met.
_ALL = 1
#: By ``criteriatype``: title and requirement. Only that of self completion was recorded.
_CRITERIA = {
    1: ("Self completion", "Marking yourself complete"),
    2: ("Date", ""),
    3: ("Unenrolment", ""),
    4: ("Activity completion", ""),
    5: ("Enrolment duration", ""),
    6: ("Course grade", ""),
    7: ("Manual completion by others", ""),
    8: ("Completion of other courses", ""),
}


def completion_status(call: Call) -> Row:
    """Whether a learner who is enrolled now has completed the course.

    A course without criteria is refused; those words were not recorded.
    """
    user_id, course_id = call.parameters["userid"], call.parameters["courseid"]
    user, course = call.tables.user, call.tables.course
    call.the(select(course.c.id).where(course.c.id == course_id))
    if call.the(select(user.c.deleted).where(user.c.id == user_id))["deleted"]:
        raise not_possible("usernotavailable", "The details of this user are not available to you")
    if not call.may("report/completion:view"):
        raise not_possible("cannotviewreport", "You cannot view this report")
    if not call.rows(active(call, course_id).where(call.tables.user_enrolments.c.userid == user_id).limit(1)):
        raise not_possible("usernotenroled", "User is not enrolled in this course")
    criteria = _criteria(call, user_id, course_id)
    if not criteria:
        raise not_possible("nocriteriaset", "No completion criteria set for this course")
    completed = _completed(call, user_id, course_id)
    status = {"completed": completed, "aggregation": _ALL, "completions": criteria}
    return {"completionstatus": status, "warnings": []}


def _completed(call: Call, user_id: int, course_id: int) -> bool:
    current = call.tables.course_completions
    of_pair = and_(current.c.userid == user_id, current.c.course == course_id)
    return any(row["timecompleted"] is not None for row in call.rows(select(current.c.timecompleted).where(of_pair)))


def _criteria(call: Call, user_id: int, course_id: int) -> list[Row]:
    criterion, met = call.tables.course_completion_criteria, call.tables.course_completion_crit_compl
    of_user = and_(met.c.criteriaid == criterion.c.id, met.c.course == criterion.c.course, met.c.userid == user_id)
    all_of_them = (
        select(criterion.c.criteriatype, met.c.timecompleted)
        .outerjoin(met, of_user)
        .where(criterion.c.course == course_id)
        .order_by(criterion.c.id)
    )
    return [_criterion(row["criteriatype"], row["timecompleted"]) for row in call.rows(all_of_them)]


def _criterion(kind: int, met_at: int | None) -> dict[str, Any]:
    title, requirement = _CRITERIA.get(kind, ("", ""))
    return {
        "type": kind,
        "title": title,
        "status": "No" if met_at is None else "Yes",
        "complete": met_at is not None,
        "timecompleted": met_at,
        "details": {"type": title, "criteria": title, "requirement": requirement, "status": ""},
    }
